//! Which bytes of an image are mapped.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use bd_dm_thin::{Inherited, Spans};
use bd_engine::{Engine, EngineError};
use bd_model::{Gfid, ImageKind};
use bd_proto::{Fault, FaultKind};

use super::{Brick, FOLDER};

impl Brick {
    /// The mapped spans of an image; `None` where they are not known.
    pub fn mapped(&self, gfid: Gfid) -> Result<Option<Spans>, Fault> {
        if self.volume(gfid)?.kind != ImageKind::Thin {
            return Ok(None);
        }
        self.with_mappings(|engine| engine.mapped(gfid))
    }

    /// The chunks that an image has from the one it was copied of; `None` if it has none, ever.
    pub fn inherited(&self, gfid: Gfid, before: Option<u64>) -> Result<Option<Inherited>, Fault> {
        if self.volume(gfid)?.kind != ImageKind::Thin {
            return Ok(None);
        }
        self.with_mappings(|engine| engine.inherited(gfid, before))
    }

    /// Lets `read` read mappings of this moment.
    ///
    /// A note on disk says meanwhile that a metadata snapshot may be ours: after a crash the next
    /// start releases it, and never one that somebody else has made.
    fn with_mappings<T>(
        &self,
        read: impl FnOnce(&dyn Engine) -> Result<T, EngineError>,
    ) -> Result<T, Fault> {
        let _alone = self.mapping.lock().unwrap_or_else(PoisonError::into_inner);
        let note = self.mapping_note();
        bd_durable::prepare(&note, b"")
            .and_then(|()| bd_durable::place(&note))
            .map_err(|error| unwritten(&note, &error))?;
        if let Err(error) = self.engine.reserve_mappings() {
            // Whatever snapshot there is, it is not ours.
            self.remove_note()?;
            return Err(error.into());
        }
        let told = read(&*self.engine);
        self.release_mappings()?;
        Ok(told?)
    }

    /// Releases what an earlier process has left in the middle of [`Brick::mapped`].
    pub(super) fn release_old_mapping(&self) {
        let _alone = self.mapping.lock().unwrap_or_else(PoisonError::into_inner);
        if self.mapping_note().exists()
            && let Err(fault) = self.release_mappings()
        {
            // It only takes space in the pool's metadata. The next reading tries again.
            tracing::warn!("brick {}: {fault}", self.dir.display());
        }
    }

    fn release_mappings(&self) -> Result<(), Fault> {
        self.engine.release_mappings()?;
        self.remove_note()
    }

    fn remove_note(&self) -> Result<(), Fault> {
        let note = self.mapping_note();
        bd_durable::remove(&note).map_err(|error| unwritten(&note, &error))
    }

    fn mapping_note(&self) -> PathBuf {
        self.dir.join(FOLDER).join("reading-a-mapping")
    }
}

fn unwritten(note: &Path, error: &io::Error) -> Fault {
    let text = format!("cannot write or remove {}: {error}", note.display());
    Fault::new(FaultKind::Failed, text)
}
