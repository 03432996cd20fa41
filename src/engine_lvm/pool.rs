//! The thin pool of a VG.

use bd_dm_thin::{PoolMode, PoolState, PoolStatus};
use bd_engine::EngineError;
use bd_engine::thin_pool::rules::{self, Fill, Part};
use bd_lvm::{Command, Health, LvState, LvType, LvmErrorKind, PoolReport, dm_pool_uuid};
use bd_model::{Bytes, LvName};
use bd_proto::{FaultKind, Space};

use super::{LvmEngine, VgGuard, fault};

/// Bytes of a block of metadata (Linux, Documentation/admin-guide/device-mapper/
/// thin-provisioning.rst).
const METADATA_BLOCK: Bytes = Bytes(4096);

/// Percentage of pool metadata in use from which on nothing is made or grown, whatever the policy
/// says: a pool without free metadata turns read-only for everybody.
const METADATA_LIMIT: u64 = 97;

/// The thin pool that images come from.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) name: LvName,
    /// The device-mapper UUID of the layer that serves thin LVs.
    pub(super) uuid: String,
    pub(super) chunk: Bytes,
}

/// Both parts of a pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fills {
    pub(super) data: Fill,
    pub(super) metadata: Fill,
}

impl Fills {
    pub(super) fn new(status: &PoolStatus, pool: &Pool) -> Fills {
        Fills {
            data: Fill::new(status.data, pool.chunk),
            metadata: Fill::new(status.metadata, METADATA_BLOCK),
        }
    }

    pub(super) fn of(&self, part: Part) -> Fill {
        match part {
            Part::Data => self.data,
            Part::Metadata => self.metadata,
        }
    }
}

impl LvmEngine {
    /// Finds the pool and refuses one which must not be used; activates it.
    pub(super) fn check_pool(&self, name: &LvName) -> Result<Pool, EngineError> {
        let path = self.path(name);
        let what = format!("use thin pool {path}");
        let report = self.lvm.pool(&self.vg, name).map_err(|e| match e.kind {
            LvmErrorKind::NotFound => EngineError::new(
                FaultKind::NotFound,
                format!("thin pool {path} does not exist; make it with lvcreate --type thin-pool"),
            ),
            _ => fault::lvm(&what, e),
        })?;
        refuse_bad(&path, &report)?;
        let pool = Pool {
            name: name.clone(),
            uuid: dm_pool_uuid(&self.vg_uuid, &report.uuid),
            chunk: report.chunk_size,
        };
        let status = match self.working(&pool)? {
            Some(status) => status,
            None => {
                self.release_parts(name)?;
                let activate = Command::ActivatePool { pool: name.clone() };
                self.lvm
                    .change(&self.vg, &activate)
                    .map_err(|e| fault::lvm(&format!("activate thin pool {path}"), e))?;
                self.working(&pool)?.ok_or_else(|| {
                    EngineError::new(
                        FaultKind::Failed,
                        format!(
                            "thin pool {path} does not become active; see lvs -a {}",
                            self.vg
                        ),
                    )
                })?
            }
        };
        if status.needs_check || status.mode == PoolMode::ReadOnly {
            return Err(needs_repair(&path));
        }
        Ok(pool)
    }

