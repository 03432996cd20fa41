//! Moving extents of a disk to other disks of the group.

use bd_engine::EngineError;
use bd_lvm::{Command, PvName, PvReport};
use bd_model::{Bytes, Extents};

use super::{LvmEngine, fault};

/// Bytes moved by one command at most: LVM's one thread is taken for so long.
const PIECE: Bytes = Bytes(64 << 20);

impl LvmEngine {
    /// What lies on a disk; `None` if it is not one of this group.
    pub(super) fn look_at_disk(&self, pv: &PvName) -> Result<Option<PvReport>, EngineError> {
        let what = format!("read what lies on {pv}");
        let report = self.lvm.pv(pv).map_err(|e| fault::lvm(&what, e))?;
        Ok(Some(report).filter(|report| report.vg == self.vg))
    }

    /// Moves the first piece of what lies on a disk, of `most` bytes or one extent; answers the
    /// bytes that are left.
    ///
    /// All other changes of the group wait for it: they never meet an LV that is being moved.
    pub(super) fn move_from(
        &self,
        pv: &PvName,
        is_new: bool,
        most: Bytes,
    ) -> Result<u64, EngineError> {
        let what = format!("move what lies on {pv}");
        let vg_lock = self.vg_lock();
        let report = self.look_at_disk(pv)?.ok_or_else(|| {
            let message = format!("cannot {what}: it does not belong to {} any more", self.vg);
            EngineError::new(bd_proto::FaultKind::NotFound, message)
        })?;
        if is_new {
            self.allocate_on(pv, false)?;
        }
        let bytes = |extents: u64| extents.saturating_mul(report.extent_size.0);
        let Some((first, len)) = report.first.filter(|_| !is_new) else {
            return Ok(bytes(report.used.0));
        };
        let extents = |bytes: Bytes| (bytes.0 / report.extent_size.0.max(1)).max(1);
        let piece = extents(most.min(PIECE)).min(len.0);
        let change = Command::Move {
            pv: pv.clone(),
            first,
            last: first + piece - 1,
        };
        let moved = self.lvm.change(&self.vg, &change);
        // The metadata have changed, and after a failure nobody knows how.
        self.refresh(&vg_lock)?;
        moved.map_err(|e| fault::lvm(&what, e))?;
        // One that was cut short before may have been finished instead.
        let left = self
            .look_at_disk(pv)?
            .map_or(Extents(0), |report| report.used);
        Ok(bytes(left.0))
    }

    /// Takes back a piece whose move a kill or a power cut has cut short. LVM changes no LV that is
    /// being moved, and where it activates one it would go on with the move by itself.
    ///
    /// A move of more than a piece is an admin's, who ends it as he began it.
    pub(super) fn take_back_moves(&self) -> Result<(), EngineError> {
        let what = format!("end the moves in volume group {}", self.vg);
        let moves = self.lvm.moves(&self.vg).map_err(|e| fault::lvm(&what, e))?;
        for cut in moves {
            let (pv, size) = (&cut.pv, cut.size);
            if size > PIECE.max(self.extent) {
                tracing::info!(vg = %self.vg, "{size} are being moved from {pv}, not by this server");
                continue;
            }
            tracing::warn!(vg = %self.vg, "taking back what was being moved from {pv}: {size}");
            let change = Command::AbortMove { pv: pv.clone() };
            self.lvm
                .change(&self.vg, &change)
                .map_err(|e| fault::lvm(&what, e))?;
        }
        Ok(())
    }

    /// Lets new LVs come to a disk, or not.
    pub(super) fn allocate_on(&self, pv: &PvName, allow: bool) -> Result<(), EngineError> {
        let change = Command::Allocate {
            pv: pv.clone(),
            allow,
        };
        let what = format!("change whether new volumes come to {pv}");
        let done = self.lvm.change(&self.vg, &change);
        done.map(drop).map_err(|e| fault::lvm(&what, e))
    }
}
