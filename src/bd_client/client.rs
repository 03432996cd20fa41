use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bd_model::Gfid;
use glusterfs::fops::{
    Access, Create, Fallocate, Fgetxattr, FgetxattrReply, Fremovexattr, Fsetattr, Fsetxattr, Fstat,
    FstatArgs, Ftruncate, Getxattr, GetxattrReply, Link, Lookup, Mkdir, Mknod, Open, Readlink,
    Removexattr, Rename, Rmdir, Seek, Setattr, Setxattr, Stat, Statfs, Symlink, Truncate, Unlink,
};
use glusterfs::{
    Call, Credentials, Errno, FileType, Fop, Iatt, InitError, Inode, Loc, Node, Stack, Translator,
    Xlator, gf_warn,
};

use crate::arbiter::Tops;
use crate::attributes::Change;
use crate::guard::{Guard, Place};
use crate::notifier::Notifier;
use crate::replicas::Replicas;
use crate::target::{Roots, parse};
use crate::withheld::{self, Tells};
use crate::workers::Workers;
use crate::{afterwards, allocation, attributes, copy, merge, mounts, space, walk};

/// The translator `features/bd-client`.
#[derive(Debug)]
pub struct BdClient {
    xl: Xlator<BdClient>,
    workers: Workers,
    guard: Mutex<Guard>,
    front: OnceLock<Front>,
    phantoms: AtomicUsize,
    tops: Tops,
    replicas: OnceLock<Vec<Replicas>>,
}

/// What the process is.
#[derive(Debug)]
struct Front {
    fuse: bool,
    roots: Roots,
    notifier: Option<Notifier>,
}

/// Marks an inode that answered a symlink: the kernel insists on a symbolic link there, but the
/// name has a regular file. Whoever asks about the inode gets `ESTALE`, looks the name up again,
/// and finds the file.
#[derive(Debug)]
pub struct Phantom(());

/// Threads that make clones and snapshots, at most.
const WORKERS: usize = 16;

/// Names made by link that are remembered, at most.
const GUARDED: usize = 100_000;

impl BdClient {
    pub(crate) fn node(&self) -> Node {
        self.xl.node()
    }

    pub(crate) fn stack(&self, who: &Credentials) -> Stack {
        // The lock owner is the caller's, who may hold locks; ours must be our own.
        Stack::new(
            self.node(),
            &Credentials {
                lock_owner: Vec::new(),
                ..who.clone()
            },
        )
    }