    /// Deactivates the parts of an inactive pool: a command that was killed while it activated the
    /// pool leaves them active, and LVM then refuses to activate the pool.
    fn release_parts(&self, pool: &LvName) -> Result<(), EngineError> {
        let what = format!("release the parts of thin pool {}", self.path(pool));
        for part in ["tmeta", "tdata"] {
            let name = format!("{}_{part}", self.dm_name(pool));
            let device = self.kernel.by_name(&name);
            if device.map_err(|e| fault::failed(&what, e))?.is_some() {
                tracing::warn!(device = name, "releasing what a killed command has left");
                let pool = pool.clone();
                self.lvm
                    .change(&self.vg, &Command::DeactivatePoolParts { pool })
                    .map_err(|e| fault::lvm(&what, e))?;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Lets writes to a full pool fail at once: a guest that is told can wait, one whose write
    /// hangs cannot.
    pub(super) fn prepare_pool(&self, _vg_lock: &VgGuard<'_>) -> Result<(), EngineError> {
        let Some(pool) = &self.pool else {
            return Ok(());
        };
        let what = format!("prepare thin pool {}", self.path(&pool.name));
        let report = self
            .lvm
            .pool(&self.vg, &pool.name)
            .map_err(|e| fault::lvm(&what, e))?;
        if !report.error_when_full {
            let change = Command::ErrorWhenFull {
                pool: pool.name.clone(),
            };
            self.lvm
                .change(&self.vg, &change)
                .map_err(|e| fault::lvm(&what, e))?;
        }
        Ok(())
    }

    /// Refuses to make something new of `size` bytes where the policy does not allow it.
    pub(super) fn check_new(
        &self,
        what: &str,
        pool: &Pool,
        size: Bytes,
    ) -> Result<(), EngineError> {
        self.refuse_strays(what)?;
        let Some(fills) = self.check_room(what, pool)? else {
            return Ok(());
        };
        let (policy, _) = self.policies.of(&self.vg);
        if let Some(why) = rules::refusal(fills.data, fills.metadata, &policy) {
            return Err(self.refused(what, pool, &why));
        }
        self.check_promise(what, pool, fills, size)
    }

    /// Refuses to let an image of the pool grow by `more` bytes.
    pub(super) fn check_growth(
        &self,
        what: &str,
        pool: &Pool,
        more: Bytes,
    ) -> Result<(), EngineError> {
        match self.check_room(what, pool)? {
            Some(fills) => self.check_promise(what, pool, fills, more),
            None => Ok(()),
        }
    }

    fn check_promise(
        &self,
        what: &str,
        pool: &Pool,
        fills: Fills,
        more: Bytes,
    ) -> Result<(), EngineError> {
        let (policy, _) = self.policies.of(&self.vg);
        let (_, provisioned) = self.model().provisioned(&pool.name);
        match rules::too_much(provisioned, more, fills.data.total, &policy) {
            Some(why) => Err(self.refused(what, pool, &why)),
            None => Ok(()),
        }
    }

    fn refused(&self, what: &str, pool: &Pool, why: &str) -> EngineError {
        let path = self.path(&pool.name);
        let free = self.bytes(self.model().vg.free);
        EngineError::new(
            FaultKind::NoSpace,
            format!(
                "cannot {what}: thin pool {path}: {why}; {free} free in {}: extend the pool \
                 (gluster-bd pool extend {path}), or remove images",
                self.vg
            ),
        )
    }

    /// Refuses what needs metadata in a pool that can take nothing; `None` if it is not active.
    fn check_room(&self, what: &str, pool: &Pool) -> Result<Option<Fills>, EngineError> {
        let path = self.path(&pool.name);
        let Some(status) = self.working(pool)? else {
            return Ok(None);
        };
        if status.needs_check || status.mode == PoolMode::ReadOnly {
            return Err(needs_repair(&path));
        }
        let full = |text: String| Err(EngineError::new(FaultKind::NoSpace, text));
        if status.mode == PoolMode::OutOfDataSpace || status.data.free() == 0 {
            return full(format!(
                "cannot {what}: thin pool {path} is full; extend it (gluster-bd pool extend {path} \
                 +SIZE), or remove images"
            ));
        }
        if status.metadata.percent() >= METADATA_LIMIT {
            return full(format!(
                "cannot {what}: the metadata of thin pool {path} are {}% full; extend them \
                 (gluster-bd pool extend {path} --metadata +SIZE)",
                status.metadata.percent()
            ));
        }
        Ok(Some(Fills::new(&status, pool)))
    }

    pub(super) fn pool_space(&self, pool: &Pool) -> Result<Space, EngineError> {
        let path = self.path(&pool.name);
        let status = self.working(pool)?.ok_or_else(|| {
            EngineError::new(
                FaultKind::Failed,
                format!("thin pool {path} is not active; run lvchange -ay {path}"),
            )
        })?;
        let bytes = |blocks: u64| Bytes(blocks.saturating_mul(pool.chunk.0));
        Ok(Space {
            total: bytes(status.data.total),
            free: bytes(status.data.free()),
            unclaimed: self.bytes(self.model().vg.free),
        })
    }

    /// The status of the pool; `None` if it is not active.
    pub(super) fn working(&self, pool: &Pool) -> Result<Option<PoolStatus>, EngineError> {
        let path = self.path(&pool.name);
        match self.kernel.pool(&pool.uuid) {
            Ok(Some(PoolState::Working(status))) => Ok(Some(status)),
            Ok(Some(PoolState::Failed)) => Err(needs_repair(&path)),
            Ok(None) => Ok(None),
            Err(error) => Err(fault::failed(
                &format!("read the state of thin pool {path}"),
                error,
            )),
        }
    }
}

fn needs_repair(path: &str) -> EngineError {
    EngineError::new(
        FaultKind::Failed,
        format!(
            "thin pool {path} has failed or is read-only; stop its users and run lvconvert --repair \
             {path}"
        ),
    )
}

fn refuse_bad(path: &str, report: &PoolReport) -> Result<(), EngineError> {
    let refuse = |text| Err(EngineError::new(FaultKind::Invalid, text));
    if report.attr.kind != LvType::ThinPool {
        return refuse(format!(
            "{path} is not a thin pool; choose one, or leave the pool out"
        ));
    }
    if !report.attr.zero {
        return refuse(format!(
            "thin pool {path} does not zero new chunks, so that images could show bytes of others; \
             run lvchange --zero y {path}"
        ));
    }
    let broken = matches!(
        report.attr.health,
        Health::Failed | Health::MetadataReadOnly
    ) || matches!(
        report.attr.state,
        LvState::CheckNeeded | LvState::CheckNeededSuspended
    );
    if broken {
        Err(needs_repair(path))
    } else {
        Ok(())
    }
}
