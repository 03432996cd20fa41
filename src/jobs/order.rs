//! Pause, resume and cancel.

use bd_engine::clock::now;
use bd_model::BrickId;
use bd_proto::{Fault, FaultKind, JobInfo, JobKind, JobOrder, JobState};

use super::Jobs;

impl Jobs {
    /// Does with a job what somebody wants; asking twice is no error.
    ///
    /// Durable when this returns: a job that was paused stays so after a crash.
    pub fn order(
        &self,
        id: u64,
        order: JobOrder,
        is_ready: impl Fn(JobKind, BrickId) -> bool,
    ) -> Result<JobInfo, Fault> {
        let mut list = self.list();
        let Some(job) = list.jobs.get_mut(&id) else {
            return Err(Fault::new(
                FaultKind::NotFound,
                format!("there is no job {id}; see: gluster-bd job list"),
            ));
        };
        let state = job.record.state;
        let before = job.record.clone();
        match order {
            JobOrder::Cancel if state == JobState::Cancelled => {}
            _ if state.is_over() => {
                return Err(Fault::new(
                    FaultKind::Invalid,
                    format!("job {id} is over ({state}); it cannot be changed any more"),
                ));
            }
            JobOrder::Cancel => {
                // Kept before it is told: a job that was cancelled must not come back.
                job.record.state = JobState::Cancelled;
                job.record.ended = Some(now());
                if let Err(error) = list.try_keep(id) {
                    if let Some(job) = list.jobs.get_mut(&id) {
                        job.record = before;
                    }
                    return Err(Fault::new(FaultKind::Failed, error.to_string()));
                }
                let why = "by gluster-bd job cancel".to_owned();
                list.end(id, JobState::Cancelled, Some(why));
            }
            JobOrder::Pause => {
                job.rest();
                job.record.held = true;
                job.record.state = JobState::Paused;
                job.record.reason = Some(format!("until: gluster-bd job resume {id}"));
            }
            JobOrder::Resume => {
                // One that waits for something looks whether it is there.
                job.not_before = None;
                if job.record.held {
                    job.record.held = false;
                    job.record.state = JobState::Queued;
                    job.record.reason = None;
                }
                list.changed.notify_all();
            }
        }
        let Some(job) = list.jobs.get_mut(&id) else {
            return Err(Fault::new(FaultKind::Failed, "the job is forgotten"));
        };
        let info = job.info(is_ready);
        let is_changed = job.record != before && order != JobOrder::Cancel;
        if is_changed && let Err(error) = list.try_keep(id) {
            if let Some(job) = list.jobs.get_mut(&id) {
                job.record = before;
            }
            return Err(Fault::new(FaultKind::Failed, error.to_string()));
        }
        Ok(info)
    }
}
