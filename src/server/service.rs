//! Requests and what they do, for all bricks of the server.

mod zeroing;

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bd_bricks::{Attach, Brick};
use bd_engine::Engines;
use bd_engine::clock::now;
use bd_engine::events::Events;
use bd_engine::thin_pool::{Attention, Histories, Policies};
use bd_engine::{OpenVolume, Volume};
use bd_jobs::Jobs;
use bd_lvm::PvName;
use bd_model::{BrickId, Gfid};
use bd_proto::{
    Fault, FaultKind, ImageUsage, JobInfo, JobKind, JobOrder, Opened, PoolCare, RefusedBrick,
    Released, Reply, Request, Space, Work, WorkReport, seal,
};
use uuid::Uuid;

use crate::target::Target;
pub use bd_jobs::StoreError;

/// How long a brick that is attached again waits for the last requests of what it was.
const LEAVING: Duration = Duration::from_secs(5);

/// All bricks that are served, and what can be asked of them.
///
/// Calls block; [`crate::daemon`] makes them on threads of their own.
#[derive(Debug)]
pub struct Service {
    engines: Box<dyn Engines>,
    bricks: Mutex<HashMap<BrickId, Arc<Brick>>>,
    /// Held while a brick is made, attached or checked, so that no directory is two bricks.
    attach_lock: Mutex<()>,
    epoch: AtomicU64,
    /// Bricks whose processes have a connection: each of those holds the other half.
    served: Mutex<HashMap<BrickId, Weak<()>>>,
    /// Directories of bricks that were not taken when they asked last, and why.
    refused: Mutex<BTreeMap<PathBuf, String>>,
    /// Bricks that were let go, and may have requests.
    leaving: Mutex<Vec<Weak<Brick>>>,
    jobs: Jobs,
    /// Held while a piece of a disk is moved: a job that was cancelled moves nothing more.
    moving: Mutex<()>,
    histories: Histories,
    stopping: AtomicBool,
}

/// What the service knows of a connection.
#[derive(Debug)]
pub struct Caller {
    /// When it was opened or attached a brick last, in the count of the service's attaches.
    epoch: AtomicU64,
    /// Says, as long as the connection lives, that the brick it has attached is served.
    serves: Mutex<Option<Arc<()>>>,
    /// Nobody waits for answers any more.
    gone: AtomicBool,
}

/// A brick in figures.
#[derive(Clone, Debug)]
pub(crate) struct BrickFigures {
    /// Its directory.
    pub(crate) dir: PathBuf,
    /// The Gluster volume it belongs to.
    pub(crate) volume: Option<Uuid>,
    /// Total and free bytes, if they can be told.
    pub(crate) space: Option<Space>,
    /// Room on the file system of its names, if that can be told.
    pub(crate) names: Option<bd_bricks::Room>,
    /// How many images it has, if that is known.
    pub(crate) images: Option<u64>,
}

/// An answer: a message, and the descriptor that goes with it.
#[derive(Debug)]
pub struct Answer {
    /// The message.
    pub reply: Reply,
    /// The descriptor of [`Reply::Opened`].
    pub fd: Option<OwnedFd>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Answer {
        Answer { reply, fd: None }
    }
}

impl From<Result<Answer, Fault>> for Answer {
    fn from(result: Result<Answer, Fault>) -> Answer {
        result.unwrap_or_else(|fault| Reply::Fault(fault).into())
    }
}

impl Service {
    /// A service that serves nothing yet.
    pub fn new(engines: Box<dyn Engines>) -> Service {
        Service {
            engines,
            bricks: Mutex::default(),
            attach_lock: Mutex::new(()),
            epoch: AtomicU64::new(0),
            served: Mutex::default(),
            refused: Mutex::default(),
            leaving: Mutex::default(),
            jobs: Jobs::default(),
            moving: Mutex::new(()),
            histories: Histories::default(),
            stopping: AtomicBool::new(false),
        }
    }

    /// Lets `policies` say which clones are hydrated, and how fast.
    #[must_use]
    pub fn with_policies(self, policies: Arc<Policies>) -> Service {
        Service {
            jobs: Jobs::new(policies),
            ..self
        }
    }

