use std::ffi::c_void;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use glusterfs_sys as sys;

use crate::fop::Waiter;
use crate::memory::{Locked, field};
use crate::this::Entered;
use crate::{Answer, Credentials, Errno, Failure, Fop, Moment, Node, gf_error};

/// A service of GlusterFS that changes the bytes of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Brings a brick that was away in line with the others: AFR and EC.
    Heal,
    /// Moves files from brick to brick: DHT.
    Rebalance,
}

/// `GF_CLIENT_PID_DEFRAG`.
const DEFRAG: i32 = -3;
/// `GF_CLIENT_PID_SELF_HEALD`.
const SELF_HEALD: i32 = -6;

/// The duty to answer one fop: exactly once, from any thread.
///
/// A frame that is dropped without an answer answers `EIO`, so that no client waits for ever.
pub struct Frame<F: Fop> {
    raw: NonNull<sys::call_frame_t>,
    fop: PhantomData<fn() -> F>,
}

// SAFETY: a frame is handled by one holder at a time; its stack has a lock.
unsafe impl<F: Fop> Send for Frame<F> {}
// SAFETY: shared references read facts that stay, and wind children under the stack's lock.
unsafe impl<F: Fop> Sync for Frame<F> {}

impl<F: Fop> Frame<F> {
    /// # Safety
    /// `raw` is a frame of fop `F` that waits for our answer.
    pub(crate) unsafe fn new(raw: NonNull<sys::call_frame_t>) -> Frame<F> {
        Frame {
            raw,
            fop: PhantomData,
        }
    }

    pub(crate) fn give_up(self) -> *mut sys::call_frame_t {
        let raw = self.raw.as_ptr();
        std::mem::forget(self);
        raw
    }

    /// The stack, which lives as long as a frame that waits for its answer.
    fn root(&self) -> NonNull<sys::call_stack_t> {
        let raw = self.raw;
        NonNull::new(field!(raw.root)).expect("a frame has a stack")
    }

    /// The translator that handles the fop.
    pub fn node(&self) -> Node {
        let raw = self.raw;
        let this = field!(raw.this);
        // SAFETY: a frame waiting for its answer names a live translator.
        unsafe { Node::of(this) }.expect("a frame has a translator")
    }

    /// Who asks, to do more work in the same name.
    pub fn credentials(&self) -> Credentials {
        Credentials::of(self.root())
    }

    /// The user who asks.
    pub fn uid(&self) -> u32 {
        let root = self.root();
        field!(root.uid)
    }

    /// The group that asks.
    pub fn gid(&self) -> u32 {
        let root = self.root();
        field!(root.gid)
    }

    /// The process that asks, on its client; negative for GlusterFS's own (heal, rebalance).
    pub fn pid(&self) -> i32 {
        let root = self.root();
        field!(root.pid)
    }

    /// Which of GlusterFS's own services asks, if one does that changes files' bytes.
    pub fn service(&self) -> Option<Service> {
        match self.pid() {
            SELF_HEALD => Some(Service::Heal),
            DEFRAG => Some(Service::Rebalance),
            _ => None,
        }
    }

    /// Who owns the locks of this fop.
    pub fn lock_owner(&self) -> Vec<u8> {
        crate::credentials::lock_owner(self.root())
    }

    /// The time that the client gave the fop, if it did: mtime and ctime of what it changes.
    pub fn ctime(&self) -> Option<Moment> {
        let root = self.root();
        let at = field!(root.ctime);
        let nsec = u32::try_from(at.tv_nsec).ok()?;
        (at.tv_sec != 0).then_some(Moment {
            sec: at.tv_sec,
            nsec,
        })
    }

    /// Which times of the file and its parent the fop sets (`MDATA_*` of C).
    pub fn time_flags(&self) -> u32 {
        let root = self.root();
        field!(root.flags)
    }

    /// Whether what the fop does to a file's bytes counts as a change that its times tell. What
    /// GlusterFS does for itself, as heal and rebalance do, does not: it sets the times afterwards.
    pub fn leaves_time(&self) -> bool {
        match self.time_flags() {
            // A volume that lets its bricks keep the times.
            0 => self.pid() >= 0,
            flags => flags & sys::MDATA_MTIME != 0,
        }
    }

    /// Lets the first translator below handle the fop, and answer the caller itself.
    pub fn pass(self, args: F::Args<'_>) {
        let Some(to) = self.node().first_child() else {
            gf_error!(
                "{:?} has no translator below it; check the volfile",
                self.node()
            );
            return self.fail(Errno::EIO);
        };
        self.pass_to(to, args);
    }

    /// As [`Frame::pass`] to any translator below, past those between.
    pub fn pass_to(self, to: Node, args: F::Args<'_>) {
        let raw = self.give_up();
        // SAFETY: the frame is given up, and waits for its answer; the arguments are live.
        unsafe { tail::<F>(raw, to.as_ptr(), &args) };
    }

    /// Answers the fop.
    pub fn answer(self, answer: Answer<'_, F>) {
        let raw = self.give_up();
        // SAFETY: the frame waited for this answer, and we forget it.
        unsafe { unwind::<F>(raw, answer) };
    }

