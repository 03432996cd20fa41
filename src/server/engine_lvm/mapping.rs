//! Which chunks of a thin LV are mapped.
//!
//! The pool keeps its metadata as they are at one moment (a metadata snapshot), and thin_dump(8)
//! reads them there while the pool goes on.

use bd_dm_thin::Spans;
use bd_model::Gfid;

use super::{LvmEngine, fault};
use crate::engine::EngineError;

impl LvmEngine {
    /// Makes the metadata snapshot.
    pub(super) fn reserve_metadata(&self) -> Result<(), EngineError> {
        let Some(pool) = &self.pool else {
            return Ok(());
        };
        let path = self.path(&pool.name);
        self.kernel.reserve_metadata(&pool.uuid).map_err(|e| {
            let what = format!(
                "make a metadata snapshot of thin pool {path}; if another program has made one, \
                 it must release it first"
            );
            fault::failed(&what, e)
        })
    }

    /// The mapped spans of an image; `None` for a thick one, and where something else than zeros
    /// lies below.
    pub(super) fn mapped_spans(&self, gfid: Gfid) -> Result<Option<Spans>, EngineError> {
        let what = format!("read the mapping of image {gfid}");
        let Some(lv) = self.model().image(gfid).cloned() else {
            return Err(self.unknown(&what, gfid));
        };
        let Some(pool) = self
            .pool
            .as_ref()
            .filter(|pool| lv.pool.as_ref() == Some(&pool.name))
        else {
            return Ok(None);
        };
        let metadata = format!("{}_tmeta", self.dm_name(&pool.name));
        self.kernel
            .mapped(&self.dm_uuid(&lv), &metadata)
            .map_err(|e| fault::failed(&what, e))
    }

    /// Gives the metadata snapshot up.
    pub(super) fn release_metadata(&self) -> Result<(), EngineError> {
        let Some(pool) = &self.pool else {
            return Ok(());
        };
        let what = format!(
            "release the metadata snapshot of thin pool {}",
            self.path(&pool.name)
        );
        self.kernel
            .release_metadata(&pool.uuid)
            .map_err(|e| fault::failed(&what, e))
    }
}