    /// Tells of jobs that fail by `events`.
    #[must_use]
    pub fn with_events(self, events: Events) -> Service {
        self.jobs.tell(events);
        self
    }

    /// Keeps jobs in a folder, which no other server uses, and goes on with those that are there.
    pub fn keep_jobs_in(&self, folder: &Path) -> Result<(), StoreError> {
        self.jobs.keep_in(folder)
    }

    /// All jobs, the oldest first.
    pub fn jobs(&self) -> Vec<JobInfo> {
        self.jobs.all(|kind, brick| self.is_ready(kind, brick))
    }

    /// Moves a piece of what lies on a disk that is to be emptied; answers how long to rest then.
    /// `None` if there is no such disk.
    pub fn move_piece(&self) -> Option<Duration> {
        let _moving = lock(&self.moving);
        let next = self
            .jobs
            .next_evacuation(|kind, brick| self.is_ready(kind, brick))?;
        let brick = self.bricks().get(&next.brick).cloned()?;
        let begun = Instant::now();
        let engine = brick.engine();
        let left = engine.move_piece(&next.pv, next.is_new, next.most());
        let moved = self.jobs.moved(next.id, left.map_err(Fault::from));
        Some(next.rest(moved, begun.elapsed()))
    }

    fn evacuate(&self, device: &str) -> Result<JobInfo, Fault> {
        let pv = device
            .parse::<PvName>()
            .map_err(|error| Fault::new(FaultKind::Invalid, error.to_string()))?;
        let bricks: Vec<_> = self.bricks().values().cloned().collect();
        for brick in bricks {
            if let Some(report) = brick.engine().disk(&pv)? {
                let id = self.jobs.evacuate(&Target(&brick), &report)?;
                return self.order(id, JobOrder::Resume);
            }
        }
        Err(Fault::new(
            FaultKind::NotFound,
            format!("{pv} belongs to no volume group of a brick that runs here; see: pvs"),
        ))
    }

    fn order(&self, id: u64, order: JobOrder) -> Result<JobInfo, Fault> {
        let ready = |kind, brick| self.is_ready(kind, brick);
        match (order, self.jobs.disk(id)) {
            (JobOrder::Cancel, Some((brick, pv))) => self.cancel_evacuation(id, brick, &pv),
            _ => {
                let was_over = self.jobs.is_over(id);
                let job = self.jobs.order(id, order, ready)?;
                if !was_over {
                    self.ordered_zeroing(&job, order);
                }
                Ok(job)
            }
        }
    }

    /// Cancels the emptying of a disk after the piece it is at, and lets new volumes come there.
    fn cancel_evacuation(&self, id: u64, brick: BrickId, pv: &PvName) -> Result<JobInfo, Fault> {
        let _moving = lock(&self.moving);
        let ready = |kind, brick| self.is_ready(kind, brick);
        let attached = self.bricks().get(&brick).cloned();
        if attached.is_none() && self.jobs.is_over(id) {
            return self.jobs.order(id, JobOrder::Cancel, ready);
        }
        let brick = attached.ok_or_else(|| {
            let message = format!(
                "cannot cancel job {id} while its brick does not run, for then nothing new can come to \
                 {pv} again; start its volume first"
            );
            Fault::new(FaultKind::NotAttached, message)
        })?;
        let job = self.jobs.order(id, JobOrder::Cancel, ready)?;
        if brick.engine().disk(pv)?.is_some() {
            brick.engine().allow_disk(pv)?;
        }
        Ok(job)
    }

    /// Whether who does such a job for a brick is there: its process, or its group here.
    fn is_ready(&self, kind: JobKind, brick: BrickId) -> bool {
        match kind {
            JobKind::Hydrate => self.is_served(brick),
            JobKind::Evacuate | JobKind::Zero => self.bricks().contains_key(&brick),
        }
    }

    /// A new connection.
    pub fn caller(&self) -> Caller {
        Caller {
            epoch: AtomicU64::new(self.epoch.load(Ordering::SeqCst)),
            serves: Mutex::default(),
            gone: AtomicBool::new(false),
        }
    }

    /// Whether a caller is the process of a brick.
    pub(crate) fn is_brick(caller: &Caller) -> bool {
        lock(&caller.serves).is_some()
    }

