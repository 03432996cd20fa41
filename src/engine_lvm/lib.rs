//! Images on logical volumes.
//!
//! An LV belongs to an image by its tag `gluster_bd.gfid=...`, whatever its name. The engine keeps
//! the VG in memory: one report loads it, own changes keep it in step, and a change that meets
//! another VG than the one in memory reads it afresh and tries once more. So a create, snapshot,
//! rename or removal costs one LVM command.
//!
//! Two kinds of lock: `vg_lock` goes around an LVM command and the change in memory that follows
//! from it; `image_locks` hold an image during long work (zeroing, copying), when others take turns.
#![forbid(unsafe_code)]

mod activate;
mod change;
mod copy;
mod create;
mod disks;
mod durable;
mod engine;
mod evacuate;
mod extend;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod fault;
mod idle;
mod kernel;
mod mapping;
mod merge;
mod model;
mod open;
mod outside_changes;
mod pool;
mod remove;
mod resize;
mod start;
mod strays;
mod sync;
#[cfg(test)]
mod tests;
mod traffic;
mod udev;
mod zero;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bd_dm_thin::ThinState;
use bd_engine::ImageLocks;
use bd_engine::events::Events;
use bd_engine::thin_pool::Policies;
use bd_engine::{BackingVolume, EngineError};
use bd_lvm::{LvReport, Lvm, LvmError, LvmErrorKind, LvmUuid, dm_name, dm_uuid};
use bd_model::{Bytes, Extents, Gfid, ImageKind, LvName, VgName};
use bd_proto::FaultKind;

use kernel::Kernel;
use model::{Model, is_outgoing, visible_size};

/// The images of one VG.
#[derive(Debug)]
pub struct LvmEngine {
    lvm: Arc<dyn Lvm>,
    kernel: Arc<dyn Kernel>,
    durable: Arc<durable::Durable>,
    vg: VgName,
    vg_uuid: LvmUuid,
    extent: Bytes,
    pool: Option<pool::Pool>,
    model: RwLock<Model>,
    vg_lock: Mutex<()>,
    image_locks: ImageLocks,
    policies: Arc<Policies>,
    events: Events,
    watch: Mutex<extend::Watch>,
    told: udev::Told,
    /// Changes that were made through `lvm`.
    changes: Arc<AtomicU64>,
    seen: Mutex<Option<outside_changes::Seen>>,
    removals: remove::Removals,
    idle: idle::Idle,
    /// Thin devices that no LV has, and that the next one would get.
    strays: Vec<u32>,
    zeroing: zero::Zeroing,
    traffic: traffic::Traffic,
}

/// The right to run LVM commands, until it is dropped.
struct VgGuard<'a> {
    _guard: MutexGuard<'a, ()>,
}

impl LvmEngine {
    /// Lets `policies` say when its pool is extended, and when nothing new is made in it.
    pub fn with_policies(self, policies: Arc<Policies>) -> LvmEngine {
        LvmEngine { policies, ..self }
    }

    /// Tells of its pool by `events` as well.
    pub fn with_events(self, events: Events) -> LvmEngine {
        LvmEngine { events, ..self }
    }

