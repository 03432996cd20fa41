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
mod evacuate;
mod extend;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod fault;
mod foreign;
mod idle;
mod kernel;
mod mapping;
mod merge;
mod model;
mod open;
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

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use bd_dm_thin::{Inherited, Spans, ThinState};
use bd_lvm::{
    LvReport, Lvm, LvmError, LvmErrorKind, LvmUuid, PvName, PvReport, Tag, dm_name, dm_uuid,
};
use bd_model::{BrickId, Bytes, Extents, Gfid, ImageKind, LvName, VgName};
use bd_proto::{EngineSpec, FaultKind, Finding, PoolCare, Space};

use bd_engine::ImageLocks;
use bd_engine::events::Events;
use bd_engine::thin_pool::{Attention, Policies};
use bd_engine::{Engine, EngineError, OpenVolume, Removed, Standing, Used, Volume};
use kernel::Kernel;
use model::{Model, is_hidden, is_outgoing, visible_size};

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
    seen: Mutex<Option<foreign::Seen>>,
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

    fn volume(&self, model: &Model, lv: &LvReport) -> Volume {
        let size = visible_size(lv);
        let thin = lv.is_thin();
        Volume {
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
    fn shown(&self) -> Result<Vec<Volume>, EngineError> {
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
    fn known(&self, gfid: Gfid) -> Option<Volume> {
        let model = self.model();
        model.image(gfid).map(|lv| self.volume(&model, lv))
    }
}

impl Engine for LvmEngine {
    fn spec(&self) -> EngineSpec {
        let pool = self.pool.as_ref().map(|pool| pool.name.clone());
        EngineSpec::Lvm {
            vg: self.vg.clone(),
            pool,
        }
    }

    fn identity(&self) -> Option<String> {
        Some(self.vg_uuid.to_string())
    }

    fn extent_size(&self) -> Bytes {
        self.extent
    }

    fn default_kind(&self) -> ImageKind {
        if self.pool.is_some() {
            ImageKind::Thin
        } else {
            ImageKind::Thick
        }
    }

    fn claim(&self, brick: BrickId) -> Result<(), EngineError> {
        let vg_lock = self.vg_lock();
        self.refresh(&vg_lock)?;
        match self.model().vg.brick() {
            Some(owner) if owner == brick => return Ok(()),
            Some(owner) => {
                return Err(EngineError::new(
                    FaultKind::InUse,
                    format!(
                        "volume group {} belongs to brick {owner}; choose another, or give it \
                         free with vgchange --deltag {} {}",
                        self.vg,
                        Tag::Brick(owner),
                        self.vg
                    ),
                ));
            }
            None => {}
        }
        self.prepare_pool(&vg_lock)?;
        self.retag_vg(&vg_lock, vec![Tag::Brick(brick)], vec![])
    }

    fn release(&self, brick: BrickId) -> Result<(), EngineError> {
        let vg_lock = self.vg_lock();
        self.refresh(&vg_lock)?;
        if self.model().vg.brick() != Some(brick) {
            return Ok(());
        }
        self.retag_vg(&vg_lock, vec![], vec![Tag::Brick(brick)])
    }

    fn claimed_by(&self) -> Result<Option<BrickId>, EngineError> {
        self.refresh(&self.vg_lock())?;
        Ok(self.model().vg.brick())
    }

    fn keep_metadata(&self, folder: &Path) {
        let _vg_lock = self.vg_lock();
        self.durable.keep_in(folder);
    }

    fn volumes(&self) -> Result<Vec<Volume>, EngineError> {
        let vg_lock = self.vg_lock();
        if !self.in_step() {
            self.refresh(&vg_lock)?;
        }
        drop(vg_lock);
        self.shown()
    }

    fn volumes_lately(&self) -> Result<Vec<Volume>, EngineError> {
        if self.lately_in_step() {
            return self.shown();
        }
        self.volumes()
    }

    fn inventory(&self) -> Result<Vec<Standing>, EngineError> {
        self.refresh(&self.vg_lock())?;
        let model = self.model();
        let standing = model.public().into_iter().map(|lv| {
            Ok(Standing {
                volume: self.volume(&model, lv),
                open: self.is_in_use(lv)?,
                hidden: is_hidden(lv),
            })
        });
        standing.collect()
    }

    fn find(&self, gfid: Gfid) -> Result<Option<Volume>, EngineError> {
        Ok(self.known(gfid))
    }

    fn create(
        &self,
        gfid: Gfid,
        name: &LvName,
        kind: ImageKind,
        size: Bytes,
    ) -> Result<Volume, EngineError> {
        self.make_volume(gfid, name, kind, size)
    }

    fn snapshot(
        &self,
        source: Gfid,
        dest: Gfid,
        name: &LvName,
        cow_size: Option<Bytes>,
    ) -> Result<Volume, EngineError> {
        self.make_snapshot(source, dest, name, cow_size)
    }

    fn clone_image(&self, source: Gfid, dest: Gfid, name: &LvName) -> Result<Volume, EngineError> {
        self.make_clone(source, dest, name)
    }

    fn merge(&self, snapshot: Gfid, origin: Gfid) -> Result<Volume, EngineError> {
        self.merge_snapshot(snapshot, origin)
    }

    fn resize(&self, gfid: Gfid, size: Bytes) -> Result<Volume, EngineError> {
        self.change_size(gfid, size)
    }

    fn rename(&self, gfid: Gfid, name: &LvName) -> Result<Volume, EngineError> {
        self.change_name(gfid, name)
    }

    fn remove(&self, gfid: Gfid) -> Result<Removed, EngineError> {
        self.remove_volume(gfid)
    }

    fn adopt(&self, name: &LvName, gfid: Gfid) -> Result<Volume, EngineError> {
        self.adopt_volume(name, gfid)
    }

    fn open(&self, gfid: Gfid) -> Result<OpenVolume, EngineError> {
        self.open_volume(gfid)
    }

    fn sync(&self, gfid: Gfid) -> Result<(), EngineError> {
        self.sync_image(gfid)
    }

    fn allocated(&self, gfids: &[Gfid]) -> Result<Vec<Option<Bytes>>, EngineError> {
        let model = self.model();
        let one = |gfid: &Gfid| {
            let lv = model.image(*gfid)?;
            if lv.is_thin() {
                self.mapped(lv)
            } else {
                Some(visible_size(lv))
            }
        };
        Ok(gfids.iter().map(one).collect())
    }

    fn reserve_mappings(&self) -> Result<(), EngineError> {
        self.reserve_metadata()
    }

    fn mapped(&self, gfid: Gfid) -> Result<Option<Spans>, EngineError> {
        self.mapped_spans(gfid)
    }

    fn inherited(&self, gfid: Gfid, before: Option<u64>) -> Result<Option<Inherited>, EngineError> {
        self.inherited_chunks(gfid, before)
    }

    fn release_mappings(&self) -> Result<(), EngineError> {
        self.release_metadata()
    }

    fn tend(&self) -> Attention {
        self.tend_pool()
    }

    fn rest_idle(&self) {
        self.rest_idle_at(Instant::now());
    }

    fn pool(&self) -> Result<Option<PoolCare>, EngineError> {
        self.pool_care()
    }

    fn finding(&self) -> Option<Finding> {
        self.finding_of_strays()
    }

    fn no_room(&self, now: Bytes, all: Bytes) -> Result<Option<String>, EngineError> {
        self.no_room_for_job(now, all)
    }

    fn disk(&self, pv: &PvName) -> Result<Option<PvReport>, EngineError> {
        self.look_at_disk(pv)
    }

    fn move_piece(&self, pv: &PvName, is_new: bool, most: Bytes) -> Result<u64, EngineError> {
        self.move_from(pv, is_new, most)
    }

    fn allow_disk(&self, pv: &PvName) -> Result<(), EngineError> {
        let _vg_lock = self.vg_lock();
        self.allocate_on(pv, true)
    }

    fn unzeroed(&self, gfid: Gfid) -> Option<Bytes> {
        self.unzeroed_of(gfid)
    }

    fn all_unzeroed(&self) -> Vec<Gfid> {
        self.unzeroed_images()
    }

    fn zero_piece(&self, gfid: Gfid, most: Bytes) -> Result<Bytes, EngineError> {
        self.zero_next(gfid, most)
    }

    fn keep_zeroed(&self, gfid: Gfid) -> Result<(), EngineError> {
        self.keep_pieces(gfid)
    }

    fn take_back_growth(&self, gfid: Gfid) -> Result<(), EngineError> {
        self.undo_growth(gfid)
    }

    fn clients_at_work(&self) -> bool {
        self.are_clients_at_work()
    }

    fn count(&self) -> Option<u64> {
        Some(self.model().images())
    }

    fn used(&self) -> Vec<Used> {
        let images: Vec<(Gfid, LvReport)> = {
            let model = self.model();
            let visible = model.visible().into_iter();
            let owned = visible.filter_map(|lv| model.owner(lv).map(|gfid| (gfid, lv.clone())));
            owned.collect()
        };
        let used = images.into_iter().map(|(gfid, lv)| {
            let device = self.kernel.by_uuid(&self.dm_uuid(&lv)).ok().flatten();
            Used {
                gfid,
                allocated: match &device {
                    _ if lv.is_thin() => self.mapped(&lv),
                    Some(_) => Some(visible_size(&lv)),
                    None => None,
                },
                name: lv.name,
                io: device.and_then(|device| self.kernel.counters(&device).ok()),
            }
        });
        used.collect()
    }

    fn known(&self) -> Vec<Volume> {
        let model = self.model();
        let visible = model.visible().into_iter();
        let images = visible.filter(|lv| model.owner(lv).is_some());
        images.map(|lv| self.volume(&model, lv)).collect()
    }

    fn space(&self) -> Result<Space, EngineError> {
        if let Some(pool) = &self.pool {
            return self.pool_space(pool);
        }
        let model = self.model();
        let free = self.bytes(model.vg.free);
        Ok(Space {
            total: self.bytes(model.vg.extents),
            free,
            unclaimed: free,
        })
    }
}