    /// Does what is asked and answers.
    pub fn answer(&self, caller: &Caller, request: Request) -> Answer {
        self.handle(caller, request).into()
    }

    /// Tries again what had to wait, and lets go of what is idle, in all bricks.
    pub fn tidy(&self) {
        let bricks: Vec<_> = self.bricks().values().cloned().collect();
        for brick in bricks {
            if let Ok(_entered) = brick.enter(u64::MAX) {
                brick.retry_removals();
                brick.engine().rest_idle();
            }
        }
        self.seal();
    }

    /// Seals the bricks that no process serves.
    pub(crate) fn seal(&self) {
        let bricks: Vec<_> = self.bricks().values().cloned().collect();
        for brick in bricks {
            // Its directory may be another brick's by now, whose process need not be one of ours: an arbiter.
            if !brick.is_in_its_place() {
                continue;
            }
            if let Err(error) = seal::seal(brick.dir()) {
                tracing::debug!("cannot seal {}: {error}", brick.dir().display());
            }
        }
    }

    /// Looks after the thin pools of all bricks; answers how soon they must be looked at again.
    pub fn tend(&self) -> Attention {
        let bricks: Vec<_> = self.bricks().values().cloned().collect();
        let each = bricks.iter().map(|brick| brick.engine().tend());
        let attention = each.max().unwrap_or(Attention::None);
        // With a pool that cannot be read there are gaps, and `tend` has told.
        if let Ok(pools) = self.pools() {
            self.histories.record(now(), &pools);
        }
        attention
    }

    /// What pools held in the last hours.
    pub(crate) fn histories(&self) -> &Histories {
        &self.histories
    }

    /// How the thin pools of all bricks are.
    pub fn pools(&self) -> Result<Vec<PoolCare>, Fault> {
        let bricks: Vec<_> = self.bricks().values().cloned().collect();
        let mut pools = Vec::new();
        for brick in bricks {
            pools.extend(brick.engine().pool()?);
        }
        pools.sort_by(|a, b| (&a.vg, &a.pool).cmp(&(&b.vg, &b.pool)));
        self.histories.forecast(&mut pools);
        Ok(pools)
    }

    /// What there is to say of each brick without asking LVM.
    pub(crate) fn figures(&self) -> Vec<BrickFigures> {
        let bricks: Vec<_> = self.bricks().values().cloned().collect();
        let figures = bricks.iter().map(|brick| BrickFigures {
            dir: brick.dir().to_owned(),
            volume: brick.info().volume,
            space: brick.space().ok(),
            names: bd_bricks::Room::of(brick.dir()),
            images: brick.engine().count(),
        });
        figures.collect()
    }

    /// The directories of bricks, and their volumes as far as they are known without asking LVM.
    pub(crate) fn known(&self) -> HashMap<PathBuf, Vec<Volume>> {
        let bricks: Vec<_> = self.bricks().values().cloned().collect();
        let known = bricks
            .iter()
            .map(|b| (b.dir().to_owned(), b.engine().known()));
        known.collect()
    }

    /// What the images of all bricks have read, written and allocated.
    fn usage(&self) -> Vec<ImageUsage> {
        let bricks: Vec<_> = self.bricks().values().cloned().collect();
        let of_brick = |brick: &Arc<Brick>| {
            let dir = brick.dir().to_owned();
            let used = brick.engine().used().into_iter();
            let usage = used.map(move |used| ImageUsage {
                brick: dir.clone(),
                gfid: used.gfid,
                lv: used.name,
                allocated: used.allocated,
                io: used.io,
            });
            usage.collect::<Vec<_>>()
        };
        bricks.iter().flat_map(of_brick).collect()
    }