    /// Answers success.
    pub fn unwind(self, reply: F::Reply<'_>) {
        self.answer(Ok(reply));
    }

    /// Answers failure.
    pub fn fail(self, errno: Errno) {
        self.answer(Err(errno.into()));
    }

    /// Asks the first translator below for `G`; `then` gets this frame back with the answer.
    ///
    /// `then` runs on the thread that brings the answer: it must not block for long.
    pub fn wind<G: Fop>(
        self,
        args: G::Args<'_>,
        then: impl for<'r> FnOnce(Frame<F>, Result<G::Reply<'r>, Failure<'r>>) + Send + 'static,
    ) {
        let Some(to) = self.node().first_child() else {
            gf_error!(
                "{:?} has no translator below it; check the volfile",
                self.node()
            );
            return self.fail(Errno::EIO);
        };
        let raw = self.raw.as_ptr();
        let waiter: Waiter<G> = Box::new(move |answer| then(self, answer));
        // SAFETY: the frame is live until the waiter, which owns it, has run.
        unsafe { wind::<G>(raw, to, &args, waiter) };
    }

    /// Asks the first translator below for `G`, and waits for the answer.
    ///
    /// Posix answers on the same thread. Elsewhere only call it on threads of your own.
    ///
    /// # Errors
    /// The failure that the translator answers.
    pub fn ask<G: Fop>(&self, args: G::Args<'_>) -> Answer<'static, G> {
        let to = self.node().first_child().ok_or(Errno::EIO)?;
        self.ask_node::<G>(to, args)
    }

    /// Asks a certain translator for `G`, and waits for the answer. See [`Frame::ask`].
    ///
    /// # Errors
    /// The failure that the translator answers.
    pub fn ask_node<G: Fop>(&self, to: Node, args: G::Args<'_>) -> Answer<'static, G> {
        // SAFETY: the frame is live while we wait, as self is borrowed.
        unsafe { ask::<G>(self.raw.as_ptr(), to, &args) }
    }
}

impl<F: Fop> Drop for Frame<F> {
    fn drop(&mut self) {
        gf_error!("{:?} was left without an answer; answering EIO", F::NAME);
        // SAFETY: the frame waited for an answer, and this is the last of it.
        unsafe { unwind::<F>(self.raw.as_ptr(), Err(Errno::EIO.into())) };
    }
}

impl<F: Fop> fmt::Debug for Frame<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame of {:?}", F::NAME)
    }
}

/// Adds one to a counter of libglusterfs.
///
/// # Safety
/// `counter` is live.
unsafe fn count(counter: *mut sys::gf_atomic_int64_t) {
    // SAFETY: an aligned 64-bit counter that C code changes atomically too.
    let counter = unsafe { AtomicU64::from_ptr((&raw mut (*counter).value).cast::<u64>()) };
    counter.fetch_add(1, Ordering::Relaxed);
}

fn now() -> sys::timespec {
    let mut at = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut at) };
    sys::timespec {
        tv_sec: at.tv_sec,
        tv_nsec: at.tv_nsec,
    }
}

/// Calls the callback of a frame, as `STACK_UNWIND_STRICT` of C does.
///
/// # Safety
/// `frame` is live and waits for an answer of `F`; it must not be used after.
unsafe fn unwind<F: Fop>(frame: *mut sys::call_frame_t, answer: Answer<'_, F>) {
    let (op_ret, op_errno) = match &answer {
        Ok(reply) => (F::value(reply), 0),
        Err(failure) => (-1, failure.errno.raw()),
    };
    // SAFETY: a live frame, whose stack, translator and parent are live until it is answered.
    unsafe {
        let parent = (*frame).parent;
        let root = (*frame).root;
        {
            let _locked = Locked::take(&raw mut (*root).stack_lock);
            if op_ret < 0 && op_errno != (*root).error {
                (*root).err_xl = (*frame).this;
                (*root).error = op_errno;
            } else if op_ret == 0 {
                (*root).err_xl = std::ptr::null_mut();
                (*root).error = 0;
            }
        }
        let above = (*parent).this;
        (*frame).complete = 1;
        (*frame).unwind_from = F::NAME.as_ptr();
        if (*(*(*frame).this).ctx).measure_latency != 0 {
            (*frame).end = now();
            if (*parent).ret.is_none() {
                (*parent).end = (*frame).end;
            }
        }
        if op_ret < 0
            && let Ok(op) = usize::try_from((*frame).op)
        {
            let stats = &raw mut (*above).stats[op];
            count(&raw mut (*stats).total_fop_cbk);
            count(&raw mut (*stats).interval_fop_cbk);
        }
        let (ret, cookie) = ((*frame).ret, (*frame).cookie);
        let _this = Entered::new(above);
        F::answer(ret, parent, cookie, answer);
    }
}

