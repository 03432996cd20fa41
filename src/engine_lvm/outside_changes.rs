//! Whether somebody else has changed the VG, without a command of LVM.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use bd_lvm::{
    Command, Done, Lvm, LvmError, LvmUuid, MoveReport, PoolReport, PvName, PvReport, ThinDevice,
    VgReport,
};
use bd_model::{LvName, VgName};

use super::LvmEngine;
use super::durable::Durable;

/// After own changes a VG is read again so much later: they have changed it, and whether somebody
/// else has, too, is not known. With the time between two questions this is below ten seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// The VG's metadata when they were read last.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// What changes with them; `None` where that cannot be read.
    headers: Option<Vec<u8>>,
    /// How many changes of our own there were.
    changes: u64,
    at: Instant,
}

/// LVM, whose changes are counted, and are on stable storage when they are done.
#[derive(Debug)]
pub(super) struct Own {
    lvm: Arc<dyn Lvm>,
    changes: Arc<AtomicU64>,
    durable: Arc<Durable>,
}

impl Own {
    pub(super) fn new(lvm: Arc<dyn Lvm>, changes: Arc<AtomicU64>, durable: Arc<Durable>) -> Own {
        Own {
            lvm,
            changes,
            durable,
        }
    }
}

impl Lvm for Own {
    fn report(&self, vg: &VgName) -> Result<VgReport, LvmError> {
        self.lvm.report(vg)
    }

    fn name_of(&self, vg: &LvmUuid) -> Result<Option<VgName>, LvmError> {
        self.lvm.name_of(vg)
    }

    fn pool(&self, vg: &VgName, pool: &LvName) -> Result<PoolReport, LvmError> {
        self.lvm.pool(vg, pool)
    }

    fn thin_devices(&self, vg: &VgName, pool: &LvName) -> Result<Vec<ThinDevice>, LvmError> {
        self.lvm.thin_devices(vg, pool)
    }

    fn pv(&self, pv: &PvName) -> Result<PvReport, LvmError> {
        self.lvm.pv(pv)
    }

    fn moves(&self, vg: &VgName) -> Result<Vec<MoveReport>, LvmError> {
        self.lvm.moves(vg)
    }

    fn change(&self, vg: &VgName, change: &Command) -> Result<Done, LvmError> {
        self.changes.fetch_add(1, Ordering::SeqCst);
        let done = self.lvm.change(vg, change);
        // Also where it has failed: part of it may be made.
        if change.writes_metadata() {
            self.durable.settle();
        }
        done
    }
}

impl LvmEngine {
    /// What the VG's metadata are at this moment. To be taken before they are read: what changes
    /// between the two is then read again the next time.
    pub(super) fn see(&self) -> Seen {
        Seen {
            changes: self.changes.load(Ordering::SeqCst),
            headers: self.mda_headers(),
            at: Instant::now(),
        }
    }

    pub(super) fn remember(&self, seen: Seen) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }

    /// Whether the model is what the disks hold.
    pub(super) fn in_step(&self) -> bool {
        let seen = self.seen_headers();
        seen.is_some() && self.mda_headers() == seen
    }

    /// Whether the model is what the disks hold, but for what others may have changed in the last
    /// seconds, when we have changed something, too.
    pub(super) fn lately_in_step(&self) -> bool {
        let changes = self.changes.load(Ordering::SeqCst);
        let busy = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.as_ref()
                .is_some_and(|seen| seen.changes != changes && seen.at.elapsed() < PATIENCE)
        };
        busy || self.in_step()
    }

    /// Whether the disks are known to hold something else than the model.
    pub(super) fn has_changed(&self) -> bool {
        let (seen, now) = (self.seen_headers(), self.mda_headers());
        seen.is_some() && now.is_some() && now != seen
    }

    /// What the headers were when the metadata were read last, if they were known.
    fn seen_headers(&self) -> Option<Vec<u8>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref()?.headers.clone()
    }

    /// The physical volumes are found below a device of the VG.
    fn mda_headers(&self) -> Option<Vec<u8>> {
        let by_uuid = |uuid: &str| self.kernel.by_uuid(uuid).ok().flatten();
        let device = match &self.pool {
            Some(pool) => by_uuid(&pool.uuid),
            None => {
                let model = self.model();
                let mut visible = model.visible().into_iter();
                visible.find_map(|lv| by_uuid(&self.dm_uuid(lv)))
            }
        };
        self.kernel.mda_headers(&device?).ok().flatten()
    }
}
