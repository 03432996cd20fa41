//! Whether clients are at work, for work in the background that yields to them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bd_dm_thin::DmDevice;
use bd_lvm::LvmUuid;

use super::LvmEngine;

/// Which images are open is looked at as often as this.
const LIST_EVERY: Duration = Duration::from_secs(2);

/// What was done to open images, when it was looked at last.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    listed: Option<Instant>,
    open: Vec<(LvmUuid, DmDevice)>,
    counted: HashMap<LvmUuid, u64>,
}

impl LvmEngine {
    /// Whether images were read or written since this was asked last, but for what jobs have zeroed.
    pub(super) fn are_clients_at_work(&self) -> bool {
        let mut seen = self
            .traffic
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if seen.listed.is_none_or(|at| at.elapsed() >= LIST_EVERY) {
            seen.open = self.open_images();
            seen.listed = Some(Instant::now());
        }
        let counted = seen.open.iter().filter_map(|(uuid, device)| {
            let io = self.kernel.counters(device).ok()?;
            let by_others = io.written.0.wrapping_sub(self.zeroing.written(uuid));
            Some((uuid.clone(), io.reads.wrapping_add(by_others)))
        });
        let counted: HashMap<_, _> = counted.collect();
        // What was done to one before it was looked at first is not known.
        let mut both = counted
            .iter()
            .filter_map(|(uuid, count)| Some((count, seen.counted.get(uuid)?)));
        let is_busy = both.any(|(now, before)| now != before);
        seen.counted = counted;
        is_busy
    }

    /// The devices of images that somebody has open.
    fn open_images(&self) -> Vec<(LvmUuid, DmDevice)> {
        let model = self.model();
        let visible = model.visible().into_iter();
        let images = visible.filter(|lv| model.owner(lv).is_some());
        let open = images.filter_map(|lv| {
            let device = self.kernel.by_uuid(&self.dm_uuid(lv)).ok().flatten()?;
            (device.open_count > 0).then(|| (lv.uuid.clone(), device))
        });
        open.collect()
    }
}