    fn handle(&self, caller: &Caller, request: Request) -> Result<Answer, Fault> {
        let reply = match request {
            Request::Hello { .. } => {
                let message = "a connection says hello once, in its first request";
                return Err(Fault::new(FaultKind::Invalid, message));
            }
            Request::InitBrick(spec) => {
                let _alone = self.lock_attach();
                Reply::Brick(bd_bricks::init(&spec, &*self.engines)?)
            }
            Request::AdoptBrick { spec, really } => {
                let _alone = self.lock_attach();
                Reply::Adoption(bd_bricks::take_over(&spec, really, &*self.engines)?)
            }
            Request::DescribeBrick { dir } => {
                Reply::Brick(bd_bricks::describe(&dir, &*self.engines)?)
            }
            Request::ReleaseBrick { dir, keep } => Reply::Released(self.release(&dir, keep)?),
            Request::Check { dir, repair } => Reply::Findings(self.check(&dir, repair)?),
            Request::AttachBrick {
                dir,
                volume,
                fresh,
                heals,
            } => {
                let _alone = self.lock_attach();
                let epoch = self.epoch.fetch_add(1, Ordering::SeqCst) + 1;
                let how = Attach {
                    volume,
                    fresh,
                    heals,
                    epoch,
                };
                let taken = self.attach(&dir, how);
                match &taken {
                    Ok(_) => lock(&self.refused).remove(&dir),
                    Err(fault) => lock(&self.refused).insert(dir, fault.to_string()),
                };
                let brick = taken?;
                caller.epoch.store(epoch, Ordering::SeqCst);
                *lock(&caller.serves) = Some(self.token(brick.id()));
                Reply::Brick(brick.info())
            }
            Request::Create {
                brick,
                gfid,
                name,
                kind,
                size,
                import,
            } => Reply::Image(self.create_zeroed(caller, brick, gfid, |b| {
                b.create(gfid, name.as_deref(), kind, size, import)
            })?),
            Request::Retake { brick, gfid, name } => {
                self.image(caller, brick, |b| b.retake(gfid, name.as_deref()))?
            }
            Request::Copy {
                brick,
                source,
                dest,
                name,
                how,
                cow_size,
            } => Reply::Image(self.with_zeroed(caller, brick, source, |b| {
                b.copy(source, dest, name.as_deref(), how, cow_size)
            })?),
            Request::Commit { brick, gfid } => self.done(caller, brick, |b| {
                if b.is_new_clone(gfid) {
                    self.hydrate(b, gfid);
                }
                b.commit(gfid)
            })?,
            Request::Abort { brick, gfid } => self.done(caller, brick, |b| {
                b.abort(gfid)?;
                self.jobs.image_is_gone(brick, gfid);
                Ok(())
            })?,
            Request::Condemn { brick, gfid } => self.done(caller, brick, |b| b.condemn(gfid))?,
            Request::Spare { brick, gfid } => self.done(caller, brick, |b| b.spare(gfid))?,
            Request::Remove { brick, gfid } => self.done(caller, brick, |b| {
                b.remove(gfid)?;
                self.jobs.image_is_gone(brick, gfid);
                Ok(())
            })?,
            Request::Merge {
                brick,
                snapshot,
                origin,
                size,
            } => self.image(caller, brick, |b| b.merge(snapshot, origin, size))?,
            Request::SettleMerge { brick, snapshot } => {
                Reply::Merged(self.with(caller, brick, |b| b.settle_merge(snapshot))?)
            }
            Request::Open { brick, gfid } => {
                return self.with_zeroed(caller, brick, gfid, |b| {
                    b.open(gfid).map(|v| opened(gfid, v))
                });
            }
            Request::Resize { brick, gfid, size } => {
                Reply::Image(self.resize_zeroed(caller, brick, gfid, |b| b.resize(gfid, size))?)
            }
            Request::Rename { brick, gfid, name } => {
                self.image(caller, brick, |b| b.rename(gfid, name.as_deref()))?
            }
            Request::Info { brick, gfid } => self.image(caller, brick, |b| b.image(gfid))?,
            Request::Allocated { brick, gfids } => {
                Reply::Allocated(self.with(caller, brick, |b| b.allocated(&gfids))?)
            }
            Request::Mapped { brick, gfid } => {
                Reply::Mapped(self.with(caller, brick, |b| b.mapped(gfid))?)
            }
            Request::Sync { brick, gfid } => self.done(caller, brick, |b| b.sync(gfid))?,
            Request::List { brick } => Reply::Images(self.with(caller, brick, Brick::images)?),
            Request::Foreign { brick } => {
                Reply::Foreign(self.with(caller, brick, Brick::foreign)?)
            }
            Request::Adopt { brick, lv, gfid } => {
                self.image(caller, brick, |b| b.adopt(&lv, gfid))?
            }
            Request::Work { brick, report } => Reply::Work(self.work(caller, brick, report)?),
            Request::Jobs => Reply::Jobs(self.jobs()),
            Request::Evacuate { device } => Reply::Job(self.evacuate(&device)?),
            Request::OrderJob { id, order } => Reply::Job(self.order(id, order)?),
            Request::Pools => Reply::Pools(self.pools()?),
            Request::Usage => Reply::Usage(self.usage()),
            Request::Release => Reply::Release(env!("CARGO_PKG_VERSION").to_owned()),
            Request::Refused => {
                let refused = lock(&self.refused).clone().into_iter();
                Reply::Refused(
                    refused
                        .map(|(dir, why)| RefusedBrick { dir, why })
                        .collect(),
                )
            }
            Request::Space { brick } => Reply::Space(self.with(caller, brick, Brick::space)?),
        };
        Ok(reply.into())
    }

