//! Merges: a snapshot's file becomes that of its origin.
//!
//! One attribute of the snapshot's file decides: with it the file is the origin's, and the file
//! that was the origin's before is the snapshot's, whatever the two say otherwise. The rest is
//! tidied up after that, or when the store is opened the next time.

use bd_durable::failpoint;
use bd_engine::{BackingVolume, Engine, EngineError};
use bd_model::{Gfid, LvName};
use bd_proto::FaultKind;
use rustix::fs::fsync;
use rustix::io::Errno;

use super::FileEngine;
use super::attributes::{Attributes, set_merged};
use super::error::failed;

impl FileEngine {
    /// The caller holds `naming`.
    pub(super) fn merge_snapshot(
        &self,
        snapshot: Gfid,
        origin: Gfid,
    ) -> Result<BackingVolume, EngineError> {
        let new = self.known(snapshot)?;
        let what = || format!("cannot merge {}/{} into its origin", self.store, new.name);
        let old = self.known(origin)?;
        if snapshot == origin || new.origin_image.is_some_and(|other| other != origin) {
            let message = format!("{}: it is no snapshot of image {origin}", what());
            return Err(EngineError::new(FaultKind::Invalid, message));
        }
        let file = self.store.open_file(&new.name)?;
        if let Err(errno) = set_merged(&file, Some(origin)).and_then(|()| fsync(&file)) {
            // Undone, as far as that goes; nobody has been told of it.
            let undone = set_merged(&file, None).and_then(|()| fsync(&file));
            return Err(failed(what(), undone.err().unwrap_or(errno)));
        }
        failpoint::reach("merge.committed");
        // From here on it is done, whatever else fails.
        let tidied = self
            .tidy(&new.name, Some(&old.name), snapshot, origin)
            .and_then(|()| {
                self.store
                    .exchange(&new.name, &old.name)
                    .map_err(|errno| failed(what(), errno))
            });
        match tidied {
            Ok(()) => {
                self.store.remember(origin, &old.name);
                self.store.remember(snapshot, &new.name);
            }
            Err(error) => {
                let error = bd_proto::Fault::from(error);
                tracing::warn!("a merge is done, but not tidied up: {error}");
                self.store.volumes()?;
            }
        }
        self.known(origin)
    }

    /// Tidies up after merges that a crash has cut short.
    pub(super) fn finish_merges(&self) -> Result<(), EngineError> {
        for (new, snapshot, origin) in self.store.merged()? {
            tracing::warn!("finishing the merge of image {snapshot} into {origin}");
            let old = self.find(snapshot)?.map(|volume| volume.name);
            self.tidy(&new, old.as_ref(), snapshot, origin)?;
            self.store.volumes()?;
        }
        Ok(())
    }

    /// Lets both files say of themselves what they are. Each step may find itself done.
    fn tidy(
        &self,
        new: &LvName,
        old: Option<&LvName>,
        snapshot: Gfid,
        origin: Gfid,
    ) -> Result<(), EngineError> {
        let what = || format!("cannot tidy up after the merge of image {snapshot}");
        let write = |name: &LvName, about: &Attributes| {
            let file = self.store.open_file(name)?;
            let written = about.write(&file).and_then(|()| fsync(&file));
            written.map_err(|errno| failed(what(), errno))
        };
        // With its own gfid changed already, only the decisive attribute is left.
        if snapshot != origin {
            let mut above = None;
            if let Some(old) = old {
                let about = self.store.attributes(old)?;
                above = about.origin;
                let outgoing = Attributes {
                    gfid: Some(snapshot),
                    outgoing: true,
                    ..about
                };
                write(old, &outgoing)?;
            }
            // Snapshots of the snapshot are now those of its origin.
            for volume in self.store.volumes()? {
                let about = self.store.attributes(&volume.name)?;
                if about.origin == Some(snapshot) {
                    let about = Attributes {
                        origin: Some(origin),
                        ..about
                    };
                    write(&volume.name, &about)?;
                }
            }
            let about = Attributes {
                gfid: Some(origin),
                origin: above,
                ..self.store.attributes(new)?
            };
            write(new, &about)?;
        }
        let file = self.store.open_file(new)?;
        set_merged(&file, None)
            .and_then(|()| fsync(&file))
            .map_err(|errno: Errno| failed(what(), errno))
    }
}
