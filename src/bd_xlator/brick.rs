mod kinds;
mod times;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bd_model::Gfid;
use bd_proto::{Reply, Request, Space};
use bd_uring::Ring;
use glusterfs::{Errno, Fd, InitError, Inode, Xlator, gf_error, gf_info, gf_warn};

pub(crate) use self::times::moment;
use crate::Storage;
use crate::brief::Overdue;
use crate::inflight_creates::InflightCreates;
use crate::maintenance::hydrator::Hydrator;
use crate::maintenance::{self, Maintenance};
use crate::name_locks::NameLocks;
use crate::ops::merge::{Merge, Promise};
use crate::server_client::ServerClient;
use crate::setup::Setup;
use crate::unfinished_copies::{Consents, UnfinishedCopies};
use crate::{Image, Images};
use bd_image::ServerError;
use glusterfs::{Tally, Workers};

/// The most threads for reading and writing open images, where the ring does not: several times
/// what one client can ask at a time (server.outstanding-rpc-limit, 64).
const DATA_THREADS: usize = 256;
/// The most threads for what waits for gluster-bdd.
const CONTROL_THREADS: usize = 256;

/// The most threads for what waits for gluster-bdd for a moment.
const BRIEF_THREADS: usize = 16;

/// How long a brick that has lost its names leaves the top image directory to heal, which makes it as
/// one that must be healed. One that the brick makes would be taken for a good one that is empty.
const TOP_BY_HEAL: Duration = Duration::from_secs(60);

/// One brick of one volume, which gluster-bdd has taken.
#[derive(Debug)]
pub struct Brick {
    pub(crate) xl: Xlator<Storage>,
    pub(crate) server: ServerClient,
    pub(crate) images: Images,
    /// The top image directory, the same on every brick of the volume.
    top: Gfid,
    top_is_there: AtomicBool,
    /// The LVs that were there before are files in it.
    shown: AtomicBool,
    /// Held while LVs become files.
    adopting: Mutex<()>,
    /// Until then heal makes the top image directory, and not the brick.
    top_by_heal: Option<Instant>,
    /// Destinations of clones and snapshots that are under way.
    unfinished_copies: UnfinishedCopies,
    /// Plain files that may become copies.
    consents: Consents,
    /// Whether root alone may make plain files images: the option `convert`.
    root_converts: AtomicBool,
    inflight_creates: InflightCreates,
    /// Turns to change what names lead to.
    pub(crate) names: NameLocks,
    /// Whether posix keeps the times that clients give to fops (`features.ctime`, on by default).
    times_by_clients: bool,
    /// Images whose stub does not know yet when they were written.
    unsaved: Mutex<Vec<(Inode<'static>, Arc<Image>)>>,
    /// Directories in which an image could not be removed, though it may be gone on other bricks.
    kept_in: Mutex<HashSet<[u8; 16]>>,
    /// One merge at a time: it holds two images.
    merging: Mutex<()>,
    /// Merges that were announced. An image's lock may be held when it is locked.
    promises: Mutex<Vec<Promise>>,
    /// Merges whose end is not known yet.
    merges: Mutex<Vec<Merge>>,
    control: Workers,
    data: Workers,
    /// For fops that wait for gluster-bdd, but not long.
    brief: Workers,
    pub(crate) overdue: Overdue,
    /// Space as gluster-bdd last told it.
    space: Mutex<Option<Space>>,
    /// Jobs of all three that are queued or under way.
    jobs: Arc<Tally>,
    /// Nothing below answers any more.
    ended: AtomicBool,
    /// Reads and writes whole blocks of open images, where the kernel allows it.
    ring: Option<Ring>,
    maintenance: Mutex<Option<Maintenance>>,
    hydrator: Mutex<Option<Hydrator>>,
    /// Counts the reads and writes that clients have begun.
    traffic: AtomicU64,
}

/// An open image.
#[derive(Debug)]
pub struct OpenImage {
    pub(crate) image: Arc<Image>,
    /// Whether it may be written whatever its flags say: it made the file without any.
    pub(crate) is_maker: bool,
}

impl Brick {
    /// A brick that gluster-bdd has taken. Its threads begin to work.
    pub(crate) fn start(
        xl: Xlator<Storage>,
        setup: &Setup,
        server: ServerClient,
    ) -> Result<Arc<Brick>, InitError> {
        let dir = setup.dir.display();
        let brick = server.brick();
        gf_info!(
            "brick {dir} serves images of {:?} in /{}",
            brick.engine,
            brick.top
        );
        let top = Gfid::of_top_directory(setup.volume, &brick.top);
        let lost_names = setup.heals && has_lost_names(&server, &setup.dir, top);
        if lost_names {
            gf_warn!(
                "brick {dir} has images in {:?} and no directory /{}: it has lost its names; heal \
                 them with gluster volume heal VOL full, and see gluster-bd check {dir}",
                brick.engine,
                brick.top
            );
        }
        let threads = |name, count| {
            Workers::start(name, count)
                .map_err(|error| InitError(format!("cannot start threads: {error}")))
        };
        let brick = Arc::new(Brick {
            ring: setup.engine.start(),
            xl,
            top,
            server,
            images: Images::default(),
            top_is_there: AtomicBool::new(false),
            shown: AtomicBool::new(false),
            adopting: Mutex::default(),
            top_by_heal: lost_names.then(|| Instant::now() + TOP_BY_HEAL),
            unfinished_copies: UnfinishedCopies::new(&setup.dir, setup.heals),
            consents: Consents::default(),
            root_converts: AtomicBool::new(setup.root_converts),
            inflight_creates: InflightCreates::default(),
            names: NameLocks::default(),
            times_by_clients: setup.times_by_clients,
            unsaved: Mutex::default(),
            kept_in: Mutex::default(),
            merging: Mutex::default(),
            promises: Mutex::default(),
            merges: Mutex::default(),
            control: threads("bd-control", CONTROL_THREADS)?,
            data: threads("bd-data", DATA_THREADS)?,
            brief: threads("bd-brief", BRIEF_THREADS)?,
            overdue: Overdue::default(),
            space: Mutex::default(),
            jobs: Arc::default(),
            ended: AtomicBool::new(false),
            maintenance: Mutex::default(),
            hydrator: Mutex::default(),
            traffic: AtomicU64::new(0),
        });
        let maintenance = Maintenance::start(&brick)
            .map_err(|error| InitError(format!("cannot start a thread: {error}")))?;
        *lock(&brick.maintenance) = Some(maintenance);
        let hydrator = Hydrator::start(&brick)
            .map_err(|error| InitError(format!("cannot start a thread: {error}")))?;
        *lock(&brick.hydrator) = Some(hydrator);
        Ok(brick)
    }

