//! What a translator's shared object exports, and the doors through which C comes in.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use glusterfs_sys as sys;

use crate::inode::pointer;
use crate::translator::{Event, Heard};
use crate::{Call, Dict, Errno, Fd, Fop, Frame, Inode, Translator, Xlator, gf_error};

/// The translator behind `this`, if it was started.
///
/// # Safety
/// `this` is a live translator whose implementation is `T`.
unsafe fn instance<T: Translator>(this: *mut sys::xlator_t) -> Option<ManuallyDrop<Arc<T>>> {
    // SAFETY: as the caller promises; init put an Arc<T> there, or it is null.
    unsafe {
        let private = (*this).private.cast::<T>();
        (!private.is_null()).then(|| ManuallyDrop::new(Arc::from_raw(private)))
    }
}

/// Runs what C called, and keeps panics from crossing into C.
fn guard(what: &str, work: impl FnOnce()) -> bool {
    let done = catch_unwind(AssertUnwindSafe(work)).is_ok();
    if !done {
        gf_error!("panic in {what}; this is a bug, please report it with the lines above");
    }
    done
}

/// Hands a fop to the translator.
///
/// # Safety
/// `frame` is a frame of fop `F` for `this`, whose implementation is `T`.
pub(crate) unsafe fn serve<'a, T: Translator, F: Fop>(
    frame: *mut sys::call_frame_t,
    this: *mut sys::xlator_t,
    args: Option<F::Args<'a>>,
    method: fn(&Arc<T>, Call<'a, F>),
) -> i32 {
    let Some(frame) = NonNull::new(frame) else {
        return 0;
    };
    // SAFETY: as the caller promises.
    let frame = unsafe { Frame::<F>::new(frame) };
    let Some(args) = args else {
        frame.fail(Errno::EINVAL);
        return 0;
    };
    // SAFETY: as the caller promises.
    let Some(translator) = (unsafe { instance::<T>(this) }) else {
        frame.fail(Errno::ENOTCONN);
        return 0;
    };
    // A panic drops the frame, which answers EIO.
    guard(F::NAME.to_str().unwrap_or("a fop"), || {
        method(&translator, Call { frame, args })
    });
    0
}

/// Lets panics say where they were in the log: the standard error of a daemon goes nowhere.
fn log_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            gf_error!("{panic}");
            before(panic);
        }));
    });
}

/// # Safety
/// `this` is a live translator whose implementation is `T`.
#[doc(hidden)]
pub unsafe fn init<T: Translator>(this: *mut sys::xlator_t, identifier: *const c_char) -> i32 {
    // SAFETY: a live translator. The field lies behind all counters of the structure, so that a
    // build with wrong ideas of their size does not find it.
    if unsafe { (*this).identifier.cast_const() } != identifier {
        gf_error!(
            "this translator was built for another version of GlusterFS; \
             build it against the headers of the installed one"
        );
        return -1;
    }
    // SAFETY: as the caller promises.
    let xl = unsafe { Xlator::<T>::of(this) };
    if xl.first_child().is_none() {
        gf_error!("{xl:?} has no translator below it; check the volfile");
        return -1;
    }
    log_panics();
    let mut ret = -1;
    guard("init", || match T::init(xl) {
        Ok(translator) => {
            // SAFETY: live; the slot belongs to the translator, and keeps the Arc until fini.
            unsafe { (*this).private = Arc::into_raw(translator).cast_mut().cast::<c_void>() };
            ret = 0;
        }
        Err(error) => gf_error!("{xl:?} cannot start: {error}"),
    });
    ret
}

unsafe extern "C" fn fini<T: Translator>(this: *mut sys::xlator_t) {
    // SAFETY: libglusterfs calls this once, on a translator of ours, when no fop is in flight.
    unsafe {
        let Some(translator) = instance::<T>(this) else {
            return;
        };
        guard("fini", || translator.fini());
        (*this).private = std::ptr::null_mut();
        guard("fini", || drop(ManuallyDrop::into_inner(translator)));
    }
}

