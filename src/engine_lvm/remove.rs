//! Removal.
//!
//! Removals that wait for their turn at the same time are done by one command: most of what a
//! command costs is the same for one LV as for many.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use bd_engine::{EngineError, Removed};
use bd_lvm::{Command, Done, LvReport, LvmErrorKind, LvmUuid};
use bd_model::Gfid;

use super::{LvmEngine, fault};

/// How long to wait for the last user to go, each time twice as long as before: udev's probes
/// have a new or changed device open for a moment.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const WAITS: u32 = 6;

/// LVs that go with one command at most: others wait for it.
const TOGETHER: usize = 32;

/// LVs that are to go.
#[derive(Debug, Default)]
pub(super) struct Removals {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Whose removal waits for its turn, the oldest first.
    waiting: Vec<LvmUuid>,
    /// Those that somebody else has removed along, until they are asked for.
    gone: HashSet<LvmUuid>,
}

impl Removals {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An LV is to go as soon as its turn comes.
    fn wait(&self, uuid: &LvmUuid) {
        self.queue().waiting.push(uuid.clone());
    }

    /// Its turn has come: which others go along. `None` if it is gone already.
    ///
    /// One that could not go together with others goes alone.
    fn begin(&self, uuid: &LvmUuid) -> Option<Vec<LvmUuid>> {
        let mut queue = self.queue();
        if queue.gone.remove(uuid) {
            return None;
        }
        let before = queue.waiting.len();
        queue.waiting.retain(|waiting| waiting != uuid);
        let is_first_try = queue.waiting.len() < before;
        let others = queue.waiting.len().min(TOGETHER - 1);
        Some(match is_first_try {
            true => queue.waiting.drain(..others).collect(),
            false => Vec::new(),
        })
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.queue().waiting.len()
    }

    fn are_gone(&self, uuids: &[LvmUuid]) {
        self.queue().gone.extend(uuids.iter().cloned());
    }
}

impl LvmEngine {
    pub(super) fn remove_volume(&self, gfid: Gfid) -> Result<Removed, EngineError> {
        let what = format!("remove image {gfid}");
        let _image_lock = self.image_locks.lock(&[gfid]);
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
                self.refresh(&self.vg_lock())?;
                match self.model().image(gfid).cloned() {
                    Some(lv) => lv,
                    None => return Ok(Removed::AlreadyGone),
                }
            }
        };
        if let Some(snapshot) = self.model().cow_of(&lv.name) {
            return Ok(Removed::Deferred(self.held_by(&lv, snapshot)));
        }
        // A job may have it open.
        self.zeroing.forget(&lv.uuid);
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
            Ok(Removed::Gone | Removed::AlreadyGone) => {}
            Ok(Removed::Deferred(why)) => {
                tracing::error!(lv = path, why, "an LV of no more use is left");
            }
            Err(error) => tracing::error!(lv = path, %error, "an LV of no more use is left"),
        }
    }

    /// `None` if LVM found it in use.
    fn remove_once(&self, what: &str, lv: &LvReport) -> Result<Option<Removed>, EngineError> {
        self.removals.wait(&lv.uuid);
        let vg_lock = self.vg_lock();
        let Some(others) = self.removals.begin(&lv.uuid) else {
            return Ok(Some(Removed::Gone));
        };
        // By identity: whatever has the name by now, only these LVs can go. LVM leaves those which
        // have copy-on-write snapshots, for these would go with them.
        let remove = |others: &[LvmUuid]| {
            let mut uuids = vec![lv.uuid.clone()];
            uuids.extend_from_slice(others);
            let done = self.lvm.change(&self.vg, &Command::Remove { uuids });
            if done == Ok(Done::Changed) {
                let mut model = self.model_mut();
                model.remove(&lv.uuid);
                others.iter().for_each(|other| model.remove(other));
                self.removals.are_gone(others);
            }
            done
        };
        let mut done = remove(&others);
        if done != Ok(Done::Changed) && !others.is_empty() {
            // One of them was in the way, and LVM has removed some, all or none of the others. Each
            // goes alone then, and is told what is wrong with it.
            self.refresh(&vg_lock)?;
            let is_gone = |uuid: &LvmUuid| self.model().get(uuid).is_none();
            let gone: Vec<_> = others.into_iter().filter(is_gone).collect();
            self.removals.are_gone(&gone);
            done = match is_gone(&lv.uuid) {
                true => Ok(Done::Changed),
                false => remove(&[]),
            };
        }
        match done {
            Ok(Done::Changed) => return Ok(Some(Removed::Gone)),
            Ok(Done::NotThere) => {}
            Err(error) if error.kind == LvmErrorKind::InUse => return Ok(None),
            Err(error) => {
                self.refresh(&vg_lock)?;
                return Err(fault::lvm(what, error));
            }
        }
        self.refresh(&vg_lock)?;
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
