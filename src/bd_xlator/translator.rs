use std::sync::Arc;

use glusterfs::fops::*;
use glusterfs::{Call, Dict, Errno, Event, Fd, Heard, InitError, Translator, Xlator};

use crate::brick::OpenImage;
use crate::inode_state::InodeState;
use crate::{Storage, fops, xdata};

macro_rules! served {
    ($($method:ident: $Fop:ident by $module:ident),* $(,)?) => {$(
        fn $method(self: &Arc<Self>, call: Call<'_, $Fop>) {
            let Some(brick) = self.brick() else {
                return call.fail(Errno::ENOTCONN);
            };
            xdata::look_at(stringify!($method), call.args.xdata.as_ref());
            fops::$module::$method(brick, call);
        }
    )*};
}

/// Fops that posix serves alone, once there is a brick.
macro_rules! passed {
    ($($method:ident: $Fop:ident),* $(,)?) => {$(
        fn $method(self: &Arc<Self>, call: Call<'_, $Fop>) {
            match self.brick() {
                Some(_) => call.pass(),
                None => call.fail(Errno::ENOTCONN),
            }
        }
    )*};
}

impl Translator for Storage {
    type InodeCtx = InodeState;
    type FdCtx = OpenImage;

    fn init(xl: Xlator<Storage>) -> Result<Arc<Storage>, InitError> {
        Storage::start(xl)
    }

    fn reconfigure(self: &Arc<Self>, options: &Dict<'_>) -> Result<(), InitError> {
        self.change(options)
    }

    fn notify(self: &Arc<Self>, event: Event) -> Heard {
        self.hear(event)
    }

    fn fini(self: &Arc<Self>) {
        self.stop();
    }

    fn release(self: &Arc<Self>, fd: &Fd<'_>, ctx: Option<Arc<OpenImage>>) {
        if let Some(brick) = self.brick() {
            fops::open::release(brick, fd, ctx);
        }
    }

    passed! {
        access: Access, readlink: Readlink, opendir: Opendir, readdir: Readdir, fsyncdir: Fsyncdir,
    }

    served! {
        lookup: Lookup by lookup,
        stat: Stat by attributes, fstat: Fstat by attributes,
        setattr: Setattr by attributes, fsetattr: Fsetattr by attributes,
        readdirp: Readdirp by readdir,
        create: Create by create, mknod: Mknod by create, mkdir: Mkdir by create,
        open: Open by open,
        readv: Readv by read, seek: Seek by read,
        writev: Writev by write,
        flush: Flush by sync, fsync: Fsync by sync,
        truncate: Truncate by truncate, ftruncate: Ftruncate by truncate,
        link: Link by link, symlink: Symlink by link,
        unlink: Unlink by unlink, rmdir: Rmdir by rmdir, rename: Rename by rename,
        statfs: Statfs by space,
        setxattr: Setxattr by setxattr, fsetxattr: Fsetxattr by setxattr,
        getxattr: Getxattr by getxattr, fgetxattr: Fgetxattr by getxattr,
        removexattr: Removexattr by removexattr, fremovexattr: Fremovexattr by removexattr,
        xattrop: Xattrop by xattrop, fxattrop: Fxattrop by xattrop,
        fallocate: Fallocate by allocate, discard: Discard by allocate,
        zerofill: Zerofill by allocate,
        rchecksum: Rchecksum by checksum,
        copy_file_range: CopyFileRange by unsupported,
        put: Put by unsupported,
    }
}
