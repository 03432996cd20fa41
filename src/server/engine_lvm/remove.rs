//! Removal.

use std::thread::sleep;
use std::time::Duration;

use bd_lvm::{Change, Done, LvReport, LvmErrorKind};
use bd_model::Gfid;

use super::{LvmEngine, fault};
use crate::engine::{EngineError, Removed};

/// How long to wait for the last user to go, each time twice as long as before: udev's probes
/// have a new or changed device open for a moment.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const WAITS: u32 = 6;

impl LvmEngine {
    pub(super) fn remove_volume(&self, gfid: Gfid) -> Result<Removed, EngineError> {
        let what = format!("remove image {gfid}");
        let _hold = self.busy.hold(&[gfid]);
        self.clear_leftovers(gfid);
        let known = {
            let model = self.model();
            // What seems to be in the way may be gone by now.
            model
                .image(gfid)
                .filter(|lv| model.cow_of(&lv.name).is_none())
                .cloned()
        };
        let lv = match known {
            Some(lv) => lv,
            None => {
                self.refresh(&self.turn())?;
                match self.model().image(gfid).cloned() {
                    Some(lv) => lv,
                    None => return Ok(Removed::Identity),
                }
            }
        };
        if let Some(snapshot) = self.model().cow_of(&lv.name) {
            return Ok(Removed::Deferred(self.held_by(&lv, snapshot)));
        }
        self.remove_lv(&what, &lv)
    }

    /// Removes an LV once its last users have gone, or gives up on them.
    pub(super) fn remove_lv(&self, what: &str, lv: &LvReport) -> Result<Removed, EngineError> {
        let mut wait = FIRST_WAIT;
        for _ in 0..WAITS {
            if self.open_count(what, lv)? == 0 {
                match self.remove_once(what, lv)? {
                    Some(removed) => return Ok(removed),
                    None => tracing::debug!(lv = self.path(&lv.name), "busy for LVM; once more"),
                }
            }
            sleep(wait);
            wait *= 2;
        }
        Ok(Removed::Deferred(format!(
            "{} is open",
            self.path(&lv.name)
        )))
    }

    /// Removes temporary snapshots of an image that an earlier copy could not remove. The caller
    /// holds the image, as each copy of it does: so no copy needs them.
    pub(super) fn clear_leftovers(&self, gfid: Gfid) {
        let left: Vec<LvReport> = {
            let model = self.model();
            let Some(lv) = model.image(gfid) else { return };
            let of_this = |other: &LvReport| other.origin.as_ref() == Some(&lv.name);
            model.temporary().into_iter().filter(of_this).collect()
        };
        left.iter().for_each(|lv| self.undo(lv));
    }

    /// Removes a new LV that could not be finished, or one that has served.
    pub(super) fn undo(&self, lv: &LvReport) {
        let path = self.path(&lv.name);
        match self.remove_lv(&format!("remove {path}"), lv) {
            Ok(Removed::Gone | Removed::Identity) => {}
            Ok(Removed::Deferred(why)) => {
                tracing::error!(lv = path, why, "an LV of no more use is left");
            }
            Err(error) => tracing::error!(lv = path, %error, "an LV of no more use is left"),
        }
    }

    /// `None` if LVM found it in use.
    fn remove_once(&self, what: &str, lv: &LvReport) -> Result<Option<Removed>, EngineError> {
        let turn = self.turn();
        // By identity: whatever has the name by now, only this LV can go. LVM leaves it where it
        // has copy-on-write snapshots, which would go with it.
        match self.lvm.change(
            &self.vg,
            &Change::Remove {
                uuid: lv.uuid.clone(),
            },
        ) {
            Ok(Done::Changed) => {
                self.model_mut().remove(&lv.uuid);
                return Ok(Some(Removed::Gone));
            }
            Ok(Done::NotThere) => {}
            Err(error) if error.kind == LvmErrorKind::InUse => return Ok(None),
            Err(error) => {
                self.refresh(&turn)?;
                return Err(fault::lvm(what, error));
            }
        }
        self.refresh(&turn)?;
        let model = self.model();
        Ok(Some(match model.get(&lv.uuid) {
            None => Removed::Gone,
            Some(lv) => match model.cow_of(&lv.name) {
                Some(snapshot) => Removed::Deferred(self.held_by(lv, snapshot)),
                None => Removed::Deferred(format!("LVM keeps {}", self.path(&lv.name))),
            },
        }))
    }

    /// Whether somebody has an LV mounted or open.
    pub(super) fn is_in_use(&self, lv: &LvReport) -> Result<bool, EngineError> {
        let what = format!("look at {}", self.path(&lv.name));
        Ok(self.open_count(&what, lv)? > 0)
    }

    fn open_count(&self, what: &str, lv: &LvReport) -> Result<u32, EngineError> {
        let device = self
            .kernel
            .by_uuid(&self.dm_uuid(lv))
            .map_err(|e| fault::failed(what, e))?;
        Ok(device.map_or(0, |device| device.open_count))
    }

    fn held_by(&self, lv: &LvReport, snapshot: &LvReport) -> String {
        format!(
            "{} has the copy-on-write snapshot {}",
            self.path(&lv.name),
            self.path(&snapshot.name)
        )
    }
}
