//! The file engine: images are sparse files of a folder.
//!
//! It serves hosts without device-mapper and the tests of everything above an engine. A file
//! belongs to an image by the extended attributes it carries, so an admin's rename breaks
//! nothing. Files are made without a name (`O_TMPFILE`) and linked in when they are complete:
//! a crash leaves either the whole file or nothing.
#![forbid(unsafe_code)]

mod attributes;
mod copy;
mod engines;
mod error;
mod merge;
mod store;

use std::sync::Mutex;

use bd_dm_thin::Spans;
use bd_engine::{BackingVolume, Engine, EngineError, OpenVolume, Removed};
use bd_model::{BrickId, Bytes, Gfid, ImageKind, LvName};
use bd_proto::{EngineSpec, FaultKind, Space};
use rustix::fs::{FallocateFlags, ftruncate};
use rustix::io::Errno;

use attributes::Attributes;
use error::failed;
use store::Store;

pub use engines::FileEngines;

/// The allocation unit, the same as LVM's default.
const EXTENT: Bytes = Bytes(4 << 20);

/// The images of one folder.
#[derive(Debug)]
pub struct FileEngine {
    store: Store,
    /// Held while a name of the folder is given or taken, so that two verbs cannot choose one.
    naming: Mutex<()>,
}

impl FileEngine {
    /// Opens a folder; it must be on a file system with user attributes and `O_TMPFILE`.
    pub fn open(folder: &std::path::Path) -> Result<FileEngine, EngineError> {
        let engine = FileEngine {
            store: Store::open(folder)?,
            naming: Mutex::new(()),
        };
        engine.finish_merges()?;
        Ok(engine)
    }

    fn known(&self, gfid: Gfid) -> Result<BackingVolume, EngineError> {
        let found = self.find(gfid)?.filter(|volume| !volume.outgoing);
        found.ok_or_else(|| {
            EngineError::new(
                FaultKind::NotFound,
                format!("no file in {} belongs to image {gfid}", self.store),
            )
        })
    }

    /// Makes a complete file under `name`, or under its gfid if the name is taken.
    fn make(
        &self,
        gfid: Gfid,
        name: &LvName,
        kind: ImageKind,
        origin: Option<Gfid>,
        fill: impl FnOnce(&std::fs::File) -> Result<(), EngineError>,
    ) -> Result<BackingVolume, EngineError> {
        if let Some(volume) = self.find(gfid)? {
            return Err(EngineError::new(
                FaultKind::Exists,
                format!("image {gfid} has the file {}/{}", self.store, volume.name),
            ));
        }
        let what = || format!("cannot make {}/{name} for image {gfid}", self.store);
        let file = self.store.unnamed()?;
        fill(&file)?;
        Attributes {
            gfid: Some(gfid),
            kind,
            origin,
            merged: None,
            outgoing: false,
        }
        .write(&file)
        .map_err(|errno| failed(what(), errno))?;
        file.sync_all()
            .map_err(|e| failed(what(), Errno::from_io_error(&e).unwrap_or(Errno::IO)))?;
        let _naming = self.naming.lock();
        let name = match self.store.link(&file, name) {
            Err(Errno::EXIST) => {
                let name = LvName::for_gfid(gfid);
                self.store.link(&file, &name).map(|()| name)
            }
            result => result.map(|()| name.clone()),
        }
        .map_err(|errno| failed(what(), errno))?;
        self.store.remember(gfid, &name);
        self.known(gfid)
    }

    fn copy_image(
        &self,
        source: Gfid,
        dest: Gfid,
        name: &LvName,
        origin: Option<Gfid>,
    ) -> Result<BackingVolume, EngineError> {
        let from = self.known(source)?;
        let bytes = self.store.open_file(&from.name)?;
        self.make(dest, name, from.kind, origin, |file| {
            let what = || format!("cannot copy {}/{} to image {dest}", self.store, from.name);
            copy::copy(&bytes, file, from.size.0).map_err(|errno| failed(what(), errno))?;
            size_to(file, from.kind, from.size, &what())
        })
    }
}

/// Gives an open file its size, and its blocks if it is thick.
fn size_to(
    file: &std::fs::File,
    kind: ImageKind,
    size: Bytes,
    what: &str,
) -> Result<(), EngineError> {
    ftruncate(file, size.0).map_err(|errno| failed(what, errno))?;
    match kind {
        ImageKind::Thin => Ok(()),
        ImageKind::Thick => rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size.0)
            .map_err(|errno| failed(what, errno)),
    }
}

/// The size of a volume that holds `size` bytes: whole extents, at least one.
fn whole_extents(size: Bytes) -> Result<Bytes, EngineError> {
    let whole = Bytes(size.0.max(1)).round_up(EXTENT);
    let whole = whole.filter(|whole| i64::try_from(whole.0).is_ok());
    whole.ok_or_else(|| {
        EngineError::new(
            FaultKind::TooLarge,
            format!("{size} is larger than any file; choose a smaller size"),
        )
    })
}

impl Engine for FileEngine {
    fn spec(&self) -> EngineSpec {
        EngineSpec::File {
            store: self.store.path().to_owned(),
        }
    }

    fn extent_size(&self) -> Bytes {
        EXTENT
    }

    fn default_kind(&self) -> ImageKind {
        ImageKind::Thin
    }

    fn claim(&self, brick: BrickId) -> Result<(), EngineError> {
        self.store.claim(brick)
    }