    fn attach(&self, dir: &Path, how: Attach) -> Result<Arc<Brick>, Fault> {
        let dir = bd_bricks::canonical(dir)?;
        self.await_leaving();
        if let Some(brick) = self.attached_in(&dir) {
            // A directory that was emptied and made a brick again is another brick.
            if bd_bricks::BrickConfig::load_known(&dir)?.id == brick.id() {
                let again = brick.attach_again(how, &|brick, gfid| self.hydrate(brick, gfid));
                match again {
                    Err(fault) if fault.kind == FaultKind::NotAttached => {
                        self.let_go(&brick, &fault);
                    }
                    Err(fault) => return Err(fault),
                    Ok(()) => {
                        if how.fresh {
                            self.take_on(&brick);
                        }
                        return Ok(brick);
                    }
                }
            } else {
                self.bricks().remove(&brick.id());
            }
            drop(brick);
            self.await_leaving();
        }
        let config = bd_bricks::BrickConfig::load_known(&dir)?;
        let namesake = self.bricks().get(&config.id).cloned();
        if let Some(namesake) = namesake {
            if namesake.is_in_its_place() {
                return Err(Fault::new(
                    FaultKind::InUse,
                    format!(
                        "{} is a copy of the brick {}, which is served; remove {}/{} from the \
                         copy",
                        dir.display(),
                        namesake.dir().display(),
                        dir.display(),
                        bd_bricks::FOLDER
                    ),
                ));
            }
            // The directory was moved. Its lock goes with the last request that uses it.
            self.bricks().remove(&config.id);
        }
        let cloned = |brick: &Brick, gfid| self.hydrate(brick, gfid);
        let brick = Brick::attach_and(&dir, how, &*self.engines, &cloned)?;
        let brick = Arc::new(brick);
        tracing::info!("brick {} attached in {}", brick.id(), dir.display());
        self.bricks().insert(brick.id(), Arc::clone(&brick));
        self.take_on(&brick);
        Ok(brick)
    }

    fn check(&self, dir: &Path, repair: bool) -> Result<Vec<bd_proto::Finding>, Fault> {
        let dir = bd_bricks::canonical(dir)?;
        let _alone = self.lock_attach();
        match self.attached_in(&dir) {
            Some(brick) => {
                let findings = brick.check(repair);
                // A repair may have made a volume larger.
                self.take_on(&brick);
                findings
            }
            None => bd_bricks::check(&dir, &*self.engines, repair),
        }
    }

    fn release(&self, dir: &Path, keep: bool) -> Result<Released, Fault> {
        let dir = bd_bricks::canonical(dir)?;
        let _alone = self.lock_attach();
        let Some(brick) = self.attached_in(&dir) else {
            let released = bd_bricks::release(&dir, keep, &*self.engines)?;
            self.jobs.brick_is_gone(released.brick.id);
            return Ok(released);
        };
        if self.is_served(brick.id()) {
            return Err(Fault::new(
                FaultKind::InUse,
                format!(
                    "brick {} is served by a glusterfsd; stop its volume first (gluster volume \
                     stop)",
                    dir.display()
                ),
            ));
        }
        let released = brick.release(keep)?;
        self.bricks().remove(&brick.id());
        self.jobs.brick_is_gone(brick.id());
        Ok(released)
    }

