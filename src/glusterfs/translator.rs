use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;

use glusterfs_sys as sys;

use crate::fops::*;
use crate::{Answer, Dict, Errno, Failure, Fd, Fop, Frame, Inode, Node, Xlator};

/// One fop on its way through the translator: what is asked, and the duty to answer.
///
/// Take it apart (`let Call { frame, args } = call;`) for anything that the methods do not do.
pub struct Call<'a, F: Fop> {
    /// The duty to answer, and who asks.
    pub frame: Frame<F>,
    /// What is asked; change it in place before passing on.
    pub args: F::Args<'a>,
}

impl<'a, F: Fop> Call<'a, F> {
    /// Lets the first translator below handle the fop, and answer the caller itself.
    pub fn pass(self) {
        let Call { frame, args } = self;
        frame.pass(args);
    }

    /// Lets `to`, a translator somewhere below, handle the fop, and answer the caller itself.
    pub fn pass_to(self, to: Node) {
        let Call { frame, args } = self;
        frame.pass_to(to, args);
    }

    /// Takes references, so that the call can move to another thread and be answered there.
    pub fn detach(self) -> Call<'static, F> {
        Call {
            frame: self.frame,
            args: F::own_args(self.args),
        }
    }

    /// Answers success.
    pub fn unwind(self, reply: F::Reply<'_>) {
        self.frame.unwind(reply);
    }

    /// Answers failure.
    pub fn fail(self, errno: Errno) {
        self.frame.fail(errno);
    }

    /// Answers.
    pub fn answer(self, answer: Answer<'_, F>) {
        self.frame.answer(answer);
    }

    /// Asks the first translator below the same; `then` gets the frame back with the answer, and
    /// answers with it, changed or not.
    pub fn wind(
        self,
        then: impl for<'r> FnOnce(Frame<F>, Result<F::Reply<'r>, Failure<'r>>) + Send + 'static,
    ) {
        self.frame.wind::<F>(self.args, then);
    }

    /// Asks the first translator below the same and waits for the answer. See [`Frame::ask`].
    pub fn ask(self) -> (Frame<F>, Answer<'static, F>) {
        let answer = self.frame.ask::<F>(self.args);
        (self.frame, answer)
    }
}

impl<F: Fop> fmt::Debug for Call<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.args.fmt(f)
    }
}

/// Why a translator cannot start.
#[derive(Debug)]
pub struct InitError(pub String);

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InitError {}

impl InitError {
    /// The text of an error with all its causes.
    pub fn of(error: &dyn std::error::Error) -> InitError {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        InitError(text)
    }
}

/// What happens to the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The translators above are ready.
    ParentUp,
    /// The translators above are going away. If the brick is being detached from a process that
    /// serves others, too, nobody asks it for anything any more, while what is below it still
    /// answers: that is gone in [`Translator::fini`], as is the inode table.
    ParentDown {
        /// Whether it is.
        detaches: bool,
    },
    /// A translator below is ready.
    ChildUp,
    /// A translator below is gone.
    ChildDown,
    /// The brick is being detached or the process ends.
    Cleanup,
    /// Anything else, by its number in `glusterfs_event_t`.
    Other(i32),
}

/// What becomes of an event that a translator has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The next translators hear it, too.
    GoesOn,
    /// They do not.
    Kept,
}

impl Event {
    /// # Safety
    /// `data` is what came with the event: for the one from above, null or a live translator.
    pub(crate) unsafe fn from_raw(raw: i32, data: *const c_void) -> Event {
        match u32::try_from(raw) {
            Ok(sys::GF_EVENT_PARENT_UP) => Event::ParentUp,
            Ok(sys::GF_EVENT_PARENT_DOWN) => {
                // SAFETY: as the caller promises.
                let top = unsafe { data.cast::<sys::xlator_t>().as_ref() };
                Event::ParentDown {
                    detaches: top.is_some_and(|top| top.cleanup_starting != 0),
                }
            }
            Ok(sys::GF_EVENT_CHILD_UP) => Event::ChildUp,
            Ok(sys::GF_EVENT_CHILD_DOWN) => Event::ChildDown,
            Ok(sys::GF_EVENT_CLEANUP) => Event::Cleanup,
            _ => Event::Other(raw),
        }
    }
}

