//! The fops that the client translator looks at.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use glusterfs::fops::{
    Access, Create, Fallocate, Fgetxattr, FgetxattrReply, Fremovexattr, Fsetattr, Fsetxattr, Fstat,
    FstatArgs, Ftruncate, Getxattr, GetxattrReply, Link, Lookup, Mkdir, Mknod, Open, Readlink,
    Removexattr, Rename, Rmdir, Seek, Setattr, Setxattr, Stat, Statfs, Symlink, Truncate, Unlink,
};
use glusterfs::{Call, Errno, FileType, InitError, Inode, Loc, Translator, Workers, Xlator};

use super::{BdClient, Phantom, RECENT_LINKS, WORKERS, quiet};
use crate::arbiter::Tops;
use crate::attributes::Change;
use crate::recent_links::RecentLinks;
use crate::{afterwards, allocation, attributes, copy, merge, space};

/// Fops on a loc that are refused for phantoms and else passed.
macro_rules! not_for_phantoms {
    ($($method:ident: $Fop:ident),* $(,)?) => {$(
        fn $method(self: &Arc<Self>, call: Call<'_, $Fop>) {
            if self.is_phantom(&call.args.loc) {
                return call.fail(Errno::ESTALE);
            }
            call.pass();
        }
    )*};
}

/// Fops whose answers tell a file's attributes, and which are refused for phantoms where they are on a loc.
macro_rules! told_in_full {
    ($($method:ident: $Fop:ident $(of $loc:ident)?),* $(,)?) => {$(
        fn $method(self: &Arc<Self>, call: Call<'_, $Fop>) {
            $(if self.is_phantom(&call.args.$loc) {
                return call.fail(Errno::ESTALE);
            })?
            self.pass_in_full(call);
        }
    )*};
}

impl Translator for BdClient {
    type InodeCtx = Phantom;
    type FdCtx = ();

    fn init(xl: Xlator<BdClient>) -> Result<Arc<BdClient>, InitError> {
        Ok(Arc::new(BdClient {
            xl,
            workers: Workers::new("bd-client", WORKERS),
            recent_links: Mutex::new(RecentLinks::new(quiet(xl.node()), RECENT_LINKS)),
            front: OnceLock::new(),
            phantoms: AtomicUsize::new(0),
            tops: Tops::default(),
            replicas: OnceLock::new(),
        }))
    }

    fn fini(self: &Arc<Self>) {
        self.workers.end();
    }

    fn forget(self: &Arc<Self>, _: &Inode<'_>, ctx: Option<Arc<Phantom>>) {
        if ctx.is_some() {
            self.phantoms.fetch_sub(1, Ordering::Relaxed);
        }
    }

    not_for_phantoms! {
        stat: Stat, access: Access, readlink: Readlink, open: Open,
    }

    told_in_full! {
        truncate: Truncate of loc, setattr: Setattr of loc, ftruncate: Ftruncate, fsetattr: Fsetattr,
        mkdir: Mkdir,
    }

    fn getxattr(self: &Arc<Self>, call: Call<'_, Getxattr>) {
        if self.is_phantom(&call.args.loc) {
            return call.fail(Errno::ESTALE);
        }
        if BdClient::is_internal(&call) {
            return call.pass();
        }
        if call.args.name.is_none() {
            return call.wind(|frame, answer| {
                frame.answer(answer.map(|reply| GetxattrReply {
                    dict: reply.dict.as_ref().map(attributes::without_marks),
                    ..reply
                }));
            });
        }
        if !space::is_wish(&call.args) {
            return call.pass();
        }
        let (this, call) = (self.clone(), call.detach());
        self.run(move || space::getxattr(&this, call));
    }

    fn fgetxattr(self: &Arc<Self>, call: Call<'_, Fgetxattr>) {
        if BdClient::is_internal(&call) || call.args.name.is_some() {
            return call.pass();
        }
        call.wind(|frame, answer| {
            frame.answer(answer.map(|reply| FgetxattrReply {
                dict: reply.dict.as_ref().map(attributes::without_marks),
                ..reply
            }));
        });
    }

    fn lookup(self: &Arc<Self>, call: Call<'_, Lookup>) {
        if self.is_phantom(&call.args.loc) || self.is_contradicted(&call.args.loc) {
            return call.fail(Errno::ESTALE);
        }
        // The first look at anything: a client that was there before the volume grew does not look at its root.
        if !BdClient::is_internal(&call)
            && self.tops.want_a_look()
            && let Some(root) = self.node().root_inode()
        {
            let (this, call) = (self.clone(), call.detach());
            return self.run(move || {
                this.tops.make(&this, &root);
                call.pass();
            });
        }
        call.pass();
    }

