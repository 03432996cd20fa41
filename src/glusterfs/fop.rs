use std::ffi::{CStr, c_void};

use glusterfs_sys as sys;

use crate::{Dict, Errno, Inode};

/// A file operation: its arguments, its answer, and how both look in C.
///
/// Implemented by the kit for each operation (see [`crate::fops`]).
pub trait Fop: Sized + 'static {
    /// The arguments, borrowed for 'a or owned (`'static`).
    type Args<'a>: Send + std::fmt::Debug;
    /// What is answered on success, borrowed for 'a or owned (`'static`).
    type Reply<'a>: Send + std::fmt::Debug;
    /// Its name, as in C.
    const NAME: &'static CStr;

    /// Takes references.
    fn own_args(args: Self::Args<'_>) -> Self::Args<'static>;

    /// Takes references.
    fn own_reply(reply: Self::Reply<'_>) -> Self::Reply<'static>;

    #[doc(hidden)]
    fn index() -> u32;

    /// Calls `to`; false if it does not know this operation.
    ///
    /// # Safety
    /// `frame` is a frame of this operation for `to`.
    #[doc(hidden)]
    unsafe fn send(
        frame: *mut sys::call_frame_t,
        to: *mut sys::xlator_t,
        args: &Self::Args<'_>,
    ) -> bool;

    /// The callback to put into a frame, with a [`Waiter`] of this operation as its cookie.
    #[doc(hidden)]
    fn callback() -> sys::ret_fn_t;

    /// # Safety
    /// `frame` is a frame of this operation, given up by the caller; `ret` is its callback.
    #[doc(hidden)]
    unsafe fn answer(
        ret: sys::ret_fn_t,
        parent: *mut sys::call_frame_t,
        cookie: *mut c_void,
        answer: Answer<'_, Self>,
    );

    /// The value that a success answers, as C's `op_ret`.
    #[doc(hidden)]
    fn value(reply: &Self::Reply<'_>) -> i32;
}

/// What a fop came to: its reply, or why it failed.
pub type Answer<'a, F> = Result<<F as Fop>::Reply<'a>, Failure<'a>>;

/// Why a fop failed.
#[derive(Debug)]
pub struct Failure<'a> {
    /// The error.
    pub errno: Errno,
    /// Extra data of the answer, if any.
    pub xdata: Option<Dict<'a>>,
    /// The inode that was asked for, where the callback of a failed lookup looks at it too.
    pub inode: Option<Inode<'a>>,
}

impl Failure<'_> {
    /// Takes references.
    pub fn into_owned(self) -> Failure<'static> {
        Failure {
            errno: self.errno,
            xdata: self.xdata.map(Dict::into_owned),
            inode: self.inode.map(Inode::into_owned),
        }
    }
}

impl From<Errno> for Failure<'_> {
    fn from(errno: Errno) -> Self {
        Failure {
            errno,
            xdata: None,
            inode: None,
        }
    }
}

impl From<Failure<'_>> for Errno {
    fn from(failure: Failure<'_>) -> Errno {
        failure.errno
    }
}

/// What waits for an answer.
pub(crate) type Waiter<F> =
    Box<dyn for<'r> FnOnce(Result<<F as Fop>::Reply<'r>, Failure<'r>>) + Send>;
