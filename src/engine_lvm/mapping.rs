//! Which chunks of a thin LV are mapped.
//!
//! The pool keeps its metadata as they are at one moment (a metadata snapshot), and thin_dump(8)
//! reads them there while the pool goes on.

use bd_dm_thin::{Inherited, Spans};
use bd_engine::EngineError;
use bd_model::Gfid;

use super::{LvmEngine, fault};

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
        let Some((uuid, metadata)) = self.thin_and_metadata(&what, gfid)? else {
            return Ok(None);
        };
        self.kernel
            .mapped(&uuid, &metadata)
            .map_err(|e| fault::failed(&what, e))
    }

    /// The chunks that an image has from another one; `None` for a thick one, and where something
    /// else than zeros lies below. Its LV is activated for that.
    pub(super) fn inherited_chunks(
        &self,
        gfid: Gfid,
        before: Option<u64>,
    ) -> Result<Option<Inherited>, EngineError> {
        let what = format!("read what image {gfid} shares");
        let Some((uuid, metadata)) = self.thin_and_metadata(&what, gfid)? else {
            return Ok(None);
        };
        // It stays active, and is not open when somebody wants to remove it.
        drop(self.open_volume(gfid)?);
        self.kernel
            .inherited(&uuid, &metadata, before)
            .map_err(|e| fault::failed(&what, e))
    }

    /// The device-mapper UUID of a thin image in the pool, and the name of the pool's metadata.
    fn thin_and_metadata(
        &self,
        what: &str,
        gfid: Gfid,
    ) -> Result<Option<(String, String)>, EngineError> {
        let Some(lv) = self.model().image(gfid).cloned() else {
            return Err(self.unknown(what, gfid));
        };
        let pool = self.pool.as_ref();
        let pool = pool.filter(|pool| lv.pool.as_ref() == Some(&pool.name));
        Ok(pool.map(|pool| {
            let metadata = format!("{}_tmeta", self.dm_name(&pool.name));
            (self.dm_uuid(&lv), metadata)
        }))
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
