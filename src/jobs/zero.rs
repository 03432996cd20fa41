//! Zeroing the blocks that thick images have gained, while calls wait for it.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use bd_model::{BrickId, Bytes, Gfid, Pace};
use bd_proto::{Fault, FaultKind, JobKind, JobState};

use super::job::Job;
use super::{About, JobTarget, Jobs};

/// Bytes zeroed at once: moments, even on a slow disk, for which a client's request has to wait.
const PIECE: u64 = 8 << 20;
/// Pieces are whole blocks of any device.
const ALIGN: u64 = 64 << 10;
/// Who waits looks as often as this whether the image still has a name.
const LOOK: Duration = Duration::from_secs(1);

/// An image that is to be zeroed.
#[derive(Debug)]
pub struct Zeroing {
    /// The job.
    pub id: u64,
    /// The image.
    pub gfid: Gfid,
    /// Bytes a second that may be zeroed; none is any number.
    rate: Option<Bytes>,
}

impl Zeroing {
    /// How much may be zeroed at once: a second's worth at most.
    pub fn most(&self) -> Bytes {
        let rate = self.rate.map_or(PIECE, |rate| rate.0.min(PIECE));
        Bytes((rate / ALIGN * ALIGN).max(ALIGN))
    }

    /// How long to rest after a piece of so many bytes, which was begun at `begun`.
    pub fn rest(&self, bytes: u64, begun: Instant, clients_at_work: bool) -> Duration {
        let now = Instant::now();
        let mut pace = Pace::new(self.rate.map(|rate| rate.0), 0, begun);
        let took = now.saturating_duration_since(begun);
        pace.rest(bytes, took, u64::from(clients_at_work), now)
    }
}

impl Jobs {
    /// So many bytes of an image are to be zeroed; the number of the job that does it.
    pub fn zero(&self, target: &dyn JobTarget, gfid: Gfid, left: Bytes) -> Result<u64, Fault> {
        let Some(vg) = target.vg() else {
            let message = format!("image {gfid} is no logical volume, and reads as zeros");
            return Err(Fault::new(FaultKind::Unsupported, message));
        };
        let about = About {
            kind: JobKind::Zero,
            brick: target.id(),
            dir: target.dir(),
            vg,
            gfid: Some(gfid),
            name: target.name(gfid),
            total: Some(left.0),
        };
        let id = self
            .add(about)
            .map_err(|error| Fault::new(FaultKind::Failed, error.to_string()))?;
        // One that is there already may not know it since a restart.
        let mut list = self.list();
        if let Some(job) = list.jobs.get_mut(&id).filter(|j| !j.record.state.is_over()) {
            job.left_are(left.0);
        }
        Ok(id)
    }

    /// The brick and image that a job zeroes; `None` for other jobs.
    pub fn zeroes(&self, id: u64) -> Option<(BrickId, Gfid)> {
        let list = self.list();
        let record = &list.jobs.get(&id)?.record;
        let gfid = record.gfid.filter(|_| record.kind == JobKind::Zero)?;
        Some((record.brick, gfid))
    }

    /// The images of a brick that are to be zeroed, now or later.
    pub fn images_to_zero(&self, brick: BrickId) -> Vec<Gfid> {
        let list = self.list();
        let records = list.jobs.values().map(|job| &job.record);
        let of_brick = records.filter(|record| {
            record.kind == JobKind::Zero && record.brick == brick && !record.state.is_over()
        });
        of_brick.filter_map(|record| record.gfid).collect()
    }

    /// The bricks that have something to zero now.
    pub fn bricks_to_zero(&self, is_ready: impl Fn(JobKind, BrickId) -> bool) -> Vec<BrickId> {
        let (list, now) = (self.list(), Instant::now());
        let due = list.jobs.values().filter(|job| {
            let record = &job.record;
            record.kind == JobKind::Zero && job.is_due(now) && is_ready(record.kind, record.brick)
        });
        let mut bricks: Vec<BrickId> = due.map(|job| job.record.brick).collect();
        bricks.sort_unstable();
        bricks.dedup();
        bricks
    }

