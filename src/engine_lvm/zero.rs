//! Zeroing what must not be seen: the blocks of a new thick LV, and those that one grows by.
//!
//! The tag of such an LV says from where on its bytes may be those of an earlier owner. A call zeroes
//! a little itself; more is a job's, which does it piece by piece while nobody can use what the LV has
//! gained. The tag follows now and then, and only after the device was flushed, so that a crash never
//! leaves one that says too little.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bd_engine::EngineError;
use bd_lvm::{LvReport, LvmUuid, Tag};
use bd_model::{Bytes, Gfid};
use bd_proto::FaultKind;

use super::model::{visible_size, zeroing};
use super::{LvmEngine, fault};

/// A call zeroes so much itself: seconds for most disks, which clients wait for anyway. It is more
/// than any growth by a write (a quarter of a GiB at most).
const AT_ONCE: Bytes = Bytes(1 << 30);
/// Bytes that a call zeroes with one request to the kernel.
const SLICE: u64 = 32 << 20;
/// The tag follows a job as often as this: that costs a flush and a command of LVM, and a crash costs
/// what was zeroed since.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// What jobs have zeroed, beyond what tags say.
#[derive(Debug)]
pub(super) struct Zeroing {
    /// A call zeroes so much itself.
    pub(super) at_once: Bytes,
    /// The tag follows as often as this.
    pub(super) keep_every: Duration,
    begun: Mutex<HashMap<LvmUuid, Begun>>,
}

/// An LV that is zeroed piece by piece.
#[derive(Debug)]
struct Begun {
    /// All before is zero, or an image's.
    at: u64,
    /// When the tag was set the last time.
    kept: Instant,
    /// What it held before it was grown, where that is known.
    base: Option<Bytes>,
    file: Option<Arc<File>>,
    /// Bytes that pieces have written.
    written: u64,
}

#[cfg(any(test, feature = "fake"))]
impl LvmEngine {
    /// Lets calls zero so much themselves.
    #[must_use]
    pub fn zeroing_at_once(mut self, at_once: Bytes) -> LvmEngine {
        self.zeroing.at_once = at_once;
        self
    }
}

impl Default for Zeroing {
    fn default() -> Zeroing {
        Zeroing {
            at_once: AT_ONCE,
            keep_every: KEEP_EVERY,
            begun: Mutex::default(),
        }
    }
}

impl Zeroing {
    fn begun(&self) -> MutexGuard<'_, HashMap<LvmUuid, Begun>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An LV is zeroed piece by piece from now on.
    fn begin(&self, uuid: &LvmUuid, from: Bytes, base: Option<Bytes>) {
        self.begun().entry(uuid.clone()).or_insert(Begun {
            at: from.0,
            kept: Instant::now(),
            base,
            file: None,
            written: 0,
        });
    }

    /// Nothing of an LV is to be zeroed any more, or it is to go: its device is closed.
    pub(super) fn forget(&self, uuid: &LvmUuid) {
        self.begun().remove(uuid);
    }

    fn at(&self, uuid: &LvmUuid) -> Option<u64> {
        self.begun().get(uuid).map(|begun| begun.at)
    }

    /// What pieces have written to an LV.
    pub(super) fn written(&self, uuid: &LvmUuid) -> u64 {
        self.begun().get(uuid).map_or(0, |begun| begun.written)
    }

    fn advance(&self, uuid: &LvmUuid, bytes: u64) {
        if let Some(begun) = self.begun().get_mut(uuid) {
            begun.at += bytes;
            begun.written += bytes;
        }
    }
}

impl LvmEngine {
    /// What is to be zeroed of an LV, if that is a job's.
    fn left_to_zero(&self, lv: &LvReport) -> Option<Bytes> {
        let from = zeroing(lv)?;
        let at = self.zeroing.at(&lv.uuid);
        let left = visible_size(lv).0.saturating_sub(at.unwrap_or(from.0));
        (at.is_some() || left > self.zeroing.at_once.0).then_some(Bytes(left))
    }

