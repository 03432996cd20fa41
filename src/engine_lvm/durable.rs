//! Changes of a VG that last.
//!
//! LVM neither flushes the disks after a change nor, as the server runs it, keeps a copy of the metadata.
//! A disk with a volatile cache may then lose what was told done seconds before, and a power cut in the
//! midst of a change can leave metadata that nobody can read. So after each change the disks are flushed,
//! and the metadata are kept beside the names.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bd_engine::Backups;
use bd_lvm::LvmUuid;
use bd_model::VgName;

use super::disks::Settled;
use super::kernel::Kernel;

/// What makes the changes of one VG last.
#[derive(Debug)]
pub(super) struct Durable {
    kernel: Arc<dyn Kernel>,
    vg: VgName,
    uuid: LvmUuid,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where the physical volumes were the last time.
    disks: Vec<PathBuf>,
    backups: Option<Backups>,
}

impl Durable {
    pub(super) fn new(kernel: Arc<dyn Kernel>, vg: &VgName, uuid: &LvmUuid) -> Durable {
        Durable {
            kernel,
            vg: vg.clone(),
            uuid: uuid.clone(),
            state: Mutex::default(),
        }
    }

    /// Keeps the metadata in `folder` as well, from now on.
    pub(super) fn keep_in(&self, folder: &Path) {
        match Backups::open(folder) {
            Ok(backups) => self.lock().backups = Some(backups),
            Err(error) => self.warn(&format!("no metadata are kept: {error}")),
        }
        self.settle();
    }

    /// LVM has changed the VG. What fails is told in the log: the change itself is made.
    pub(super) fn settle(&self) {
        let mut state = self.lock();
        let mut settled = self.kernel.settle(&self.uuid, &state.disks, None);
        if matches!(settled, Ok(None)) {
            let prefix = format!("LVM-{}", self.uuid.bare());
            let devices = self.kernel.by_prefix(&prefix).unwrap_or_default();
            // A thick VG of which nothing is active has no device: its next change will have one.
            let Some(device) = devices.first() else {
                return;
            };
            settled = self.kernel.settle(&self.uuid, &[], Some(device));
        }
        match settled {
            Ok(Some(Settled { text, disks })) => {
                state.disks = disks;
                let kept = state.backups.as_mut().map(|backups| backups.keep(&text));
                if let Some(Err(error)) = kept {
                    self.warn(&format!("its metadata are not kept: {error}"));
                }
            }
            Ok(None) => self.warn("its physical volumes do not agree on its metadata"),
            Err(error) => self.warn(&format!("its disks cannot be flushed: {error}")),
        }
    }

    fn warn(&self, what: &str) {
        tracing::warn!("volume group {}: {what}", self.vg);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
