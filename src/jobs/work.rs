//! What a brick is given to do.

use std::time::{Duration, Instant};

use bd_dm_thin::Inherited;
use bd_engine::clock::now;
use bd_model::{BrickId, Bytes};
use bd_proto::{Fault, FaultKind, JobKind, JobState, Work, WorkReport, WorkStop};

use super::job::Plan;
use super::{JobTarget, Jobs, List};

/// The most bytes of a piece: it is done in a moment where the disks are fast.
const PIECE: u64 = 64 << 20;
/// The most spans of a piece.
const SPANS: usize = 1000;
/// A job that cannot go on looks again after this.
const PAUSE: Duration = Duration::from_secs(5);
/// After so many readings that find no less to do, a job has failed.
const STALLS: u32 = 3;

impl Jobs {
    /// Takes what a brick tells of the piece it had, and gives it the next one.
    pub fn work(&self, target: &dyn JobTarget, report: Option<WorkReport>) -> Option<Work> {
        self.list().take(target.id(), report);
        let due = self.list().due(target.id());
        due.into_iter().find_map(|id| self.piece(target, id))
    }

    /// A piece of this job, if it can go on.
    fn piece(&self, target: &dyn JobTarget, id: u64) -> Option<Work> {
        // The list is not held while others are asked, and so the job may have been paused or
        // cancelled each time it is looked at again.
        let (gfid, before, is_planned) = {
            let mut list = self.list();
            let job = list
                .jobs
                .get_mut(&id)
                .filter(|j| j.is_due(Instant::now()))?;
            (job.record.gfid?, job.record.before, job.plan.is_some())
        };
        if !is_planned {
            let told = target.inherited(gfid, before);
            self.list().plan(id, told);
        }
        let (spans, chunk, rate, bytes, left) = {
            let list = self.list();
            let job = list.jobs.get(&id).filter(|j| j.is_due(Instant::now()))?;
            let plan = job.plan.as_ref()?;
            let rate = self.policies.of(&job.record.vg).0.hydrate_rate;
            // A second's worth, so that a slow job can be seen to go on.
            let most = rate.map_or(PIECE, |rate| rate.0.min(PIECE));
            let spans = plan.first(most, SPANS);
            let bytes: u64 = spans.iter().map(|(start, end)| end.0 - start.0).sum();
            (spans, plan.chunk, rate, bytes, plan.bytes())
        };
        let room = target.no_room(Bytes(bytes), Bytes(left));
        let mut list = self.list();
        let job = list
            .jobs
            .get_mut(&id)
            .filter(|j| j.is_due(Instant::now()))?;
        let blocked = room.unwrap_or_else(|fault| Some(fault.message));
        if let Some(reason) = blocked {
            let was = job.record.state;
            job.wait(reason, PAUSE);
            if was != JobState::Paused {
                list.keep(id);
            }
            return None;
        }
        job.plan.as_ref()?;
        job.given = Some(bytes);
        if job.record.state != JobState::Running {
            job.record.state = JobState::Running;
            job.record.started.get_or_insert_with(now);
            job.record.reason = None;
            list.keep(id);
        }
        Some(Work {
            job: id,
            gfid,
            spans,
            chunk: Bytes(chunk),
            rate,
        })
    }
}

impl List {
    /// The jobs of a brick that could go on now: what was begun first, then by age.
    fn due(&self, brick: BrickId) -> Vec<u64> {
        let now = Instant::now();
        let mut due: Vec<_> = self
            .jobs
            .values()
            .filter(|job| job.record.brick == brick && job.record.kind == JobKind::Hydrate)
            .filter(|job| job.is_due(now))
            .map(|job| (job.record.state != JobState::Running, job.record.id))
            .collect();
        due.sort_unstable();
        due.into_iter().map(|(_, id)| id).collect()
    }

    /// What a brick tells of the piece it had. What it does not tell of was lost with its process.
    fn take(&mut self, brick: BrickId, report: Option<WorkReport>) {
        let told = report.as_ref().map(|report| report.job);
        for job in self.jobs.values_mut() {
            if job.record.brick == brick && job.given.is_some() && told != Some(job.record.id) {
                job.plan = None;
                job.given = None;
                job.left = None;
            }
        }
        let Some(report) = report else { return };
        let Some(job) = self.jobs.get_mut(&report.job) else {
            return;
        };
        if job.record.brick != brick || job.record.state.is_over() {
            return;
        }
        if let Some(given) = job.given.take() {
            job.advance(report.done.0.min(given));
        }
        let id = report.job;
        match report.stopped {
            None => {}
            Some(WorkStop::Gone) => {
                let why = "the image was removed".to_owned();
                self.end(id, JobState::Cancelled, Some(why));
            }
            Some(WorkStop::Failed(why)) => self.end(id, JobState::Failed, Some(why)),
            Some(WorkStop::Later(_)) if job.record.held => {}
            Some(WorkStop::Later(why)) => {
                job.wait(why, PAUSE);
                self.keep(id);
            }
        }
    }

    /// What is left of a job was read.
    fn plan(&mut self, id: u64, told: Result<Option<Inherited>, Fault>) {
        let Some(job) = self.jobs.get_mut(&id).filter(|j| j.is_due(Instant::now())) else {
            return;
        };
        let inherited = match told {
            Ok(Some(inherited)) if inherited.bytes.0 > 0 => inherited,
            Ok(_) => {
                job.record.done = job.record.total.unwrap_or(0);
                job.record.total.get_or_insert(0);
                return self.end(id, JobState::Done, None);
            }
            Err(fault) if fault.kind == FaultKind::NotFound => {
                let why = "the image is gone".to_owned();
                return self.end(id, JobState::Cancelled, Some(why));
            }
            Err(fault) => {
                let was = job.record.state;
                job.wait(fault.message, PAUSE);
                if was != JobState::Paused {
                    self.keep(id);
                }
                return;
            }
        };
        let left = inherited.bytes.0;
        let stalls = match job.left {
            Some((before, stalls)) if left >= before => stalls + 1,
            _ => 0,
        };
        job.left = Some((left, stalls));
        if stalls >= STALLS {
            let why = format!(
                "{} stay shared though they were written; see the log of brick {}",
                Bytes(left),
                job.record.dir.display()
            );
            return self.end(id, JobState::Failed, Some(why));
        }
        let total = job.record.total.unwrap_or(left).max(left);
        let is_new = job.record.total != Some(total) || job.record.before.is_none();
        job.record.total = Some(total);
        job.record.done = total - left;
        job.record.before = Some(inherited.before);
        job.plan = Some(Plan::new(&inherited));
        if is_new {
            self.keep(id);
        }
    }
}