    pub(super) fn unzeroed_of(&self, gfid: Gfid) -> Option<Bytes> {
        let model = self.model();
        self.left_to_zero(model.image(gfid)?)
    }

    pub(super) fn unzeroed_images(&self) -> Vec<Gfid> {
        let model = self.model();
        let visible = model.visible().into_iter();
        let to_zero = visible.filter(|lv| self.left_to_zero(lv).is_some());
        to_zero.filter_map(|lv| model.owner(lv)).collect()
    }

    /// Makes sure that nothing of an image is to be zeroed any more: does it if it is little, else
    /// refuses. The caller holds the image.
    pub(super) fn finish_zeroing(&self, what: &str, gfid: Gfid) -> Result<(), EngineError> {
        let Some(left) = self.unzeroed_of(gfid) else {
            return self.zero_a_little(what, gfid);
        };
        Err(EngineError::new(
            FaultKind::Busy,
            format!("cannot {what}: {left} of it are still to be zeroed; see: gluster-bd job list"),
        ))
    }

    /// Zeroes what is not known to be zero yet, unless it is much: all of a new thick LV, what a grown
    /// one has gained, or the rest of either after a crash. The caller holds the image.
    pub(super) fn zero_a_little(&self, what: &str, gfid: Gfid) -> Result<(), EngineError> {
        let Some(lv) = self.model().image(gfid).cloned() else {
            return Ok(());
        };
        let Some(from) = zeroing(&lv) else {
            return Ok(());
        };
        let end = visible_size(&lv);
        let at = Bytes(self.zeroing.at(&lv.uuid).unwrap_or(from.0));
        if end.0.saturating_sub(at.0) > self.zeroing.at_once.0 {
            return Ok(());
        }
        self.zero(what, &lv, at, end)?;
        self.retag(&self.vg_lock(), what, gfid, &[], &[Tag::Zeroing(from)])?;
        self.zeroing.forget(&lv.uuid);
        Ok(())
    }

    fn zero(&self, what: &str, lv: &LvReport, from: Bytes, to: Bytes) -> Result<(), EngineError> {
        // Pieces may have been zeroed before, and not be on stable storage yet.
        if from >= to && self.zeroing.at(&lv.uuid).is_none() {
            return Ok(());
        }
        let what = format!("{what}: zeroing stopped");
        let node = self.node(&what, lv)?;
        let mut at = from.0;
        while at < to.0 {
            let len = SLICE.min(to.0 - at);
            self.kernel
                .zero(&node.file, Bytes(at), Bytes(len))
                .map_err(|e| fault::failed(&what, e))?;
            at += len;
        }
        node.file.sync_all().map_err(|e| fault::failed(&what, e))
    }

    /// An LV has grown from `base`. If that is much, its zeroing is left to a job.
    pub(super) fn zero_growth(
        &self,
        what: &str,
        gfid: Gfid,
        base: &LvReport,
    ) -> Result<(), EngineError> {
        if self.unzeroed_of(gfid).is_some() {
            self.zeroing.begin(&base.uuid, base.size, Some(base.size));
            return Ok(());
        }
        self.zero_a_little(what, gfid)
    }

