//! Opening a VG: what must be true of it, and what a crash has left in it.

use std::sync::{Arc, Mutex, RwLock};

use bd_dm_thin::{DmDevice, PoolState};
use bd_engine::EngineError;
use bd_engine::ImageLocks;
use bd_engine::events::Events;
use bd_lvm::{Command, Lvm, LvmError, LvmErrorKind, Tag, VgReport, dm_pool_uuid, dm_uuid};
use bd_model::{Gfid, LvName, VgName};
use bd_proto::FaultKind;

use super::durable::Durable;
use super::idle::Idle;
use super::kernel::{Host, Kernel};
use super::model::{Model, visible_size};
use super::outside_changes::Own;
use super::remove::Removals;
use super::traffic::Traffic;
use super::udev::Told;
use super::zero::Zeroing;
use super::{LvmEngine, fault};

impl LvmEngine {
    /// Opens the VG, and the thin pool in it that images are to come from.
    ///
    /// Errors name what is wrong with the VG or pool, and what to do about it.
    pub fn open(
        lvm: Arc<dyn Lvm>,
        vg: &VgName,
        pool: Option<&LvName>,
    ) -> Result<LvmEngine, EngineError> {
        let kernel =
            Host::new().map_err(|e| fault::failed(&format!("use volume group {vg}"), e))?;
        LvmEngine::open_with(lvm, Arc::new(kernel), vg, pool, Told::default())
    }

    pub(super) fn open_with(
        lvm: Arc<dyn Lvm>,
        kernel: Arc<dyn Kernel>,
        vg: &VgName,
        pool: Option<&LvName>,
        told: Told,
    ) -> Result<LvmEngine, EngineError> {
        let report = lvm.report(vg).map_err(|e| unusable(vg, e))?;
        check_vg(&report)?;
        let claimed = report.brick().is_some();
        let changes = Arc::default();
        let durable = Arc::new(Durable::new(Arc::clone(&kernel), vg, &report.uuid));
        let lvm = Own::new(lvm, Arc::clone(&changes), Arc::clone(&durable));
        let mut engine = LvmEngine {
            lvm: Arc::new(lvm),
            kernel,
            durable,
            vg: vg.clone(),
            vg_uuid: report.uuid.clone(),
            extent: report.extent_size,
            pool: None,
            model: RwLock::new(Model::new(report)),
            vg_lock: Mutex::new(()),
            image_locks: ImageLocks::default(),
            policies: Arc::default(),
            events: Events::default(),
            watch: Mutex::default(),
            told,
            changes,
            seen: Mutex::default(),
            removals: Removals::default(),
            idle: Idle::default(),
            strays: Vec::new(),
            zeroing: Zeroing::default(),
            traffic: Traffic::default(),
        };
        engine.tell_udev();
        // A VG that no brick has taken stays as it is.
        if claimed {
            // First: LVs that are being moved are locked.
            engine.take_back_moves()?;
            // Before devices are loaded again, by which LVM also has the pool make what it notes.
            if let Some(name) = pool
                && let Some(behind) = engine.kernel_behind(name)?
            {
                engine.forget_half_made(name, &behind)?;
            }
            engine.resume()?;
        }
        if let Some(name) = pool {
            engine.pool = Some(engine.check_pool(name)?);
        }
        if claimed {
            engine.prepare_pool(&engine.vg_lock())?;
            engine.finish_transaction()?;
            engine.strays = engine.stray_devices()?;
            if let Some(words) = engine.words_of_strays() {
                tracing::error!("{words}");
            }
            engine.finish_merges(&engine.vg_lock());
            engine.sweep();
        }
        Ok(engine)
    }

    /// Brings active devices in step with LVM's metadata where a command was killed between the
    /// two: suspended ones, all I/O to which waits, and those of another size or name.
    ///
    /// No command is under way, for the report has had LVM's lock just now.
    fn resume(&self) -> Result<(), EngineError> {
        let what = format!("resume devices of volume group {}", self.vg);
        let prefix = format!("LVM-{}", self.vg_uuid.bare());
        let devices = self
            .kernel
            .by_prefix(&prefix)
            .map_err(|e| fault::failed(&what, e))?;
        let stuck: Vec<_> = devices
            .into_iter()
            .filter(|device| device.suspended || self.is_stale(device))
            .map(|device| device.name)
            .collect();
        if stuck.is_empty() {
            return Ok(());
        }
        tracing::warn!(vg = %self.vg, ?stuck, "loading again what a killed command has left");
        self.lvm
            .change(&self.vg, &Command::RefreshVg)
            .map(|_| ())
            .map_err(|e| fault::lvm(&what, e))
    }

    /// Whether an LV's device has another name or size than the LV.
    fn is_stale(&self, device: &DmDevice) -> bool {
        let uuid = device.uuid.strip_prefix("LVM-");
        let uuid = uuid.and_then(|uuid| uuid.strip_prefix(self.vg_uuid.bare()));
        // Layers below LVs have a suffix, which no identity has.
        let Some(uuid) = uuid.and_then(|uuid| uuid.parse().ok()) else {
            return false;
        };
        let model = self.model();
        model.get(&uuid).is_some_and(|lv| {
            let size = self.kernel.size(device);
            device.name != self.dm_name(&lv.name) || size.is_ok_and(|s| s != visible_size(lv))
        })
    }

