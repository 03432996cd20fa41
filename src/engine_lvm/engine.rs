//! What is asked of the engine, and which file does it.

use std::path::Path;
use std::time::Instant;

use bd_dm_thin::{Inherited, Spans};
use bd_engine::thin_pool::Attention;
use bd_engine::{BackingVolume, Engine, EngineError, OpenVolume, Removed, Standing, Used};
use bd_lvm::{LvReport, PvName, PvReport, Tag};
use bd_model::{BrickId, Bytes, Gfid, ImageKind, LvName};
use bd_proto::{EngineSpec, FaultKind, Finding, PoolInfo, Space};

use super::LvmEngine;
use super::model::{is_hidden, visible_size};

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

    fn volumes(&self) -> Result<Vec<BackingVolume>, EngineError> {
        let vg_lock = self.vg_lock();
        if !self.in_step() {
            self.refresh(&vg_lock)?;
        }
        drop(vg_lock);
        self.shown()
    }

    fn volumes_lately(&self) -> Result<Vec<BackingVolume>, EngineError> {
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

    fn find(&self, gfid: Gfid) -> Result<Option<BackingVolume>, EngineError> {
        Ok(self.known(gfid))
    }

    fn create(
        &self,
        gfid: Gfid,
        name: &LvName,
        kind: ImageKind,
        size: Bytes,
    ) -> Result<BackingVolume, EngineError> {
        self.make_volume(gfid, name, kind, size)
    }

    fn snapshot(
        &self,
        source: Gfid,
        dest: Gfid,
        name: &LvName,
        cow_size: Option<Bytes>,
    ) -> Result<BackingVolume, EngineError> {
        self.make_snapshot(source, dest, name, cow_size)
    }

    fn clone_image(
        &self,
        source: Gfid,
        dest: Gfid,
        name: &LvName,
    ) -> Result<BackingVolume, EngineError> {
        self.make_clone(source, dest, name)
    }

    fn merge(&self, snapshot: Gfid, origin: Gfid) -> Result<BackingVolume, EngineError> {
        self.merge_snapshot(snapshot, origin)
    }

    fn resize(&self, gfid: Gfid, size: Bytes) -> Result<BackingVolume, EngineError> {
        self.change_size(gfid, size)
    }

    fn rename(&self, gfid: Gfid, name: &LvName) -> Result<BackingVolume, EngineError> {
        self.change_name(gfid, name)
    }

    fn remove(&self, gfid: Gfid) -> Result<Removed, EngineError> {
        self.remove_volume(gfid)
    }

    fn adopt(&self, name: &LvName, gfid: Gfid) -> Result<BackingVolume, EngineError> {
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

    fn pool(&self) -> Result<Option<PoolInfo>, EngineError> {
        self.pool_info()
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

    fn known(&self) -> Vec<BackingVolume> {
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