    fn vg_lock(&self) -> VgGuard<'_> {
        VgGuard {
            _guard: self.vg_lock.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    fn model(&self) -> RwLockReadGuard<'_, Model> {
        self.model.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn model_mut(&self) -> RwLockWriteGuard<'_, Model> {
        self.model.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the VG from its disks.
    fn refresh(&self, _vg_lock: &VgGuard<'_>) -> Result<(), EngineError> {
        let what = format!("read volume group {}", self.vg);
        let seen = self.see();
        let report = self
            .lvm
            .report(&self.vg)
            .map_err(|e| self.renamed(&e).unwrap_or_else(|| fault::lvm(&what, e)))?;
        if report.uuid != self.vg_uuid {
            return Err(EngineError::new(
                FaultKind::Failed,
                format!(
                    "volume group {} is another one than before; restart gluster-bdd",
                    self.vg
                ),
            ));
        }
        *self.model_mut() = Model::new(report);
        self.remember(seen);
        self.tell_udev();
        Ok(())
    }

    /// Whether the VG was not found because it has another name by now. Who asked is told to attach its
    /// brick again, and that finds it.
    fn renamed(&self, error: &LvmError) -> Option<EngineError> {
        if error.kind != LvmErrorKind::NotFound {
            return None;
        }
        let name = self.lvm.name_of(&self.vg_uuid).ok().flatten()?;
        Some(EngineError::new(
            FaultKind::NotAttached,
            format!(
                "volume group {} is called {name} now; its brick goes on with that when it is attached \
                 again",
                self.vg
            ),
        ))
    }

    /// `vg0/vm1`, for messages.
    fn path(&self, name: &LvName) -> String {
        format!("{}/{name}", self.vg)
    }

    fn dm_uuid(&self, lv: &LvReport) -> String {
        dm_uuid(&self.vg_uuid, &lv.uuid)
    }

    fn dm_name(&self, name: &LvName) -> String {
        dm_name(&self.vg, name)
    }

    /// How many extents hold so many bytes: one at least, and no more than LVM can count.
    fn extents(&self, what: &str, size: Bytes) -> Result<Extents, EngineError> {
        let extents = size.0.max(1).div_ceil(self.extent.0);
        if extents > u64::from(u32::MAX) {
            return Err(EngineError::new(
                FaultKind::TooLarge,
                format!("cannot {what}: {size} is more than a volume group can hold"),
            ));
        }
        Ok(Extents(extents))
    }

    /// The bytes of so many extents.
    fn bytes(&self, extents: Extents) -> Bytes {
        Bytes(extents.0.saturating_mul(self.extent.0))
    }

    fn unknown(&self, what: &str, gfid: Gfid) -> EngineError {
        EngineError::new(
            FaultKind::NotFound,
            format!(
                "cannot {what}: no LV of volume group {} belongs to image {gfid}",
                self.vg
            ),
        )
    }

    fn volume(&self, model: &Model, lv: &LvReport) -> BackingVolume {
        let size = visible_size(lv);
        let thin = lv.is_thin();
        BackingVolume {
            name: lv.name.clone(),
            gfid: model.owner(lv),
            kind: if thin {
                ImageKind::Thin
            } else {
                ImageKind::Thick
            },
            size,
            allocated: if thin {
                self.mapped(lv).unwrap_or_default()
            } else {
                size
            },
            pool: lv.pool.clone(),
            origin: model.origin_name(lv),
            origin_image: model.origin_image(lv),
            outgoing: is_outgoing(lv),
        }
    }

    /// Bytes of a thin LV that are mapped; `None` if neither the kernel nor we know.
    fn mapped(&self, lv: &LvReport) -> Option<Bytes> {
        match self.kernel.thin(&self.dm_uuid(lv)) {
            Ok(Some(ThinState::Working(status))) => status.mapped.bytes(),
            Ok(None) => self.idle.mapped(&lv.uuid),
            _ => None,
        }
    }

    /// All volumes which may appear as files, as they are in memory.
    fn shown(&self) -> Result<Vec<BackingVolume>, EngineError> {
        let model = self.model();
        let mut volumes = Vec::new();
        for lv in model.visible() {
            // A file system of the host is not for the volume's users, the brick's own least.
            if model.owner(lv).is_some() || !self.is_in_use(lv)? {
                volumes.push(self.volume(&model, lv));
            }
        }
        Ok(volumes)
    }

    /// The volume of an image as it is in memory.
    fn known(&self, gfid: Gfid) -> Option<BackingVolume> {
        let model = self.model();
        model.image(gfid).map(|lv| self.volume(&model, lv))
    }
}