    /// Lets the kernel's pool catch up with LVM's metadata, if a command was killed between the
    /// two: the LV it has made cannot be activated before. LVM does so when it next makes a thin
    /// LV, and not when it activates one.
    fn finish_transaction(&self) -> Result<(), EngineError> {
        let Some(pool) = &self.pool else {
            return Ok(());
        };
        let Some(behind) = self.kernel_behind(&pool.name)? else {
            return Ok(());
        };
        let path = self.path(&pool.name);
        tracing::warn!(pool = path, "finishing what a killed command has begun");
        self.forget_half_made(&pool.name, &behind)?;
        let change = Command::CreateThin {
            name: LvName::for_gfid(Gfid::random()),
            pool: pool.name.clone(),
            size: self.extent,
            tags: vec![Tag::Temporary],
        };
        self.lvm
            .change(&self.vg, &change)
            .map_err(|e| fault::lvm(&finish(&path), e))?;
        self.refresh(&self.vg_lock())
    }

    /// The active pool, if the kernel's count of transactions is not LVM's.
    fn kernel_behind(&self, pool: &LvName) -> Result<Option<Behind>, EngineError> {
        let path = self.path(pool);
        let report = match self.lvm.pool(&self.vg, pool) {
            Ok(report) => report,
            // What is wrong with a pool is told when it is checked.
            Err(error) if error.kind == LvmErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault::lvm(&finish(&path), error)),
        };
        let uuid = dm_pool_uuid(&self.vg_uuid, &report.uuid);
        match self.kernel.pool(&uuid) {
            Ok(Some(PoolState::Working(status))) if status.transaction != report.transaction => {
                Ok(Some(Behind {
                    uuid,
                    kernel: status.transaction,
                    lvm: report.transaction,
                }))
            }
            Ok(_) => Ok(None),
            Err(error) => Err(fault::failed(&finish(&path), error)),
        }
    }

    /// Takes the thin device out of the pool that a killed command has made last.
    ///
    /// LVM first notes in its metadata what is to be made, then has the kernel make the device and
    /// count the transaction, and then activates the LV. Killed before the kernel counts, it finds
    /// the device there the next time and gives up. Such a device was never active, so that
    /// nothing was ever written to it, and LVM makes it again from its note.
    fn forget_half_made(&self, pool: &LvName, behind: &Behind) -> Result<(), EngineError> {
        if behind.kernel.checked_add(1) != Some(behind.lvm) {
            return Ok(());
        }
        let path = self.path(pool);
        let devices = self
            .lvm
            .thin_devices(&self.vg, pool)
            .map_err(|e| fault::lvm(&finish(&path), e))?;
        let noted = devices
            .into_iter()
            .filter(|thin| thin.transaction == behind.kernel);
        for thin in noted {
            let active = self
                .kernel
                .by_uuid(&dm_uuid(&self.vg_uuid, &thin.uuid))
                .map_err(|e| fault::failed(&finish(&path), e))?;
            if active.is_none()
                && self
                    .kernel
                    .delete_thin(&behind.uuid, thin.device)
                    .map_err(|e| fault::failed(&finish(&path), e))?
            {
                let device = thin.device;
                tracing::warn!(pool = path, device, "a killed command had made this half");
            }
        }
        Ok(())
    }

    /// Removes what copies have left that a crash has ended: nobody was told that they are done.
    ///
    /// What cannot be removed stays for the next time; it is no image, and cannot be opened.
    fn sweep(&self) {
        let left = self.model().left_over();
        for lv in left {
            tracing::info!(lv = self.path(&lv.name), "removing what a copy has left");
            self.undo(&lv);
        }
    }
}

/// A pool whose transactions the kernel and LVM count differently.
struct Behind {
    /// The device-mapper UUID of its `-tpool` layer.
    uuid: String,
    kernel: u64,
    lvm: u64,
}

fn finish(pool: &str) -> String {
    format!("finish what a killed command has begun in thin pool {pool}")
}

fn unusable(vg: &VgName, error: LvmError) -> EngineError {
    let message = match error.kind {
        LvmErrorKind::NotFound => {
            return EngineError::new(
                FaultKind::NotFound,
                format!(
                    "volume group {vg} does not exist; make it with vgcreate, or choose one that \
                     vgs lists"
                ),
            );
        }
        LvmErrorKind::ForeignSystem => {
            format!("use volume group {vg}: it belongs to another host; see lvmsystemid(7)")
        }
        LvmErrorKind::Exported => return exported(vg),
        _ => format!("use volume group {vg}"),
    };
    fault::lvm(&message, error)
}

fn exported(vg: &VgName) -> EngineError {
    EngineError::new(
        FaultKind::InUse,
        format!("volume group {vg} is exported; run vgimport {vg} if it is to stay here"),
    )
}

fn check_vg(vg: &VgReport) -> Result<(), EngineError> {
    let refuse = |kind, text: String| Err(EngineError::new(kind, text));
    let name = &vg.name;
    if vg.exported {
        return Err(exported(name));
    }
    if vg.partial {
        let text = format!(
            "disks of volume group {name} are missing; bring them back, or give them up with \
             vgreduce --removemissing {name}"
        );
        return refuse(FaultKind::Failed, text);
    }
    if vg.shared {
        let text = format!(
            "volume group {name} is shared by several hosts; choose one that this host has alone"
        );
        return refuse(FaultKind::Unsupported, text);
    }
    if !vg.writeable {
        let text = format!("volume group {name} is read-only; choose another");
        return refuse(FaultKind::Invalid, text);
    }
    Ok(())
}