    /// Takes what may change while the brick runs.
    pub(crate) fn change(&self, setup: &Setup) {
        let root_converts = setup.root_converts;
        if self.root_converts.swap(root_converts, Ordering::Relaxed) != root_converts {
            let who = if root_converts { "root" } else { "owner" };
            gf_info!("a plain file is made an image by its {who} from now on");
        }
    }

    /// Whether root alone may make plain files images.
    pub(crate) fn root_converts(&self) -> bool {
        self.root_converts.load(Ordering::Relaxed)
    }

    /// Finishes all that is under way, while what is below still answers; nothing is begun after.
    ///
    /// Only when no client asks any more.
    pub(crate) fn finish(&self) {
        self.stop();
        self.jobs.wait_for_none();
        maintenance::save(self);
        self.ended.store(true, Ordering::Release);
        gf_info!("all that was under way is done");
    }

    /// Ends the threads that work though nobody asks.
    pub(crate) fn stop(&self) {
        if let Some(hydrator) = lock(&self.hydrator).take() {
            hydrator.stop();
        }
        if let Some(maintenance) = lock(&self.maintenance).take() {
            maintenance.stop();
        }
    }

    /// Runs `job` on a thread that may wait for gluster-bdd.
    pub(crate) fn on_control(self: &Arc<Self>, job: impl FnOnce(&Arc<Brick>) + Send + 'static) {
        self.run(&self.control, job);
    }

    /// Runs `job` on a thread for what waits for gluster-bdd, but not long: no thread of the others need be
    /// free for it.
    pub(crate) fn on_brief(self: &Arc<Self>, job: impl FnOnce(&Arc<Brick>) + Send + 'static) {
        self.run(&self.brief, job);
    }

    /// Runs `job` on a thread that does I/O on `image`, or waits for its device to be opened.
    pub(crate) fn on_data(
        self: &Arc<Self>,
        image: &Image,
        job: impl FnOnce(&Arc<Brick>) + Send + 'static,
    ) {
        let workers = if image.is_ready() {
            &self.data
        } else {
            &self.control
        };
        self.run(workers, job);
    }

    /// A job that comes after the end is dropped, and with it the frame of a fop, which answers so.
    fn run(self: &Arc<Self>, workers: &Workers, job: impl FnOnce(&Arc<Brick>) + Send + 'static) {
        if self.ended.load(Ordering::Acquire) {
            return;
        }
        let (brick, counted) = (Arc::clone(self), self.jobs.begin());
        workers.run(move || {
            brick.xl.node().enter(|| job(&brick));
            // Whoever waits for the last job may take the translator away.
            drop(brick);
            drop(counted);
        });
    }

    /// The ring for whole blocks of open images, if there is one.
    pub(crate) fn ring(&self) -> Option<&Ring> {
        self.ring.as_ref()
    }

    /// A client has begun to read or write.
    pub(crate) fn note_traffic(&self) {
        self.traffic.fetch_add(1, Ordering::Relaxed);
    }

    /// How many reads and writes clients have begun.
    pub(crate) fn traffic(&self) -> u64 {
        self.traffic.load(Ordering::Relaxed)
    }

    /// The identity of the top image directory.
    pub(crate) fn top(&self) -> Gfid {
        self.top
    }

    /// Whether the top image directory is left to heal for now.
    pub(crate) fn top_comes_by_heal(&self) -> bool {
        self.top_by_heal.is_some_and(|until| Instant::now() < until)
    }