    pub(crate) fn guard(&self) -> MutexGuard<'_, Guard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the kernel of a mount forget what it has of files whose bytes have changed by other means than writes.
    ///
    /// Without waiting, whoever asked for the change could be answered, and read, before the kernel is told.
    pub(crate) fn forget(&self, files: &[&Inode<'_>]) {
        let mut told = false;
        for file in files {
            told |= file.invalidate();
        }
        if told && let Some(notifier) = &self.front().notifier {
            notifier.wait_until_idle();
        }
    }

    fn front(&self) -> &Front {
        self.front.get_or_init(|| {
            let fuse = self.xl.front_end().as_deref() == Some("mount/fuse");
            let roots = if fuse {
                Roots::Mount(self.mount_points())
            } else {
                Roots::Volume
            };
            let notifier = if fuse { Notifier::find() } else { None };
            Front {
                fuse,
                roots,
                notifier,
            }
        })
    }

    /// Whether the process is a FUSE mount.
    pub(crate) fn fuse(&self) -> bool {
        self.front().fuse
    }

    /// Where absolute targets of symbolic links start.
    pub(crate) fn roots(&self) -> Roots {
        self.front().roots.clone()
    }

    /// A path of the process `pid`, which makes a link with that text in the directory `parent`, as it would
    /// be below the mount point; `None` if it is there already, or none of this volume. Bind mounts show a
    /// volume at other places as well, links of the host lead to it, and `..` leads out of it.
    ///
    /// Only for threads that may wait.
    ///
    /// # Errors
    /// `EXDEV` if nobody but the kernel could say where it leads: through a link of the volume, and out of it.
    pub(crate) fn below_mount(
        &self,
        stack: &Stack,
        pid: i32,
        parent: &Inode<'_>,
        text: &[u8],
    ) -> Result<Option<Vec<u8>>, Errno> {
        let roots = &self.front().roots;
        let winds = text.windows(2).any(|two| two == b"..");
        let (Roots::Mount(points), true) = (roots, pid > 0) else {
            return Ok(None);
        };
        if !winds && (!text.starts_with(b"/") || parse(text, roots).is_some()) {
            return Ok(None);
        }
        let read = |pid: &str| std::fs::read(format!("/proc/{pid}/mountinfo"));
        let (Ok(own), Ok(seen)) = (read("self"), read(&pid.to_string())) else {
            return Ok(None);
        };
        let Some(device) = mounts::device_at(&own, points) else {
            return Ok(None);
        };
        let paths = match (text.starts_with(b"/"), parent.path(None)) {
            (true, _) => vec![text.to_vec()],
            (false, Some(dir)) => mounts::absolute(&seen, &device, dir.to_bytes(), text),
            (false, None) => Vec::new(),
        };
        let root = format!("/proc/{pid}/root");
        let read_link = |path: &[u8]| {
            let path = [root.as_bytes(), path].concat();
            let text = std::fs::read_link(Path::new(OsStr::from_bytes(&path))).ok()?;
            Some(text.into_os_string().into_vec())
        };
        let passage = |path: &[u8]| walk::passage(stack, &parent.root(), path);
        for path in paths {
            match mounts::path_on(&seen, &device, &path, read_link, passage) {
                Ok(Some(inside)) => {
                    let point = points.first();
                    return Ok(point.map(|point| [point.as_slice(), &inside].concat()));
                }
                Ok(None) => {}
                Err(mounts::Lost) => {
                    gf_warn!(
                        "ln -s {}: it goes through a symbolic link of the volume and out of the volume, so that \
                         nobody can tell whether it is an image; type a path without ..",
                        String::from_utf8_lossy(text)
                    );
                    return Err(Errno::EXDEV);
                }
            }
        }
        Ok(None)
    }

    /// The mount point as it was given, and as it is without symbolic links. The mount itself is
    /// not touched: this process would have to answer.
    fn mount_points(&self) -> Vec<Vec<u8>> {
        let Some(given) = self.xl.mount_point() else {
            return Vec::new();
        };
        let given = Path::new(OsStr::from_bytes(given.to_bytes())).to_owned();
        let mut points = Vec::new();
        if let (Some(above), Some(last)) = (given.parent(), given.file_name())
            && let Ok(above) = above.canonicalize()
        {
            points.push(above.join(last).into_os_string().into_vec());
        }
        let given = given.into_os_string().into_vec();
        if given.starts_with(b"/") && !points.contains(&given) {
            points.push(given);
        }
        points
    }

    /// Makes the inode of a symlink fop the phantom of the file that has the name now, and
    /// answers the attributes that the kernel accepts.
    pub(crate) fn make_phantom(
        &self,
        inode: &Inode<'_>,
        parent: &Inode<'_>,
        name: &CStr,
        file: &Iatt,
        len: usize,
    ) -> Iatt {
        let mut iatt = *file;
        let gfid = *Gfid::random().as_bytes();
        iatt.set_gfid(gfid);
        let [.., a, b, c, d, e, f, g, h] = gfid;
        iatt.set_ino(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
        iatt.set_file_type(FileType::Symlink);
        iatt.set_permissions(0o777);
        iatt.set_size(len as u64);
        iatt.set_blocks(0);
        self.phantoms.fetch_add(1, Ordering::Relaxed);
        inode.set_ctx(self.xl, Some(Arc::new(Phantom(()))));
        // Before the answer: the kernel takes the notice when symlink(2) is over and drops the
        // name at once, so that even lstat(2) sees the file.
        match inode.link(Some((parent, name)), &iatt) {
            Ok(linked) => {
                if linked.invalidate()
                    && let Some(notifier) = &self.front().notifier
                {
                    notifier.wait_until_blocked();
                }
            }
            Err(errno) => gf_warn!("{name:?} is seen as a symbolic link for a second: {errno}"),
        }
        iatt
    }

    fn is_phantom(&self, loc: &Loc<'_>) -> bool {
        self.phantoms.load(Ordering::Relaxed) > 0
            && loc
                .inode()
                .is_some_and(|inode| inode.ctx(self.xl).is_some())
    }

    /// Whether a lookup believes the name to have a file that it has not.
    fn is_contradicted(&self, loc: &Loc<'_>) -> bool {
        let mut guard = self.guard();
        if guard.is_empty() {
            return false;
        }
        match (place(loc), loc.inode()) {
            (Some(place), Some(inode)) => guard.contradicts(&place, inode.gfid(), Instant::now()),
            _ => false,
        }
    }

    fn forget_place(&self, loc: &Loc<'_>) {
        let mut guard = self.guard();
        if guard.is_empty() {
            return;
        }
        if let Some(place) = place(loc) {
            guard.remove(&place);
        }
    }

    /// Lets a fop pass, after a look at what it does to the mark or policy of `inode`.
    fn change<F: Fop>(
        self: &Arc<Self>,
        call: Call<'_, F>,
        change: Option<Change>,
        inode: Option<Inode<'static>>,
    ) {
        let (Some(change), Some(inode)) = (change, inode) else {
            return call.pass();
        };
        if BdClient::is_internal(&call) {
            return call.pass();
        }
        let (this, call) = (self.clone(), call.detach());
        self.workers.run(move || change.pass(&this, call, &inode));
    }

    /// The replicas of all parts of the volume where there is more than one.
    pub(crate) fn replicas(&self) -> &[Replicas] {
        self.replicas.get_or_init(|| Replicas::all(self.node()))
    }

    /// Those that have an arbiter.
    pub(crate) fn arbitrated(&self) -> impl Iterator<Item = &Replicas> {
        let all = self.replicas().iter();
        all.filter(|replicas| replicas.arbiter().is_some())
    }

    /// Lets a fop pass, and sees that its answer tells the attributes of the file.
    pub(crate) fn pass_in_full<F: Tells>(&self, call: Call<'_, F>) {
        match self.replicas().is_empty() {
            true => call.pass(),
            false => withheld::pass(call),
        }
    }

    /// Internal clients (heal, rebalance, geo-replication) move what is there.
    fn is_internal<F: Fop>(call: &Call<'_, F>) -> bool {
        call.frame.pid() < 0
    }
}

fn place(loc: &Loc<'_>) -> Option<Place> {
    Some(Place {
        parent: loc.parent_gfid(),
        name: loc.name()?.to_bytes().to_vec(),
    })
}

/// How long caches may repeat what was wrong: md-cache's timeout and some more.
fn quiet(node: Node) -> Duration {
    let timeout = node
        .find_kind("performance/md-cache")
        .and_then(|cache| cache.option("md-cache-timeout"))
        .and_then(|text| text.parse().ok())
        .unwrap_or(1);
    Duration::from_secs(timeout + 30)
}

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
            workers: Workers::new(xl.node(), WORKERS),
            guard: Mutex::new(Guard::new(quiet(xl.node()), GUARDED)),
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
        self.workers.run(move || space::getxattr(&this, call));
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
            return self.workers.run(move || {
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
            self.workers.run(move || merge::setxattr(&this, call));
        } else if copy::old_wish(&call.args.dict).is_some() {
            let call = call.detach();
            self.workers.run(move || copy::setxattr(&this, call));
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
        self.workers.run(move || afterwards::rename(&this, call));
    }

    fn rmdir(self: &Arc<Self>, call: Call<'_, Rmdir>) {
        if BdClient::is_internal(&call) || self.replicas().is_empty() {
            return call.pass();
        }
        let (this, call) = (self.clone(), call.detach());
        self.workers.run(move || afterwards::rmdir(&this, call));
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
        self.workers.run(move || copy::link(&this, call));
    }

    fn symlink(self: &Arc<Self>, call: Call<'_, Symlink>) {
        self.forget_place(&call.args.loc);
        if BdClient::is_internal(&call) {
            return call.pass();
        }
        let (this, call) = (self.clone(), call.detach());
        self.workers.run(move || copy::symlink(&this, call));
    }
}