    /// The image of a brick that is next. Those that somebody waits for come first; each has its turn.
    pub fn next_to_zero(&self, brick: BrickId) -> Option<Zeroing> {
        let mut list = self.list();
        let (turn, now) = (list.turns + 1, Instant::now());
        let due = list.jobs.values_mut().filter(|job| {
            job.record.kind == JobKind::Zero && job.record.brick == brick && job.is_due(now)
        });
        let job = due.min_by_key(|job| (job.waiting == 0, job.turn, job.record.id))?;
        job.turn = turn;
        let (id, gfid, vg) = (job.record.id, job.record.gfid?, job.record.vg.clone());
        list.turns = turn;
        let rate = self.policies.of(&vg).0.zero_rate;
        Some(Zeroing { id, gfid, rate })
    }

    /// A piece of an image was zeroed: what is left. Answers how many bytes it had.
    pub fn zeroed(&self, id: u64, left: Result<Bytes, Fault>) -> u64 {
        let mut list = self.list();
        let Some(job) = list.jobs.get_mut(&id).filter(|j| !j.record.state.is_over()) else {
            return 0;
        };
        match left {
            Ok(left) => {
                let was = job.record.state;
                let (piece, is_new) = job.left_are(left.0);
                job.run();
                if left == Bytes(0) {
                    list.end(id, JobState::Done, None);
                } else if is_new || list.jobs.get(&id).is_some_and(|j| j.record.state != was) {
                    list.keep(id);
                }
                piece
            }
            Err(fault) if fault.kind == FaultKind::NotFound => {
                let why = "the image was removed".to_owned();
                list.end(id, JobState::Cancelled, Some(why));
                0
            }
            Err(fault) => {
                list.end(id, JobState::Failed, Some(fault.message));
                0
            }
        }
    }

    /// Waits a while for the end of a job; says whether it is over, and fails unless it has done all, or
    /// when `give_up` says why not to wait any longer.
    pub fn wait_for(&self, id: u64, give_up: impl Fn() -> Option<Fault>) -> Result<bool, Fault> {
        let mut list = self.list();
        let until = Instant::now() + LOOK;
        loop {
            // One that is forgotten was over.
            let Some(job) = list.jobs.get_mut(&id) else {
                return Ok(true);
            };
            if let Some(end) = job.end() {
                return end.map(|()| true);
            }
            if let Some(fault) = give_up() {
                return Err(fault);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            job.waiting += 1;
            let changed = Arc::clone(&list.changed);
            let waited = changed.wait_timeout(list, left);
            list = waited.unwrap_or_else(PoisonError::into_inner).0;
            if let Some(job) = list.jobs.get_mut(&id) {
                job.waiting -= 1;
            }
        }
    }

    /// How many calls wait for a job.
    pub fn waiting(&self, id: u64) -> u32 {
        self.list().jobs.get(&id).map_or(0, |job| job.waiting)
    }

    /// Waits a while for a job that is new or over, or may go on.
    pub fn wait_for_change(&self, most: Duration, is_over: impl Fn() -> bool) {
        let list = self.list();
        let changed = Arc::clone(&list.changed);
        if !is_over() {
            drop(changed.wait_timeout(list, most));
        }
    }

    /// Lets all who wait look again whether to go on waiting.
    pub fn wake(&self) {
        // With the list held: between looking and waiting nobody can miss it.
        let list = self.list();
        list.changed.notify_all();
    }
}

impl Job {
    /// How it has ended, for who has waited for it.
    fn end(&self) -> Option<Result<(), Fault>> {
        let record = &self.record;
        let failed = |kind, how: &str| {
            let why = record.reason.as_deref().unwrap_or_default();
            let (name, id) = (&record.name, record.id);
            let message = format!("{name} was to be zeroed by job {id}, which {how}: {why}");
            Some(Err(Fault::new(kind, message)))
        };
        match record.state {
            JobState::Queued | JobState::Running | JobState::Paused => None,
            JobState::Done => Some(Ok(())),
            JobState::Failed => failed(FaultKind::Failed, "failed"),
            JobState::Cancelled => failed(FaultKind::Busy, "was cancelled"),
        }
    }
}