unsafe extern "C" fn reconfigure<T: Translator>(
    this: *mut sys::xlator_t,
    options: *mut sys::dict_t,
) -> i32 {
    // SAFETY: called on a translator of ours, with live options.
    let (translator, options) = unsafe {
        (
            instance::<T>(this),
            NonNull::new(options).map(|options| Dict::borrow(options)),
        )
    };
    let (Some(translator), Some(options)) = (translator, options) else {
        return 0;
    };
    let mut ret = -1;
    guard("reconfigure", || match translator.reconfigure(&options) {
        Ok(()) => ret = 0,
        Err(error) => gf_error!("the changed options are refused: {error}"),
    });
    ret
}

unsafe extern "C" fn mem_acct_init(this: *mut sys::xlator_t) -> i32 {
    let types = i32::try_from(sys::gf_common_mt_end).unwrap_or(i32::MAX - 1) + 1;
    // SAFETY: called on a live translator, before init.
    unsafe { sys::xlator_mem_acct_init(this, types) }
}

/// C calls it with further arguments for a few events; on the calling conventions of Linux a
/// fixed fourth pointer receives the first of them, to be handed on.
unsafe extern "C" fn notify<T: Translator>(
    this: *mut sys::xlator_t,
    event: i32,
    data: *mut c_void,
    extra: *mut c_void,
) -> i32 {
    // SAFETY: called on a translator of ours.
    if let Some(translator) = unsafe { instance::<T>(this) } {
        // SAFETY: the event's own data.
        let event = unsafe { Event::from_raw(event, data) };
        let mut heard = Heard::GoesOn;
        guard("notify", || heard = translator.notify(event));
        if heard == Heard::Kept {
            return 0;
        }
    }
    // SAFETY: hands on what came.
    unsafe { sys::default_notify(this, event, data, extra) }
}

unsafe extern "C" fn forget<T: Translator>(
    this: *mut sys::xlator_t,
    inode: *mut sys::inode_t,
) -> i32 {
    let mut value = 0u64;
    // SAFETY: called on a translator of ours with an inode that goes away after.
    unsafe {
        sys::inode_ctx_del2(inode, this, &raw mut value, std::ptr::null_mut());
        // SAFETY: the slot's own count.
        let ctx = (value != 0).then(|| Arc::from_raw(pointer::<T::InodeCtx>(value)));
        let (Some(translator), Some(inode)) = (instance::<T>(this), NonNull::new(inode)) else {
            return 0;
        };
        let inode = Inode::borrow(inode);
        guard("forget", || translator.forget(&inode, ctx));
    }
    0
}

