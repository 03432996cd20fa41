//! Enough stack for what C calls.
//!
//! libglusterfs runs some work (synctasks) on stacks of its own, and those on which GlusterFS 10 counts
//! quotas have 16 KiB, with nothing behind them that says when they are full. A fop that comes on such a
//! stack is served on one that is large enough.

use std::ffi::c_uint;
use std::mem::MaybeUninit;

use glusterfs_sys as sys;

/// Bytes of a stack to serve a fop on, of which only those are taken that are used.
const SIZE: usize = 512 << 10;
/// Bytes at its end that must not be touched.
const GUARD: usize = 4096;

/// What lies at the beginning of a stack, above which nothing is.
struct Switch<'a> {
    here: MaybeUninit<libc::ucontext_t>,
    there: MaybeUninit<libc::ucontext_t>,
    work: &'a mut dyn FnMut(),
}

/// Runs `work`, which must not panic, on the stack of the caller or on a larger one.
pub(crate) fn with_room(work: &mut dyn FnMut()) {
    // SAFETY: the function answers the value of a variable of this thread.
    if unsafe { sys::synctask_get() }.is_null() {
        return work();
    }
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
    // SAFETY: new memory, of nobody else.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), SIZE, access, kind, -1, 0) };
    if base == libc::MAP_FAILED {
        return work();
    }
    let place = SIZE - size_of::<Switch<'_>>().next_multiple_of(64);
    // SAFETY: the memory above holds a Switch at `place`, which is aligned, and a stack below it that
    // ends in a guard. The context is filled in before it is switched to; `begin` returns to `here`,
    // which swapcontext fills in. The memory goes when nothing runs on it any more.
    unsafe {
        libc::mprotect(base, GUARD, libc::PROT_NONE);
        let switch = base.byte_add(place).cast::<Switch<'_>>();
        (&raw mut (*switch).work).write(work);
        let here = (&raw mut (*switch).here).cast::<libc::ucontext_t>();
        let there = (&raw mut (*switch).there).cast::<libc::ucontext_t>();
        libc::getcontext(there);
        (*there).uc_stack.ss_sp = base.byte_add(GUARD);
        (*there).uc_stack.ss_size = place - GUARD;
        (*there).uc_link = here;
        let begin = std::mem::transmute::<extern "C" fn(c_uint, c_uint), extern "C" fn()>(begin);
        let address = switch.expose_provenance();
        let half = |shift: u32| c_uint::try_from(address >> shift & 0xffff_ffff).unwrap_or(0);
        libc::makecontext(there, begin, 2, half(32), half(0));
        libc::swapcontext(here, there);
        libc::munmap(base, SIZE);
    }
}

/// The first function on the other stack. Its arguments are the halves of a pointer, as makecontext(3)
/// passes on ints alone.
extern "C" fn begin(high: c_uint, low: c_uint) {
    let address = (high as usize) << 32 | low as usize;
    let switch = std::ptr::with_exposed_provenance_mut::<Switch<'_>>(address);
    // SAFETY: `with_room` waits for this function on another stack, and nobody else knows the Switch.
    unsafe { ((*switch).work)() };
}
