//! Growing and shrinking.

use std::cmp::Ordering;
use std::io;

use bd_engine::{BackingVolume, EngineError};
use bd_lvm::{Command, LvReport, LvmError, LvmErrorKind, Tag};
use bd_model::{Bytes, Gfid};
use bd_proto::FaultKind;

use super::model::visible_size;
use super::{LvmEngine, VgGuard, fault};

impl LvmEngine {
    pub(super) fn change_size(
        &self,
        gfid: Gfid,
        size: Bytes,
    ) -> Result<BackingVolume, EngineError> {
        let what = format!("resize image {gfid} to {size}");
        let extents = self.extents(&what, size)?;
        let size = self.bytes(extents);
        let _image_lock = self.image_locks.lock(&[gfid]);
        self.clear_leftovers(gfid);
        let mut lv = self.image(&self.vg_lock(), &what, gfid)?;
        // What is cut off need not be zeroed before.
        if size >= visible_size(&lv) {
            self.finish_zeroing(&what, gfid)?;
            lv = self.image(&self.vg_lock(), &what, gfid)?;
        }
        if size > visible_size(&lv) && self.is_tied(&lv) {
            // The snapshots may be gone by now.
            self.refresh(&self.vg_lock())?;
            lv = self.image(&self.vg_lock(), &what, gfid)?;
        }
        let order = size.cmp(&visible_size(&lv));
        match order {
            Ordering::Equal => {}
            // Their sizes cannot change while they are in use; a file may well be smaller.
            Ordering::Less if self.is_tied(&lv) => {}
            Ordering::Greater if self.is_tied(&lv) => return Err(self.tied(&what, &lv)),
            Ordering::Greater => self.grow(&what, gfid, &lv, size)?,
            Ordering::Less => self.shrink(&what, gfid, size)?,
        }
        self.known(gfid).ok_or_else(|| self.unknown(&what, gfid))
    }

    fn is_tied(&self, lv: &LvReport) -> bool {
        lv.is_cow() || self.model().cow_of(&lv.name).is_some()
    }

    fn tied(&self, what: &str, lv: &LvReport) -> EngineError {
        let path = self.path(&lv.name);
        if lv.is_cow() {
            return EngineError::new(
                FaultKind::Unsupported,
                format!(
                    "cannot {what}: {path} is a copy-on-write snapshot, as large as its origin; \
                     clone it to have one that grows"
                ),
            );
        }
        EngineError::new(
            FaultKind::Busy,
            format!("cannot {what}: {path} has copy-on-write snapshots; remove them first"),
        )
    }

    fn grow(&self, what: &str, gfid: Gfid, lv: &LvReport, size: Bytes) -> Result<(), EngineError> {
        if lv.is_thin() {
            let vg_lock = self.vg_lock();
            if let Some(pool) = &self.pool {
                let more = Bytes(size.0.saturating_sub(lv.size.0));
                self.check_growth(what, pool, more)?;
            }
            return self.extend(&vg_lock, what, gfid, size);
        }
        // From before the new extents are there until they are zero, so that nobody sees them
        // after a crash either.
        let mark = [Tag::Zeroing(lv.size)];
        {
            let vg_lock = self.vg_lock();
            self.retag(&vg_lock, what, gfid, &mark, &[])?;
            if let Err(error) = self.extend(&vg_lock, what, gfid, size) {
                self.retag(&vg_lock, what, gfid, &[], &mark)?;
                return Err(error);
            }
        }
        self.zero_growth(what, gfid, lv)
    }

    fn extend(
        &self,
        vg_lock: &VgGuard<'_>,
        what: &str,
        gfid: Gfid,
        size: Bytes,
    ) -> Result<(), EngineError> {
        let extents = self.extents(what, size)?;
        let lv = self.image_in_step(vg_lock, what, gfid)?;
        let change = Command::Extend {
            name: lv.name.clone(),
            extents,
        };
        match self.lvm.change(&self.vg, &change) {
            Ok(_) => {
                self.model_mut().resize(&lv.uuid, size);
                Ok(())
            }
            Err(error) => Err(self.not_resized(vg_lock, what, error)),
        }
    }

    fn not_resized(&self, vg_lock: &VgGuard<'_>, what: &str, error: LvmError) -> EngineError {
        if let Err(error) = self.refresh(vg_lock) {
            return error;
        }
        if error.kind != LvmErrorKind::NoSpace {
            return fault::lvm(what, error);
        }
        let free = self.bytes(self.model().vg.free);
        EngineError::new(
            FaultKind::NoSpace,
            format!(
                "cannot {what}: {free} free in {}; add a PV or choose a smaller size",
                self.vg
            ),
        )
    }

    /// Cuts off what is behind `size`. The caller holds the image.
    pub(super) fn shrink(&self, what: &str, gfid: Gfid, size: Bytes) -> Result<(), EngineError> {
        let extents = self.extents(what, size)?;
        let lv = self.image_in_step(&self.vg_lock(), what, gfid)?;
        if lv.is_thin() {
            self.clear_tail(what, &lv, size)?;
        }
        let vg_lock = self.vg_lock();
        let lv = self.image_in_step(&vg_lock, what, gfid)?;
        let change = Command::Reduce {
            name: lv.name.clone(),
            extents,
        };
        match self.lvm.change(&self.vg, &change) {
            Ok(_) => self.model_mut().resize(&lv.uuid, size),
            Err(error) => return Err(self.not_resized(&vg_lock, what, error)),
        }
        drop(vg_lock);
        // Of what is left, little or nothing may be to be zeroed.
        self.zero_a_little(what, gfid)
    }

    /// Frees what is about to be cut off a thin LV: LVM leaves it mapped, and the old bytes would
    /// be there again after it has grown.
    fn clear_tail(&self, what: &str, lv: &LvReport, from: Bytes) -> Result<(), EngineError> {
        let what = format!("{what}: clearing the end stopped");
        let failed = |e: io::Error| fault::failed(&what, e);
        let node = self.node(&what, lv)?;
        let end = lv.size;
        let zero = |from: u64, to: u64| {
            self.kernel
                .zero(&node.file, Bytes(from), Bytes(to - from))
                .map_err(failed)
        };
        match node.discard_granularity {
            0 => zero(from.0, end.0)?,
            chunk => {
                let len = Bytes(end.0 - from.0);
                self.kernel.discard(&node.file, from, len).map_err(failed)?;
                // A discard leaves chunks alone of which it covers only a part.
                let first_whole = from.0.next_multiple_of(chunk).min(end.0);
                if from.0 < first_whole {
                    zero(from.0, first_whole)?;
                }
                let last_part = (end.0 / chunk * chunk).max(first_whole);
                if last_part < end.0 {
                    zero(last_part, end.0)?;
                }
            }
        }
        node.file.sync_all().map_err(failed)
    }
}