    /// A clone was made, which is to become independent of its source.
    fn hydrate(&self, brick: &Brick, gfid: Gfid) {
        if let Err(error) = self.jobs.hydrate(&Target(brick), gfid) {
            // It is a good clone all the same.
            tracing::error!("image {gfid} goes on sharing blocks with its source: {error}");
        }
    }

    fn work(
        &self,
        caller: &Caller,
        id: BrickId,
        report: Option<WorkReport>,
    ) -> Result<Option<Work>, Fault> {
        self.with(caller, id, |brick| {
            Ok(self.jobs.work(&Target(brick), report))
        })
    }

    /// Whether a process of the brick has a connection.
    fn is_served(&self, brick: BrickId) -> bool {
        lock(&self.served)
            .get(&brick)
            .is_some_and(|token| token.strong_count() > 0)
    }

    /// What a connection holds that serves the brick.
    fn token(&self, brick: BrickId) -> Arc<()> {
        let mut served = lock(&self.served);
        if let Some(token) = served.get(&brick).and_then(Weak::upgrade) {
            return token;
        }
        let token = Arc::new(());
        served.insert(brick, Arc::downgrade(&token));
        token
    }

    fn attached_in(&self, dir: &Path) -> Option<Arc<Brick>> {
        self.bricks().values().find(|b| b.dir() == dir).cloned()
    }

    /// Calls `act` with an attached brick, as a request of `caller`.
    fn with<T>(
        &self,
        caller: &Caller,
        id: BrickId,
        act: impl FnOnce(&Brick) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let brick = self.bricks().get(&id).cloned().ok_or_else(|| {
            let message = format!("brick {id} is not attached; attach it first");
            Fault::new(FaultKind::NotAttached, message)
        })?;
        let _entered = brick.enter(caller.epoch.load(Ordering::SeqCst))?;
        self.heeding(&brick, act(&brick))
    }

    /// A result of an act on a brick, which is let go if that says that it must be attached again.
    fn heeding<T>(&self, brick: &Brick, acted: Result<T, Fault>) -> Result<T, Fault> {
        acted.inspect_err(|fault| {
            if fault.kind == FaultKind::NotAttached {
                self.let_go(brick, fault);
            }
        })
    }

    /// Serves a brick no more whose VG is called otherwise by now: it is attached again, under that name.
    fn let_go(&self, brick: &Brick, why: &Fault) {
        let mut bricks = self.bricks();
        let is_there = |there: &Arc<Brick>| std::ptr::eq(Arc::as_ptr(there), brick);
        if bricks.get(&brick.id()).is_some_and(is_there)
            && let Some(gone) = bricks.remove(&brick.id())
        {
            tracing::warn!("brick {}: {why}", brick.dir().display());
            lock(&self.leaving).push(Arc::downgrade(&gone));
        }
    }

    /// Waits for the last requests of bricks that were let go: they hold their directories.
    fn await_leaving(&self) {
        let until = Instant::now() + LEAVING;
        // Not with the list in hand: who lets a brick go holds all bricks while it waits for that.
        let are_gone = || {
            let mut leaving = lock(&self.leaving);
            leaving.retain(|brick| brick.strong_count() > 0);
            leaving.is_empty()
        };
        while !are_gone() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn done(
        &self,
        caller: &Caller,
        id: BrickId,
        act: impl FnOnce(&Brick) -> Result<(), Fault>,
    ) -> Result<Reply, Fault> {
        self.with(caller, id, act).map(|()| Reply::Done)
    }

    fn image(
        &self,
        caller: &Caller,
        id: BrickId,
        act: impl FnOnce(&Brick) -> Result<bd_proto::ImageInfo, Fault>,
    ) -> Result<Reply, Fault> {
        self.with(caller, id, act).map(Reply::Image)
    }

    fn bricks(&self) -> MutexGuard<'_, HashMap<BrickId, Arc<Brick>>> {
        lock(&self.bricks)
    }

    fn lock_attach(&self) -> MutexGuard<'_, ()> {
        lock(&self.attach_lock)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn opened(gfid: bd_model::Gfid, open: OpenVolume) -> Answer {
    Answer {
        reply: Reply::Opened(Opened {
            image: bd_bricks::image(gfid, open.volume),
            block_size: open.block_size,
            discard_granularity: open.discard_granularity,
        }),
        fd: Some(open.fd),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod zero_calls;
