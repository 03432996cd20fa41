use std::sync::Arc;

use glusterfs::fops::*;
use glusterfs::{Call, Dict, Event, Fd, InitError, Translator, Xlator};

use crate::brick::OpenImage;
use crate::core::Node;
use crate::{Brick, fops, xdata};

macro_rules! served {
    ($($method:ident: $Fop:ident by $module:ident),* $(,)?) => {$(
        fn $method(self: &Arc<Self>, call: Call<'_, $Fop>) {
            xdata::look_at(stringify!($method), call.args.xdata.as_ref());
            fops::$module::$method(self, call);
        }
    )*};
}

impl Translator for Brick {
    type InodeCtx = Node;
    type FdCtx = OpenImage;

    fn init(xl: Xlator<Brick>) -> Result<Arc<Brick>, InitError> {
        Brick::start(xl)
    }

    fn reconfigure(self: &Arc<Self>, options: &Dict<'_>) -> Result<(), InitError> {
        Brick::reconfigure(self, options)
    }

    fn notify(self: &Arc<Self>, event: Event) {
        if event == (Event::ParentDown { detaches: true }) {
            self.finish();
        }
    }

    fn fini(self: &Arc<Self>) {
        self.stop();
    }

    fn release(self: &Arc<Self>, fd: &Fd<'_>, ctx: Option<Arc<OpenImage>>) {
        fops::open::release(self, fd, ctx);
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
        setxattr: Setxattr by xattrs, fsetxattr: Fsetxattr by xattrs,
        getxattr: Getxattr by xattrs, fgetxattr: Fgetxattr by xattrs,
        removexattr: Removexattr by xattrs, fremovexattr: Fremovexattr by xattrs,
        xattrop: Xattrop by xattrs, fxattrop: Fxattrop by xattrs,
        fallocate: Fallocate by allocate, discard: Discard by allocate,
        zerofill: Zerofill by allocate,
        rchecksum: Rchecksum by checksum,
        copy_file_range: CopyFileRange by refuse,
        put: Put by refuse,
    }
}
