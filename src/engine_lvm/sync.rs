//! Flushing a thin LV while its pool is full.

use bd_dm_thin::{PoolMode, PoolState};
use bd_engine::EngineError;
use bd_model::Gfid;
use bd_proto::FaultKind;

use super::{LvmEngine, fault};

impl LvmEngine {
    /// Brings what was written to a thin image to stable storage by its pool.
    ///
    /// The thin target takes the flush of a device for a write to its first chunk: if that is not
    /// mapped and the pool is full, the flush is refused, though it needs no space. QEMU flushes a
    /// disk when it stops its machine, and gives the disk up if that fails.
    pub(super) fn sync_image(&self, gfid: Gfid) -> Result<(), EngineError> {
        let what = format!("flush image {gfid}");
        let lv = self.model().image(gfid).cloned();
        let lv = lv.ok_or_else(|| self.unknown(&what, gfid))?;
        let pool = self.pool.as_ref();
        let Some(pool) = pool.filter(|pool| lv.pool.as_ref() == Some(&pool.name)) else {
            return Err(EngineError::new(
                FaultKind::NoSpace,
                format!(
                    "cannot {what} but by its device; make room below {}",
                    self.vg
                ),
            ));
        };
        let path = self.path(&pool.name);
        let committed = self.kernel.committed(&pool.uuid);
        match committed.map_err(|e| fault::failed(&format!("{what} by thin pool {path}"), e))? {
            Some(PoolState::Working(status))
                if !status.needs_check && status.mode != PoolMode::ReadOnly =>
            {
                Ok(())
            }
            state => {
                let state = state.map_or_else(|| "not active".to_owned(), |s| s.to_string());
                Err(EngineError::new(
                    FaultKind::Failed,
                    format!("cannot {what}: thin pool {path} cannot commit ({state})"),
                ))
            }
        }
    }
}