    /// Whether the LVs that were there before the brick are files in the top image directory.
    pub(crate) fn shows_all(&self) -> bool {
        self.shown.load(Ordering::Acquire)
    }

    /// They are.
    pub(crate) fn note_shown(&self) {
        self.shown.store(true, Ordering::Release);
    }

    /// The turn to make files of LVs.
    pub(crate) fn adopting(&self) -> MutexGuard<'_, ()> {
        lock(&self.adopting)
    }

    /// Whether the top image directory is known to exist.
    pub(crate) fn top_is_known(&self) -> bool {
        self.top_is_there.load(Ordering::Acquire)
    }

    /// Stubs that wait for their LV.
    pub(crate) fn unfinished_copies(&self) -> &UnfinishedCopies {
        &self.unfinished_copies
    }

    /// Plain files that may become copies.
    pub(crate) fn consents(&self) -> &Consents {
        &self.consents
    }

    pub(crate) fn inflight_creates(&self) -> &InflightCreates {
        &self.inflight_creates
    }

    /// Space as gluster-bdd last told it.
    pub(crate) fn space(&self) -> Option<Space> {
        *lock(&self.space)
    }

    pub(crate) fn note_space(&self, space: Space) {
        *lock(&self.space) = Some(space);
    }

    /// An image in that directory could not be removed. AFR takes a directory that is not empty for no
    /// failure of rmdir, and would not note that this brick keeps it.
    pub(crate) fn note_kept(&self, dir: [u8; 16]) {
        if self.server.heals() {
            lock(&self.kept_in).insert(dir);
        }
    }

    /// Says once whether an image in that directory could not be removed.
    pub(crate) fn take_kept(&self, dir: [u8; 16]) -> bool {
        lock(&self.kept_in).remove(&dir)
    }

    /// The turn to merge, which one thread has at a time.
    pub(crate) fn merging(&self) -> MutexGuard<'_, ()> {
        lock(&self.merging)
    }

    /// Merges that were announced.
    pub(crate) fn promises(&self) -> MutexGuard<'_, Vec<Promise>> {
        lock(&self.promises)
    }

    /// Merges whose end is not known yet.
    pub(crate) fn merges(&self) -> MutexGuard<'_, Vec<Merge>> {
        lock(&self.merges)
    }

    /// Gives a descriptor its image.
    pub(crate) fn bind_fd(&self, fd: &Fd<'_>, image: &Arc<Image>) {
        self.bind(fd, image, false);
    }

    /// As [`Brick::bind_fd`], for the descriptor that made the file.
    pub(crate) fn bind_maker(&self, fd: &Fd<'_>, image: &Arc<Image>) {
        self.bind(fd, image, fd.flags() == 0);
    }

    fn bind(&self, fd: &Fd<'_>, image: &Arc<Image>, is_maker: bool) {
        image.opened();
        let open = Arc::new(OpenImage {
            image: Arc::clone(image),
            is_maker,
        });
        if fd.set_ctx(self.xl, Some(open)).is_some() {
            // Two fops found it unbound at once.
            image.released();
        }
    }

    /// Gives a descriptor its image, if it was opened before the file became one.
    pub(crate) fn bind_late(&self, fd: &Fd<'_>, image: &Arc<Image>) {
        if !fd.is_anonymous() && fd.ctx(self.xl).is_none() {
            self.bind_fd(fd, image);
        }
    }

    /// Removes the LV of an image whose last name is gone, once nobody has it open.
    pub(crate) fn remove_if_orphan(&self, image: &Image) {
        if image.take_orphan() {
            // The hydrator may be at work on it, and must not open it again.
            image.quiesce().fence();
            let gfid = image.gfid();
            let brick = self.server.id();
            if let Err(error) = self.server.tell_in_the_end(Request::Remove { brick, gfid }) {
                // The intent stays, too: the LV goes at the latest when the brick starts again.
                gf_warn!("LV of removed image <gfid:{gfid}> stays for now: {error}");
            }
        }
    }

    /// Logs a failure of gluster-bdd and answers its errno for the client.
    pub(crate) fn told(&self, what: &str, gfid: Gfid, error: &ServerError) -> Errno {
        if let ServerError::Gone = error {
            // Another client was quicker.
            return Errno::new(error.errno());
        }
        gf_error!("cannot {what} image <gfid:{gfid}>: {error}");
        match error.errno() {
            // The file is there; it is its LV that is not.
            libc::ENOENT => Errno::EIO,
            errno => Errno::new(errno),
        }
    }

    /// The top image directory exists.
    pub(crate) fn note_top(&self) {
        self.top_is_there.store(true, Ordering::Release);
    }
}

/// Whether a brick has volumes of images, but not the directory that its first start has made.
fn has_lost_names(server: &ServerClient, dir: &Path, top: Gfid) -> bool {
    let list = Request::List { brick: server.id() };
    !dir.join(top.handle()).exists()
        && !dir.join(&server.brick().top).exists()
        && matches!(server.ask(&list), Ok(Reply::Images(images)) if !images.is_empty())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