macro_rules! translator {
    ($($method:ident: $Fop:ident),* $(,)?) => {
        /// A translator: every fop it does not implement passes through.
        ///
        /// One value exists for each appearance in a graph, from [`Translator::init`] to
        /// [`Translator::fini`]. A fop runs on a thread of GlusterFS and may not block it: move
        /// the call to a thread of your own ([`Call::detach`]) for anything that waits, except
        /// for questions to posix, which answers at once. A panic in a fop is logged, and the
        /// fop answered `EIO`.
        pub trait Translator: Send + Sync + Sized + 'static {
            /// What the translator remembers of an inode while the table has it.
            type InodeCtx: Send + Sync + 'static;
            /// What the translator remembers of an fd while it is open.
            type FdCtx: Send + Sync + 'static;

            /// Starts: reads the options, opens what is needed.
            ///
            /// # Errors
            /// The reason, which is logged; the graph then does not start.
            fn init(xl: Xlator<Self>) -> Result<Arc<Self>, InitError>;

            /// Takes changed options.
            ///
            /// # Errors
            /// The reason, which is logged; the old options stay.
            fn reconfigure(self: &Arc<Self>, options: &Dict<'_>) -> Result<(), InitError> {
                let _ = options;
                Ok(())
            }

            /// Ends: stops threads, and waits for them. What is below has ended before, and with
            /// it the inode table: what needs them is to be done at [`Event::ParentDown`].
            fn fini(self: &Arc<Self>) {}

            /// Hears of an event, and says whether it goes on to the next translators.
            fn notify(self: &Arc<Self>, event: Event) -> Heard {
                let _ = event;
                Heard::GoesOn
            }

            /// The last reference to an inode is gone. Its context is dropped after.
            fn forget(self: &Arc<Self>, inode: &Inode<'_>, ctx: Option<Arc<Self::InodeCtx>>) {
                let _ = (inode, ctx);
            }

            /// The last reference to an open file is gone. Its context is dropped after.
            fn release(self: &Arc<Self>, fd: &Fd<'_>, ctx: Option<Arc<Self::FdCtx>>) {
                let _ = (fd, ctx);
            }

            /// The last reference to an open directory is gone. Its context is dropped after.
            fn releasedir(self: &Arc<Self>, fd: &Fd<'_>, ctx: Option<Arc<Self::FdCtx>>) {
                let _ = (fd, ctx);
            }

            /// What is cached of an inode is not true any more.
            fn invalidate(self: &Arc<Self>, inode: &Inode<'_>) {
                let _ = inode;
            }

            $(
                #[doc = concat!("[`", stringify!($Fop), "`].")]
                fn $method(self: &Arc<Self>, call: Call<'_, $Fop>) {
                    call.pass();
                }
            )*
        }

        /// The table of a translator's fops.
        #[doc(hidden)]
        pub const fn fops_table<T: Translator>() -> sys::xlator_fops {
            // SAFETY: a table of nullable function pointers.
            let mut table: sys::xlator_fops = unsafe { std::mem::zeroed() };
            $(table.$method = Some(crate::fops::$method::entry::<T>);)*
            table
        }
    };
}

translator! {
    lookup: Lookup, stat: Stat, fstat: Fstat, access: Access, readlink: Readlink, mknod: Mknod,
    mkdir: Mkdir, unlink: Unlink, rmdir: Rmdir, symlink: Symlink, rename: Rename, link: Link,
    create: Create, open: Open, readv: Readv, writev: Writev, flush: Flush, fsync: Fsync,
    opendir: Opendir, fsyncdir: Fsyncdir, statfs: Statfs, truncate: Truncate,
    ftruncate: Ftruncate, setxattr: Setxattr, getxattr: Getxattr, fsetxattr: Fsetxattr,
    fgetxattr: Fgetxattr, removexattr: Removexattr, fremovexattr: Fremovexattr,
    readdir: Readdir, readdirp: Readdirp, xattrop: Xattrop, fxattrop: Fxattrop,
    setattr: Setattr, fsetattr: Fsetattr, fallocate: Fallocate, discard: Discard,
    zerofill: Zerofill, seek: Seek, rchecksum: Rchecksum, put: Put, icreate: Icreate,
    namelink: Namelink, copy_file_range: CopyFileRange, inodelk: Inodelk,
}
