//! Opening a VG: what must be true of it, and what a crash has left in it.

use std::sync::{Arc, Mutex, RwLock};

use bd_lvm::{Change, Lvm, LvmError, LvmErrorKind, VgReport};
use bd_model::{LvName, VgName};
use bd_proto::FaultKind;

use super::kernel::{Host, Kernel};
use super::model::Model;
use super::{LvmEngine, fault};
use crate::brick::busy::Busy;
use crate::engine::EngineError;

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
        LvmEngine::open_with(lvm, Arc::new(kernel), vg, pool)
    }

    pub(super) fn open_with(
        lvm: Arc<dyn Lvm>,
        kernel: Arc<dyn Kernel>,
        vg: &VgName,
        pool: Option<&LvName>,
    ) -> Result<LvmEngine, EngineError> {
        let report = lvm.report(vg).map_err(|e| unusable(vg, e))?;
        check_vg(&report)?;
        let claimed = report.brick().is_some();
        let mut engine = LvmEngine {
            lvm,
            kernel,
            vg: vg.clone(),
            vg_uuid: report.uuid.clone(),
            extent: report.extent_size,
            pool: None,
            model: RwLock::new(Model::new(report)),
            turn: Mutex::new(()),
            busy: Busy::default(),
        };
        if let Some(name) = pool {
            engine.pool = Some(engine.check_pool(name)?);
        }
        // A VG that no brick has taken stays as it is.
        if claimed {
            let turn = engine.turn();
            engine.prepare_pool(&turn)?;
            engine.sweep()?;
        }
        Ok(engine)
    }

    /// Removes the temporary snapshots of copies that a crash has ended.
    fn sweep(&self) -> Result<(), EngineError> {
        for lv in self.model().temporary() {
            let what = format!(
                "remove {}, left by a copy that was cut short",
                self.path(&lv.name)
            );
            tracing::info!(lv = self.path(&lv.name), "removing what a copy has left");
            self.lvm
                .change(
                    &self.vg,
                    &Change::Remove {
                        uuid: lv.uuid.clone(),
                    },
                )
                .map_err(|e| fault::lvm(&what, e))?;
        }
        let left: Vec<_> = self
            .model()
            .temporary()
            .into_iter()
            .map(|lv| lv.uuid)
            .collect();
        for uuid in left {
            self.model_mut().remove(&uuid);
        }
        Ok(())
    }
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