type ReleaseHook<T> = fn(&Arc<T>, &Fd<'_>, Option<Arc<<T as Translator>::FdCtx>>);

/// # Safety
/// `this` is a translator of ours, and `fd` goes away after.
unsafe fn released<T: Translator>(
    this: *mut sys::xlator_t,
    fd: *mut sys::fd_t,
    hook: ReleaseHook<T>,
) -> i32 {
    // SAFETY: as the caller promises; the slot's own count.
    unsafe {
        let value = sys::compat::fd_ctx_del(fd, this);
        let ctx = (value != 0).then(|| Arc::from_raw(pointer::<T::FdCtx>(value)));
        let (Some(translator), Some(fd)) = (instance::<T>(this), NonNull::new(fd)) else {
            return 0;
        };
        let fd = Fd::borrow(fd);
        guard("release", || hook(&translator, &fd, ctx));
    }
    0
}

unsafe extern "C" fn release<T: Translator>(this: *mut sys::xlator_t, fd: *mut sys::fd_t) -> i32 {
    // SAFETY: called on a translator of ours with an fd that goes away after.
    unsafe { released::<T>(this, fd, T::release) }
}

unsafe extern "C" fn releasedir<T: Translator>(
    this: *mut sys::xlator_t,
    fd: *mut sys::fd_t,
) -> i32 {
    // SAFETY: called on a translator of ours with an fd that goes away after.
    unsafe { released::<T>(this, fd, T::releasedir) }
}

unsafe extern "C" fn invalidate<T: Translator>(
    this: *mut sys::xlator_t,
    inode: *mut sys::inode_t,
) -> i32 {
    // SAFETY: called on a translator of ours with a live inode.
    unsafe {
        if let (Some(translator), Some(inode)) = (instance::<T>(this), NonNull::new(inode)) {
            let inode = Inode::borrow(inode);
            guard("invalidate", || translator.invalidate(&inode));
        }
    }
    0
}

/// The table of a translator's callbacks.
#[doc(hidden)]
pub const fn cbks_table<T: Translator>() -> sys::xlator_cbks {
    // SAFETY: a table of nullable function pointers.
    let mut table: sys::xlator_cbks = unsafe { std::mem::zeroed() };
    table.forget = Some(forget::<T>);
    table.release = Some(release::<T>);
    table.releasedir = Some(releasedir::<T>);
    table.invalidate = Some(invalidate::<T>);
    table
}

/// One line of the options table: a text option.
#[doc(hidden)]
pub const fn option(
    key: &'static CStr,
    default: Option<&'static CStr>,
    description: &'static CStr,
) -> sys::volume_option_t {
    // SAFETY: pointers and numbers, for which zero is a value.
    let mut line: sys::volume_option_t = unsafe { std::mem::zeroed() };
    line.key[0] = key.as_ptr().cast_mut();
    line.type_ = sys::GF_OPTION_TYPE_STR;
    if let Some(default) = default {
        line.default_value = default.as_ptr().cast_mut();
    }
    line.description = description.as_ptr().cast_mut();
    line
}

/// The empty line that ends an options table.
#[doc(hidden)]
pub const fn no_option() -> sys::volume_option_t {
    // SAFETY: pointers and numbers, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

#[doc(hidden)]
pub type InitFn = unsafe extern "C" fn(*mut sys::xlator_t) -> i32;

/// What `xlator_api` holds.
#[doc(hidden)]
pub const fn api<T: Translator>(
    identifier: &'static CStr,
    options: *const sys::volume_option_t,
    init: InitFn,
    fops: *mut sys::xlator_fops,
    cbks: *mut sys::xlator_cbks,
) -> sys::xlator_api_t {
    type Fixed = unsafe extern "C" fn(*mut sys::xlator_t, i32, *mut c_void, *mut c_void) -> c_int;
    // SAFETY: pointers and numbers, for which zero is a value.
    let mut api: sys::xlator_api_t = unsafe { std::mem::zeroed() };
    api.op_version = [100_000, 0, 0, 0];
    api.identifier = identifier.as_ptr().cast_mut();
    api.category = sys::GF_EXPERIMENTAL;
    api.options = options.cast_mut();
    api.init = Some(init);
    api.fini = Some(fini::<T>);
    api.reconfigure = Some(reconfigure::<T>);
    api.mem_acct_init = Some(mem_acct_init);
    // SAFETY: see `notify`: the fixed fourth parameter stands where the variable ones start.
    api.notify =
        unsafe { std::mem::transmute::<Option<Fixed>, sys::event_notify_fn_t>(Some(notify::<T>)) };
    api.fops = fops;
    api.cbks = cbks;
    api
}

/// Makes the shared object this is written in a translator of GlusterFS.
///
/// ```ignore
/// glusterfs::export!(my_crate::Mine, c"mine", options: [
///     (c"store", Some(c"/var/lib/mine"), c"where the data is"),
/// ]);
/// ```
#[macro_export]
macro_rules! export {
    ($translator:ty, $identifier:expr) => {
        $crate::export!($translator, $identifier, options: []);
    };
    ($translator:ty, $identifier:expr, options: [
        $(($key:expr, $default:expr, $description:expr)),* $(,)?
    ]) => {
        static mut FOPS: $crate::sys::xlator_fops = $crate::translator::fops_table::<$translator>();
        static mut CBKS: $crate::sys::xlator_cbks = $crate::export::cbks_table::<$translator>();

        unsafe extern "C" fn init(this: *mut $crate::sys::xlator_t) -> i32 {
            // SAFETY: libglusterfs calls it with a translator that it loaded from here; nothing
            // writes to the description.
            unsafe { $crate::export::init::<$translator>(this, xlator_api.identifier) }
        }

        /// What libglusterfs looks up when it loads this translator.
        #[unsafe(no_mangle)]
        #[expect(non_upper_case_globals, reason = "the name is libglusterfs's")]
        pub static mut xlator_api: $crate::sys::xlator_api_t = $crate::export::api::<$translator>(
            $identifier,
            (&[
                $($crate::export::option($key, $default, $description),)*
                $crate::export::no_option(),
            ] as &[$crate::sys::volume_option_t]).as_ptr(),
            init,
            &raw mut FOPS,
            &raw mut CBKS,
        );
    };
}
