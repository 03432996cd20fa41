//! Moving all that lies on a disk to other disks, piece by piece.

use std::time::{Duration, Instant};

use bd_lvm::{PvName, PvReport};
use bd_model::{BrickId, Bytes, Extents};
use bd_proto::{Fault, FaultKind, JobKind, JobState};

use super::{About, JobTarget, Jobs};

/// A job that cannot go on looks again after this.
const PAUSE: Duration = Duration::from_secs(5);
/// Where there is a rate, a piece is what may be moved in this time: a command for each second would
/// be more work for LVM than for the disks.
const AT_ONCE: u64 = 4;

/// A disk that is to be emptied.
#[derive(Debug)]
pub struct Evacuation {
    /// The job.
    pub id: u64,
    /// The brick that uses the disk's group.
    pub brick: BrickId,
    /// The disk.
    pub pv: PvName,
    /// Nothing was done yet.
    pub is_new: bool,
    /// Bytes a second that may be moved; none is any number.
    rate: Option<Bytes>,
}

impl Evacuation {
    /// How much may be moved at once.
    pub fn most(&self) -> Bytes {
        let rate = self.rate.map(|rate| rate.0.saturating_mul(AT_ONCE));
        Bytes(rate.unwrap_or(u64::MAX))
    }

    /// How long to rest after a piece of so many bytes, which took so long: as long as that, so
    /// that LVM is for others half the time, and until no more was moved than the rate allows.
    pub fn rest(&self, moved: u64, took: Duration) -> Duration {
        let allowed = self.rate.map_or(Duration::ZERO, |rate| {
            let millis = u128::from(moved) * 1000 / u128::from(rate.0.max(1));
            Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
        });
        took.max(allowed.saturating_sub(took))
    }
}

impl Jobs {
    /// A disk is to be emptied; the number of the job. One that does not fit elsewhere is refused.
    pub fn evacuate(&self, target: &dyn JobTarget, pv: &PvReport) -> Result<u64, Fault> {
        let bytes = |extents: Extents| Bytes(extents.0.saturating_mul(pv.extent_size.0));
        if pv.used > pv.free_elsewhere {
            return Err(Fault::new(
                FaultKind::NoSpace,
                format!(
                    "cannot evacuate {}: {} lie on it, and the other disks of {} have {} free; add \
                     a disk first (vgextend {2} DEVICE)",
                    pv.name,
                    bytes(pv.used),
                    pv.vg,
                    bytes(pv.free_elsewhere),
                ),
            ));
        }
        let about = About {
            kind: JobKind::Evacuate,
            brick: target.id(),
            dir: target.dir(),
            vg: pv.vg.clone(),
            gfid: None,
            name: pv.name.to_string(),
            total: None,
        };
        self.add(about)
            .map_err(|error| Fault::new(FaultKind::Failed, error.to_string()))
    }

    /// The disk that a job empties, and the brick that uses its group; `None` for other jobs, and
    /// for those that have ended otherwise than by an order.
    pub fn disk(&self, id: u64) -> Option<(BrickId, PvName)> {
        let list = self.list();
        let record = &list.jobs.get(&id)?.record;
        let is_one = record.kind == JobKind::Evacuate
            && (!record.state.is_over() || record.state == JobState::Cancelled);
        let pv = record.name.parse().ok().filter(|_| is_one)?;
        Some((record.brick, pv))
    }

    /// The disk whose next piece is to be moved, if there is one. One disk at a time.
    pub fn next_evacuation(
        &self,
        is_ready: impl Fn(JobKind, BrickId) -> bool,
    ) -> Option<Evacuation> {
        let mut list = self.list();
        let at = Instant::now();
        let due = list.jobs.values_mut().find(|job| {
            let record = &job.record;
            record.kind == JobKind::Evacuate
                && job.is_due(at)
                && is_ready(record.kind, record.brick)
        });
        let record = &due?.record;
        let rate = self.policies.of(&record.vg).0.evacuate_rate;
        Some(Evacuation {
            id: record.id,
            brick: record.brick,
            pv: record.name.parse().ok()?,
            is_new: record.total.is_none(),
            rate,
        })
    }

    /// A piece of an evacuation was moved: what is left, in bytes. Answers how many bytes it had.
    pub fn moved(&self, id: u64, left: Result<u64, Fault>) -> u64 {
        let mut list = self.list();
        let Some(job) = list.jobs.get_mut(&id).filter(|j| !j.record.state.is_over()) else {
            return 0;
        };
        let was = job.record.state;
        match left {
            Ok(left) => {
                let (piece, is_new) = job.left_are(left);
                if left == 0 {
                    let why = format!(
                        "nothing is left on it, and nothing new comes to it; take it out of the \
                         group with: vgreduce {} {}",
                        job.record.vg, job.record.name
                    );
                    list.end(id, JobState::Done, Some(why));
                    return piece;
                }
                job.run();
                if is_new || job.record.state != was {
                    list.keep(id);
                }
                piece
            }
            Err(_) if job.record.held => 0,
            Err(fault) => {
                job.wait(fault.message, PAUSE);
                if was != JobState::Paused {
                    list.keep(id);
                }
                0
            }
        }
    }
}