    fn release(&self, brick: BrickId) -> Result<(), EngineError> {
        self.store.release(brick)
    }

    fn claimed_by(&self) -> Result<Option<BrickId>, EngineError> {
        self.store.claimed_by()
    }

    fn volumes(&self) -> Result<Vec<BackingVolume>, EngineError> {
        // Not in the middle of a merge, when two files may have one image.
        let _naming = self.naming.lock();
        self.store.volumes()
    }

    fn find(&self, gfid: Gfid) -> Result<Option<BackingVolume>, EngineError> {
        self.store.find(gfid)
    }

    fn create(
        &self,
        gfid: Gfid,
        name: &LvName,
        kind: ImageKind,
        size: Bytes,
    ) -> Result<BackingVolume, EngineError> {
        let size = whole_extents(size)?;
        self.make(gfid, name, kind, None, |file| {
            let what = format!("cannot make {}/{name} with {size}", self.store);
            size_to(file, kind, size, &what)
        })
    }

    fn snapshot(
        &self,
        source: Gfid,
        dest: Gfid,
        name: &LvName,
        cow_size: Option<Bytes>,
    ) -> Result<BackingVolume, EngineError> {
        if cow_size.is_some() {
            let message = format!(
                "cannot snapshot image {source}: snapshots in {} have no size of their own",
                self.store
            );
            return Err(EngineError::new(FaultKind::Invalid, message));
        }
        self.copy_image(source, dest, name, Some(source))
    }

    fn clone_image(
        &self,
        source: Gfid,
        dest: Gfid,
        name: &LvName,
    ) -> Result<BackingVolume, EngineError> {
        self.copy_image(source, dest, name, None)
    }

    fn merge(&self, snapshot: Gfid, origin: Gfid) -> Result<BackingVolume, EngineError> {
        let _naming = self.naming.lock();
        self.merge_snapshot(snapshot, origin)
    }

    fn resize(&self, gfid: Gfid, size: Bytes) -> Result<BackingVolume, EngineError> {
        let volume = self.known(gfid)?;
        let size = whole_extents(size)?;
        if size != volume.size {
            let what = format!("cannot resize {}/{} to {size}", self.store, volume.name);
            let file = self.store.open_file(&volume.name)?;
            if let Err(error) = size_to(&file, volume.kind, size, &what) {
                // A half-grown file goes back to what it was; if even that fails, its size is
                // still one that holds all bytes of the image.
                if size > volume.size {
                    ftruncate(&file, volume.size.0).map_err(|errno| failed(&what, errno))?;
                }
                return Err(error);
            }
            rustix::fs::fdatasync(&file).map_err(|errno| failed(&what, errno))?;
        }
        self.known(gfid)
    }

    fn rename(&self, gfid: Gfid, name: &LvName) -> Result<BackingVolume, EngineError> {
        let _naming = self.naming.lock();
        let volume = self.known(gfid)?;
        if volume.name == *name {
            return Ok(volume);
        }
        let name = match self.store.rename(&volume.name, name) {
            Err(Errno::EXIST) => {
                let own = LvName::for_gfid(gfid);
                match volume.name == own {
                    true => Ok(own),
                    false => self.store.rename(&volume.name, &own).map(|()| own),
                }
            }
            result => result.map(|()| name.clone()),
        }
        .map_err(|errno| {
            failed(
                format!("cannot rename {}/{} to {name}", self.store, volume.name),
                errno,
            )
        })?;
        self.store.remember(gfid, &name);
        self.known(gfid)
    }

    fn remove(&self, gfid: Gfid) -> Result<Removed, EngineError> {
        let _naming = self.naming.lock();
        match self.find(gfid)? {
            None => Ok(Removed::AlreadyGone),
            Some(volume) => {
                self.store.unlink(gfid, &volume.name)?;
                Ok(Removed::Gone)
            }
        }
    }

    fn adopt(&self, name: &LvName, gfid: Gfid) -> Result<BackingVolume, EngineError> {
        let _naming = self.naming.lock();
        if let Some(volume) = self.find(gfid)? {
            if volume.name == *name {
                if volume.outgoing {
                    // Found again without its image, it is one.
                    self.store.claim_outgoing(name)?;
                }
                return self.known(gfid);
            }
            return Err(EngineError::new(
                FaultKind::Exists,
                format!("image {gfid} has the file {}/{}", self.store, volume.name),
            ));
        }
        self.store.adopt(name, gfid, whole_extents)?;
        self.known(gfid)
    }

    fn open(&self, gfid: Gfid) -> Result<OpenVolume, EngineError> {
        let volume = self.known(gfid)?;
        self.store.open_volume(volume)
    }

    fn allocated(&self, gfids: &[Gfid]) -> Result<Vec<Option<Bytes>>, EngineError> {
        gfids
            .iter()
            .map(|gfid| Ok(self.find(*gfid)?.map(|volume| volume.allocated)))
            .collect()
    }

    fn reserve_mappings(&self) -> Result<(), EngineError> {
        Ok(())
    }

    /// Whoever has the file open can seek in it.
    fn mapped(&self, _gfid: Gfid) -> Result<Option<Spans>, EngineError> {
        Ok(None)
    }

    fn release_mappings(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn known(&self) -> Vec<BackingVolume> {
        // Its folder is as good as memory.
        self.volumes().unwrap_or_default()
    }

    fn space(&self) -> Result<Space, EngineError> {
        self.store.space()
    }
}

#[cfg(test)]
mod tests;
