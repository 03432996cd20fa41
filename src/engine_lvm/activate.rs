//! Making LVs active.
//!
//! A command of LVM for it takes longer the more LVs a VG has, and all wait for each other: after a
//! start of a host with hundreds of machines that is minutes. So thin LVs of which there is nothing
//! special are made active by the kernel alone, with LVM's lock held, by what LVM would read: the
//! metadata on the disks, not our memory of them. All else is LVM's.

use bd_dm_thin::{PoolMode, PoolState};
use bd_engine::EngineError;
use bd_lvm::{Command, LvReport, dm_pool_uuid, plain_thin_lv};
use bd_proto::Fault;

use super::{LvmEngine, fault};

impl LvmEngine {
    /// Makes an LV active that is not.
    pub(super) fn activate(&self, what: &str, lv: &LvReport) -> Result<(), EngineError> {
        match self.activate_by_kernel(what, lv) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => tracing::warn!("{}; trying with LVM", Fault::from(error).message),
        }
        self.activate_by_lvm(what, lv)
    }

    /// `false` if that is for LVM.
    fn activate_by_kernel(&self, what: &str, lv: &LvReport) -> Result<bool, EngineError> {
        let Some(pool) = self.pool.as_ref().filter(|_| lv.is_thin()) else {
            return Ok(false);
        };
        // Waits for a command of LVM that is under way, of ours, too.
        let lock = self.kernel.lock(&self.vg);
        let Some(_lock) = lock.map_err(|e| fault::failed(what, e))? else {
            return Ok(false);
        };
        let dm_failed = |e| fault::failed(what, e);
        let Some(device) = self.kernel.by_uuid(&pool.uuid).map_err(dm_failed)? else {
            return Ok(false);
        };
        let text = self.kernel.metadata(&device);
        let text = text.map_err(|e| fault::failed(what, e))?;
        let thin = text.and_then(|text| plain_thin_lv(&text, &self.vg_uuid, &lv.uuid));
        let Some(thin) = thin.filter(|t| dm_pool_uuid(&self.vg_uuid, &t.pool) == pool.uuid) else {
            return Ok(false);
        };
        // Else the pool is not what the metadata say, or cannot be trusted.
        let state = self.kernel.pool(&pool.uuid).map_err(dm_failed)?;
        let is_sound = matches!(&state, Some(PoolState::Working(status))
            if status.transaction == thin.transaction
                && status.mode != PoolMode::ReadOnly
                && !status.needs_check);
        let uuid = self.dm_uuid(lv);
        if !is_sound || self.kernel.by_uuid(&uuid).map_err(dm_failed)?.is_some() {
            return Ok(false);
        }
        let made = self.kernel.activate(&self.vg, &uuid, &thin, &device);
        made.map_err(|e| fault::failed(what, e))?;
        tracing::debug!(lv = %self.path(&thin.name), "active without a command of LVM");
        Ok(true)
    }

    fn activate_by_lvm(&self, what: &str, lv: &LvReport) -> Result<(), EngineError> {
        let vg_lock = self.vg_lock();
        let change = |lv: &LvReport| Command::Activate {
            name: lv.name.clone(),
            uuid: lv.uuid.clone(),
        };
        match lv.gfid() {
            Some(gfid)
                if self
                    .model()
                    .image(gfid)
                    .is_some_and(|own| own.uuid == lv.uuid) =>
            {
                self.change_image(&vg_lock, what, gfid, change).map(|_| ())
            }
            _ => {
                let done = self.lvm.change(&self.vg, &change(lv));
                done.map(|_| ()).map_err(|e| fault::lvm(what, e))
            }
        }
    }
}
