//! Long work in the background, which outlives clients, bricks and this server.
//!
//! The server keeps the list: a file for each job in its state folder, written when the job changes
//! its state. The brick makes clones independent, because it alone writes images and holds their locks: it
//! asks for a piece, does it, tells what became of it and asks for the next. The server itself empties
//! disks, and zeroes blocks that no client can see yet. How far a job has come need not be remembered:
//! which chunks are left is read from the pool, what lies on a disk from LVM, and what is to be zeroed
//! from a tag.
#![forbid(unsafe_code)]

mod evacuate;
mod job;
mod job_target;
mod order;
mod rate;
mod record;
mod store;
#[cfg(test)]
mod tests;
mod work;
mod zero;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bd_engine::clock::now;
use bd_engine::events::Events;
use bd_engine::thin_pool::Policies;
use bd_model::{BrickId, Gfid, VgName};
use bd_proto::{JobInfo, JobKind, JobState};

use job::Job;
use record::Record;
use store::Store;

pub use evacuate::Evacuation;
pub use job_target::JobTarget;
pub use store::StoreError;
pub use zero::Zeroing;

/// So many jobs that ended are remembered.
const HISTORY: usize = 100;

/// All jobs of the server.
#[derive(Debug, Default)]
pub struct Jobs {
    policies: Arc<Policies>,
    list: Mutex<List>,
}

/// What a new job is about.
#[derive(Debug)]
struct About {
    kind: JobKind,
    brick: BrickId,
    dir: PathBuf,
    vg: VgName,
    gfid: Option<Gfid>,
    name: String,
    /// Bytes that there are to do, where that is known.
    total: Option<u64>,
}

#[derive(Debug, Default)]
struct List {
    events: Events,
    /// Told when a job is new or over, or may go on.
    changed: Arc<Condvar>,
    /// Turns that jobs had.
    turns: u64,
    store: Option<Store>,
    /// The last number that was given to a job.
    last: u64,
    jobs: BTreeMap<u64, Job>,
}

impl Jobs {
    /// No jobs yet; `policies` say which clones are hydrated, and how fast.
    pub fn new(policies: Arc<Policies>) -> Jobs {
        Jobs {
            policies,
            list: Mutex::default(),
        }
    }

    /// Tells of those that fail by `events`.
    pub fn tell(&self, events: Events) {
        self.list().events = events;
    }

    /// Keeps jobs in `folder`, and goes on with those that are there.
    pub fn keep_in(&self, folder: &Path) -> Result<(), StoreError> {
        let (store, last, records) = Store::open(folder)?;
        let mut list = self.list();
        list.last = last;
        for mut record in records {
            if record.state == JobState::Running {
                record.state = JobState::Queued;
            }
            list.jobs.insert(record.id, Job::new(record));
        }
        list.store = Some(store);
        Ok(())
    }

    /// A clone was made: it is to become independent of its source, unless the policy says no.
    ///
    /// Asked twice for the same clone, it makes one job.
    pub fn hydrate(&self, target: &dyn JobTarget, gfid: Gfid) -> Result<(), StoreError> {
        // The copies of the file engine are the file system's business.
        let Some(vg) = target.vg().filter(|vg| self.policies.of(vg).0.hydrate) else {
            return Ok(());
        };
        let about = About {
            kind: JobKind::Hydrate,
            brick: target.id(),
            dir: target.dir(),
            vg,
            gfid: Some(gfid),
            name: target.name(gfid),
            total: None,
        };
        self.add(about).map(drop)
    }

    /// A new job, or the one about the same that is not over; its number.
    fn add(&self, about: About) -> Result<u64, StoreError> {
        let mut list = self.list();
        let same = |record: &Record| {
            record.kind == about.kind
                && record.brick == about.brick
                && match about.gfid {
                    Some(_) => record.gfid == about.gfid,
                    None => record.name == about.name,
                }
        };
        let mut active = list.jobs.values().filter(|j| !j.record.state.is_over());
        if let Some(job) = active.find(|job| same(&job.record)) {
            return Ok(job.record.id);
        }
        let record = Record {
            id: list.last + 1,
            kind: about.kind,
            state: JobState::Queued,
            held: false,
            brick: about.brick,
            dir: about.dir,
            vg: about.vg,
            gfid: about.gfid,
            name: about.name,
            done: 0,
            total: about.total,
            before: None,
            created: now(),
            started: None,
            ended: None,
            reason: None,
        };
        if let Some(store) = &list.store {
            store.put(&record)?;
        }
        let id = record.id;
        list.last = id;
        list.jobs.insert(id, Job::new(record));
        list.changed.notify_all();
        Ok(id)
    }

    /// An image is gone, and with it what was to be done about it.
    pub fn image_is_gone(&self, brick: BrickId, gfid: Gfid) {
        self.end_where("the image was removed", |record| {
            record.brick == brick && record.gfid == Some(gfid)
        });
    }

    /// A brick is one no more.
    pub fn brick_is_gone(&self, brick: BrickId) {
        self.end_where("the brick was removed", |record| record.brick == brick);
    }

    fn end_where(&self, why: &str, which: impl Fn(&Record) -> bool) {
        let mut list = self.list();
        let ids: Vec<u64> = list
            .jobs
            .values()
            .filter(|job| !job.record.state.is_over() && which(&job.record))
            .map(|job| job.record.id)
            .collect();
        for id in ids {
            list.end(id, JobState::Cancelled, Some(why.to_owned()));
        }
    }

    /// All jobs, the oldest first. `is_ready` says whether who is to do a job is there.
    pub fn all(&self, is_ready: impl Fn(JobKind, BrickId) -> bool) -> Vec<JobInfo> {
        let list = self.list();
        let told = list.jobs.values().map(|job| job.info(&is_ready));
        told.collect()
    }

    /// Whether a job has ended.
    pub fn is_over(&self, id: u64) -> bool {
        let list = self.list();
        list.jobs
            .get(&id)
            .is_none_or(|job| job.record.state.is_over())
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    /// Writes a job down. A failure is told and does no harm: the job is then as it was after the
    /// next start, and what it has done stays.
    fn keep(&self, id: u64) {
        if let Err(error) = self.try_keep(id) {
            tracing::error!("{error}");
        }
    }

    fn try_keep(&self, id: u64) -> Result<(), StoreError> {
        match (&self.store, self.jobs.get(&id)) {
            (Some(store), Some(job)) => store.put(&job.record),
            _ => Ok(()),
        }
    }

    /// Ends a job.
    fn end(&mut self, id: u64, state: JobState, reason: Option<String>) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.rest();
        job.record.state = state;
        job.record.held = false;
        job.record.ended = Some(now());
        job.record.reason = reason;
        let record = &job.record;
        let why = record.reason.as_ref().map(|why| format!(": {why}"));
        tracing::info!(
            "job {id}, {} of {}: {state}{}",
            record.kind,
            record.name,
            why.unwrap_or_default()
        );
        if state == JobState::Failed {
            self.events.job_failed(&job.info(|_, _| true));
        }
        self.keep(id);
        self.changed.notify_all();
        self.forget_old();
    }

    fn forget_old(&mut self) {
        let over: Vec<u64> = self
            .jobs
            .values()
            .filter(|job| job.record.state.is_over())
            .map(|job| job.record.id)
            .collect();
        for id in over.iter().take(over.len().saturating_sub(HISTORY)) {
            if let Some(store) = &self.store
                && let Err(error) = store.remove(*id)
            {
                // It is tried again when the next one ends.
                tracing::error!("{error}");
                return;
            }
            self.jobs.remove(id);
        }
    }
}