    fn setxattr(self: &Arc<Self>, call: Call<'_, Setxattr>) {
        if self.is_phantom(&call.args.loc) {
            return call.fail(Errno::ESTALE);
        }
        if BdClient::is_internal(&call) {
            return call.pass();
        }
        if attributes::are_internal(&call.args.dict) {
            return call.fail(Errno::EPERM);
        }
        let this = self.clone();
        if merge::is_wish(&call.args.dict) {
            let call = call.detach();
            self.run(move || merge::setxattr(&this, call));
        } else if copy::old_wish(&call.args.dict).is_some() {
            let call = call.detach();
            self.run(move || copy::setxattr(&this, call));
        } else {
            let change = Change::of_set(&call.args.dict);
            let inode = call.args.loc.inode().map(|inode| inode.share());
            self.change(call, change, inode);
        }
    }

    fn removexattr(self: &Arc<Self>, call: Call<'_, Removexattr>) {
        if self.is_phantom(&call.args.loc) {
            return call.fail(Errno::ESTALE);
        }
        let change = Change::of_removal(&call.args.name);
        let inode = call.args.loc.inode().map(|inode| inode.share());
        self.change(call, change, inode);
    }

    fn fremovexattr(self: &Arc<Self>, call: Call<'_, Fremovexattr>) {
        let change = Change::of_removal(&call.args.name);
        let inode = call.args.fd.inode().share();
        self.change(call, change, Some(inode));
    }

    fn fsetxattr(self: &Arc<Self>, call: Call<'_, Fsetxattr>) {
        if !BdClient::is_internal(&call) && attributes::are_internal(&call.args.dict) {
            return call.fail(Errno::EPERM);
        }
        let change = Change::of_set(&call.args.dict);
        let inode = call.args.fd.inode().share();
        self.change(call, change, Some(inode));
    }

    /// Where a file is meant, distribution would ask about the root.
    fn statfs(self: &Arc<Self>, mut call: Call<'_, Statfs>) {
        let inode = call.args.loc.inode();
        let file = inode.filter(|inode| inode.file_type() != FileType::Directory);
        if let Some(dir) = file.and_then(|file| file.parent()) {
            call.args.loc = Loc::by_gfid(&dir, dir.gfid());
        }
        call.pass();
    }

    fn unlink(self: &Arc<Self>, call: Call<'_, Unlink>) {
        if self.is_phantom(&call.args.loc) {
            return call.fail(Errno::ESTALE);
        }
        self.forget_place(&call.args.loc);
        call.pass();
    }

    fn rename(self: &Arc<Self>, mut call: Call<'_, Rename>) {
        if self.is_phantom(&call.args.oldloc) || self.is_phantom(&call.args.newloc) {
            return call.fail(Errno::ESTALE);
        }
        self.forget_place(&call.args.oldloc);
        self.forget_place(&call.args.newloc);
        if let Err(errno) = attributes::name_renamed(&mut call) {
            return call.fail(errno);
        }
        if BdClient::is_internal(&call) || self.arbitrated().next().is_none() {
            return call.pass();
        }
        let (this, call) = (self.clone(), call.detach());
        self.run(move || afterwards::rename(&this, call));
    }

    fn rmdir(self: &Arc<Self>, call: Call<'_, Rmdir>) {
        if BdClient::is_internal(&call) || self.replicas().is_empty() {
            return call.pass();
        }
        let (this, call) = (self.clone(), call.detach());
        self.run(move || afterwards::rmdir(&this, call));
    }

    fn create(self: &Arc<Self>, call: Call<'_, Create>) {
        self.forget_place(&call.args.loc);
        self.pass_in_full(call);
    }

    fn mknod(self: &Arc<Self>, call: Call<'_, Mknod>) {
        self.forget_place(&call.args.loc);
        self.pass_in_full(call);
    }

    /// Looks for data and holes only after all that was written before has reached the brick:
    /// write-behind, which knows no seek, would let it overtake writes that it has acknowledged,
    /// and a copy would skip them. It keeps fstat behind them.
    fn seek(self: &Arc<Self>, call: Call<'_, Seek>) {
        let Call { frame, args } = call.detach();
        let fstat = FstatArgs {
            fd: args.fd.share(),
            xdata: None,
        };
        frame.wind::<Fstat>(fstat, move |frame, answer| match answer {
            Ok(_) => frame.pass(args),
            Err(failure) => frame.fail(failure.errno),
        });
    }

    fn fallocate(self: &Arc<Self>, call: Call<'_, Fallocate>) {
        if self.fuse() && !BdClient::is_internal(&call) {
            allocation::fallocate(call.detach());
        } else {
            call.pass();
        }
    }

    fn link(self: &Arc<Self>, call: Call<'_, Link>) {
        if self.is_phantom(&call.args.oldloc) {
            return call.fail(Errno::ESTALE);
        }
        self.forget_place(&call.args.newloc);
        if BdClient::is_internal(&call) {
            return call.pass();
        }
        let (this, call) = (self.clone(), call.detach());
        self.run(move || copy::link(&this, call));
    }

    fn symlink(self: &Arc<Self>, call: Call<'_, Symlink>) {
        self.forget_place(&call.args.loc);
        if BdClient::is_internal(&call) {
            return call.pass();
        }
        let (this, call) = (self.clone(), call.detach());
        self.run(move || copy::symlink(&this, call));
    }
}
