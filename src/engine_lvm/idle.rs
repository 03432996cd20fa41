//! LVs that nobody uses any more are deactivated after a while.
//!
//! Until then an image that is closed and opened again costs no command of LVM. Afterwards the host
//! has no device for it: there are as many as there are images in use.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bd_dm_thin::DmDevice;
use bd_lvm::{Command, LvReport, LvmUuid, Tag};
use bd_model::{Bytes, Gfid};

use super::LvmEngine;

/// LVs that are deactivated with one command at most: others wait for it.
const TOGETHER: usize = 32;

/// Which active LVs nobody has open.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// Since when that is so.
    since: Mutex<HashMap<LvmUuid, Instant>>,
    /// What was mapped of thin LVs when they were deactivated: the kernel does not tell it of those.
    mapped: Mutex<HashMap<LvmUuid, Bytes>>,
}

impl Idle {
    fn since(&self) -> MutexGuard<'_, HashMap<LvmUuid, Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asleep(&self) -> MutexGuard<'_, HashMap<LvmUuid, Bytes>> {
        self.mapped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody uses an LV: its time begins anew.
    pub(super) fn used(&self, uuid: &LvmUuid) {
        self.since().remove(uuid);
    }

    /// What was mapped of an LV when it was deactivated here.
    pub(super) fn mapped(&self, uuid: &LvmUuid) -> Option<Bytes> {
        self.asleep().get(uuid).copied()
    }
}

impl LvmEngine {
    /// Deactivates images which nobody has had open for as long as the policy says at `now`.
    pub(super) fn rest_idle_at(&self, now: Instant) {
        let Some(patience) = self.policies.of(&self.vg).0.idle else {
            self.idle.since().clear();
            return;
        };
        let devices = match self
            .kernel
            .by_prefix(&format!("LVM-{}", self.vg_uuid.bare()))
        {
            Ok(devices) => devices,
            Err(error) => return tracing::warn!(vg = %self.vg, "which images are in use: {error}"),
        };
        let unused = self.unused_images(&devices);
        let mut due: Vec<(Gfid, LvReport)> = {
            let mut since = self.idle.since();
            since.retain(|uuid, _| unused.iter().any(|(_, lv)| lv.uuid == *uuid));
            let is_due = |(_, lv): &(Gfid, LvReport)| {
                let since = since.entry(lv.uuid.clone()).or_insert(now);
                now.saturating_duration_since(*since) >= patience
            };
            unused.into_iter().filter(is_due).collect()
        };
        due.truncate(TOGETHER);
        // What the disks' headers say of changes is found through a device of the group.
        if self.pool.is_none() && due.len() == devices.len() {
            due.pop();
        }
        if !due.is_empty() {
            self.deactivate(&due);
        }
    }

    /// Active images that nobody has open, and that may be without a device.
    fn unused_images(&self, devices: &[DmDevice]) -> Vec<(Gfid, LvReport)> {
        let model = self.model();
        self.idle
            .asleep()
            .retain(|uuid, _| model.get(uuid).is_some());
        let is_plain = |lv: &LvReport| {
            let in_work = |tag: &Tag| {
                matches!(
                    tag,
                    Tag::Unfinished | Tag::Zeroing(_) | Tag::Merged(_) | Tag::Outgoing
                )
            };
            // A thick origin and its snapshots are active together.
            !lv.is_cow() && model.cow_of(&lv.name).is_none() && !lv.tags.iter().any(in_work)
        };
        let unused = |lv: &LvReport| {
            let uuid = self.dm_uuid(lv);
            let is_unused = |device: &DmDevice| device.open_count == 0 && !device.suspended;
            let own = devices.iter().find(|device| device.uuid == uuid);
            own.is_some_and(is_unused)
        };
        let visible = model.visible().into_iter();
        let images = visible.filter_map(|lv| model.owner(lv).map(|gfid| (gfid, lv)));
        images
            .filter(|(_, lv)| is_plain(lv) && unused(lv))
            .map(|(gfid, lv)| (gfid, lv.clone()))
            .collect()
    }

    fn deactivate(&self, due: &[(Gfid, LvReport)]) {
        // First, so that who wants to open one of them waits for this command alone.
        let _vg_lock = self.vg_lock();
        // What somebody works on is not idle.
        let held: Vec<_> = due
            .iter()
            .filter_map(|(gfid, lv)| Some((self.image_locks.try_lock(*gfid)?, lv)))
            .collect();
        let is_still_unused = |lv: &&LvReport| {
            self.idle.since().contains_key(&lv.uuid) && !self.is_in_use(lv).unwrap_or(true)
        };
        let lvs: Vec<&LvReport> = held
            .iter()
            .map(|(_, lv)| *lv)
            .filter(is_still_unused)
            .collect();
        if lvs.is_empty() {
            return;
        }
        for lv in &lvs {
            if lv.is_thin()
                && let Some(mapped) = self.mapped(lv)
            {
                self.idle.asleep().insert(lv.uuid.clone(), mapped);
            }
            // One that cannot be deactivated is tried again as late as the first time.
            self.idle.used(&lv.uuid);
        }
        let uuids = lvs.iter().map(|lv| lv.uuid.clone()).collect();
        match self.lvm.change(&self.vg, &Command::Deactivate { uuids }) {
            Ok(_) => tracing::debug!(vg = %self.vg, "deactivated {} idle images", lvs.len()),
            Err(error) => tracing::warn!(vg = %self.vg, "idle images stay active: {error}"),
        }
    }
}