    /// Zeroes the next piece of an image; answers what is left.
    pub(super) fn zero_next(&self, gfid: Gfid, most: Bytes) -> Result<Bytes, EngineError> {
        let what = format!("zero image {gfid}");
        let _image_lock = self.image_locks.lock_behind(gfid);
        let known = self.model().image(gfid).cloned();
        // LVM's turn is not waited for, but where it is needed.
        let lv = match known {
            Some(lv) => lv,
            None => self.image(&self.vg_lock(), &what, gfid)?,
        };
        let Some(from) = zeroing(&lv) else {
            self.zeroing.forget(&lv.uuid);
            return Ok(Bytes(0));
        };
        let file = self.begin_pieces(&what, &lv, from)?;
        let end = visible_size(&lv).0;
        let at = self.zeroing.at(&lv.uuid).unwrap_or(from.0);
        let len = most.0.min(end.saturating_sub(at));
        if len > 0 {
            self.kernel
                .zero(&file, Bytes(at), Bytes(len))
                .map_err(|e| fault::failed(&what, e))?;
            self.zeroing.advance(&lv.uuid, len);
        }
        let left = end.saturating_sub(at + len);
        if left == 0 {
            file.sync_all().map_err(|e| fault::failed(&what, e))?;
            self.retag(&self.vg_lock(), &what, gfid, &[], &[Tag::Zeroing(from)])?;
            self.zeroing.forget(&lv.uuid);
            return Ok(Bytes(0));
        }
        let kept = self.zeroing.begun().get(&lv.uuid).map(|begun| begun.kept);
        if kept.is_some_and(|kept| kept.elapsed() >= self.zeroing.keep_every) {
            self.keep(&what, gfid, &lv, &file)?;
        }
        Ok(Bytes(left))
    }

    /// The device of an LV that is zeroed piece by piece; it stays open in between.
    fn begin_pieces(
        &self,
        what: &str,
        lv: &LvReport,
        from: Bytes,
    ) -> Result<Arc<File>, EngineError> {
        self.zeroing.begin(&lv.uuid, from, None);
        let open = |begun: &Begun| begun.file.clone();
        if let Some(file) = self.zeroing.begun().get(&lv.uuid).and_then(open) {
            return Ok(file);
        }
        let file = Arc::new(self.node(what, lv)?.file);
        if let Some(begun) = self.zeroing.begun().get_mut(&lv.uuid) {
            begun.file = Some(Arc::clone(&file));
        }
        Ok(file)
    }

    /// Lets the tag say how far zeroing has come, and closes the device.
    pub(super) fn keep_pieces(&self, gfid: Gfid) -> Result<(), EngineError> {
        let what = format!("write down how far image {gfid} is zeroed");
        let _image_lock = self.image_locks.lock_behind(gfid);
        let Some(lv) = self.model().image(gfid).cloned() else {
            return Ok(());
        };
        let file = match self.zeroing.begun().get_mut(&lv.uuid) {
            Some(begun) => begun.file.take(),
            None => None,
        };
        match file {
            Some(file) => self.keep(&what, gfid, &lv, &file),
            None => Ok(()),
        }
    }

    fn keep(&self, what: &str, gfid: Gfid, lv: &LvReport, file: &File) -> Result<(), EngineError> {
        let (Some(from), Some(at)) = (zeroing(lv), self.zeroing.at(&lv.uuid)) else {
            return Ok(());
        };
        let to = Bytes(at.min(visible_size(lv).0));
        if to > from {
            file.sync_all().map_err(|e| fault::failed(what, e))?;
            let (add, del) = ([Tag::Zeroing(to)], [Tag::Zeroing(from)]);
            self.retag(&self.vg_lock(), what, gfid, &add, &del)?;
        }
        if let Some(begun) = self.zeroing.begun().get_mut(&lv.uuid) {
            begun.kept = Instant::now();
        }
        Ok(())
    }

    /// Gives back what an LV has grown by and what is not zeroed: nobody was told of it.
    pub(super) fn undo_growth(&self, gfid: Gfid) -> Result<(), EngineError> {
        let what = format!("give back what image {gfid} has grown by");
        let _image_lock = self.image_locks.lock(&[gfid]);
        let Some(lv) = self.model().image(gfid).cloned() else {
            return Ok(());
        };
        let Some(from) = zeroing(&lv) else {
            return Ok(());
        };
        let base = self.zeroing.begun().get(&lv.uuid).and_then(|b| b.base);
        // What was zeroed before a restart stays: where it began is not known any more.
        let size = self.bytes(self.extents(&what, base.unwrap_or(from))?);
        if base.unwrap_or(from) == Bytes(0) || size >= visible_size(&lv) {
            return Ok(());
        }
        self.shrink(&what, gfid, size)
    }
}
