//! Disks that are emptied.

use std::time::{Duration, Instant};

use bd_lvm::PvName;
use bd_model::BrickId;
use bd_proto::{Fault, FaultKind, JobInfo, JobOrder};

use super::{Service, lock};
use crate::target::Target;

impl Service {
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

    pub(super) fn evacuate(&self, device: &str) -> Result<JobInfo, Fault> {
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

    /// Cancels the emptying of a disk after the piece it is at, and lets new volumes come there.
    pub(super) fn cancel_evacuation(
        &self,
        id: u64,
        brick: BrickId,
        pv: &PvName,
    ) -> Result<JobInfo, Fault> {
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
}