/// Sends a fop to `to` in a new frame, as `STACK_WIND_COOKIE` of C does.
///
/// # Safety
/// `parent` is live until `waiter` has run.
pub(crate) unsafe fn wind<G: Fop>(
    parent: *mut sys::call_frame_t,
    to: Node,
    args: &G::Args<'_>,
    waiter: Waiter<G>,
) {
    let to = to.as_ptr();
    // SAFETY: the parent and its stack are live, the pool with them.
    let new = unsafe {
        let pool = (*(*(*parent).root).pool).frame_mem_pool;
        sys::mem_get_calloc(pool).cast::<sys::call_frame_t>()
    };
    if new.is_null() {
        return waiter(Err(Errno::ENOMEM.into()));
    }
    let cookie = Box::into_raw(Box::new(waiter)).cast::<c_void>();
    // SAFETY: a fresh frame, filled in before anyone sees it, then put on the stack's list under
    // the stack's lock; `to` is a live translator.
    unsafe {
        let root = (*parent).root;
        (*new).root = root;
        (*new).this = to;
        (*new).ret = G::callback();
        (*new).parent = parent;
        (*new).cookie = cookie;
        (*new).wind_from = c"gluster-bd".as_ptr();
        (*new).wind_to = G::NAME.as_ptr();
        (*new).unwind_to = G::NAME.as_ptr();
        libc::pthread_mutex_init((&raw mut (*new).lock).cast(), std::ptr::null());
        {
            let _locked = Locked::take(&raw mut (*root).stack_lock);
            let (head, node) = (&raw mut (*root).myframes, &raw mut (*new).frames);
            (*node).prev = head;
            (*node).next = (*head).next;
            (*(*head).next).prev = node;
            (*head).next = node;
        }
        let _this = Entered::new(to);
        if (*(*to).ctx).measure_latency != 0 {
            (*new).begin = now();
        }
        (*new).op = G::index();
        if !(*to).pass_through {
            count_fop(to, (*new).op);
        }
        if !G::send(new, to, args) {
            deliver::<G>(cookie, Err(Errno::ENOSYS.into()));
        }
    }
}

/// Gives a frame to the translator below, as `STACK_WIND_TAIL` of C does.
///
/// # Safety
/// `frame` is live, waits for an answer of `F`, and is not used after; `to` is live.
unsafe fn tail<F: Fop>(frame: *mut sys::call_frame_t, to: *mut sys::xlator_t, args: &F::Args<'_>) {
    // SAFETY: as the caller promises.
    unsafe {
        (*frame).this = to;
        (*frame).wind_to = F::NAME.as_ptr();
        let _this = Entered::new(to);
        // Other translators count when they wind; nothing counts for the last one otherwise.
        if !(*to).pass_through && (*to).children.is_null() {
            count_fop(to, F::index());
        }
        if !F::send(frame, to, args) {
            unwind::<F>(frame, Err(Errno::ENOSYS.into()));
        }
    }
}

/// Counts a fop that a translator gets.
///
/// # Safety
/// `to` is live.
unsafe fn count_fop(to: *mut sys::xlator_t, op: u32) {
    let Ok(op) = usize::try_from(op) else { return };
    // SAFETY: as the caller promises; the table has a place for each fop.
    unsafe {
        let stats = &raw mut (*to).stats[op];
        count(&raw mut (*stats).total_fop);
        count(&raw mut (*stats).interval_fop);
    }
}

/// The table of fops that a translator serves by.
///
/// # Safety
/// `to` is live.
pub(crate) unsafe fn table(to: *mut sys::xlator_t) -> *mut sys::xlator_fops {
    // SAFETY: as the caller promises.
    unsafe {
        if (*to).pass_through {
            (*to).pass_through_fops
        } else {
            (*to).fops
        }
    }
}

/// Hands an answer to what waits for it.
///
/// # Safety
/// `cookie` is the one that [`wind`] made for fop `G`, and this is its one answer.
pub(crate) unsafe fn deliver<G: Fop>(cookie: *mut c_void, answer: Answer<'_, G>) {
    // SAFETY: as the caller promises.
    let waiter = unsafe { Box::from_raw(cookie.cast::<Waiter<G>>()) };
    // A panic must not cross the C frames; the frame inside the waiter answers when it drops.
    if catch_unwind(AssertUnwindSafe(|| waiter(answer))).is_err() {
        gf_error!("panic in the callback of {:?}", G::NAME);
    }
}

/// Sends a fop and waits for its answer.
///
/// # Safety
/// `parent` is live until the answer comes.
pub(crate) unsafe fn ask<G: Fop>(
    parent: *mut sys::call_frame_t,
    to: Node,
    args: &G::Args<'_>,
) -> Answer<'static, G> {
    type Slot<G> = (Mutex<Option<Answer<'static, G>>>, Condvar);
    let slot: Arc<Slot<G>> = Arc::new((Mutex::new(None), Condvar::new()));
    let theirs = slot.clone();
    let waiter: Waiter<G> = Box::new(move |answer| {
        let answer = answer.map(G::own_reply).map_err(Failure::into_owned);
        *theirs.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        theirs.1.notify_one();
    });
    // SAFETY: as the caller promises.
    unsafe { wind::<G>(parent, to, args, waiter) };
    let mut answer = slot.0.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        match answer.take() {
            Some(answer) => return answer,
            None => answer = slot.1.wait(answer).unwrap_or_else(PoisonError::into_inner),
        }
    }
}
