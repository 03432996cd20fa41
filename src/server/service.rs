//! Requests and what they do, for all bricks of the server.

mod attach;
mod caller;
mod dispatch;
mod evacuation;
mod figures;
mod zeroing;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bd_bricks::Brick;
use bd_engine::Engines;
use bd_engine::clock::now;
use bd_engine::events::Events;
use bd_engine::thin_pool::{Attention, Histories, Policies};
use bd_jobs::Jobs;
use bd_model::{BrickId, Gfid};
use bd_proto::{Fault, FaultKind, JobInfo, JobKind, JobOrder, Work, WorkReport, seal};

use crate::target::Target;

pub use bd_jobs::StoreError;
pub use caller::Caller;
pub use dispatch::Answer;
pub(crate) use figures::BrickFigures;

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

    /// Whether who does such a job for a brick is there: its process, or its group here.
    fn is_ready(&self, kind: JobKind, brick: BrickId) -> bool {
        match kind {
            JobKind::Hydrate => self.is_served(brick),
            JobKind::Evacuate | JobKind::Zero => self.bricks().contains_key(&brick),
        }
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

#[cfg(test)]
mod tests;
#[cfg(test)]
mod zero_calls;
