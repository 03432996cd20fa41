//! Stubs of copies that were cut short.
//!
//! A copy's stub is made before the copy is asked for, and the brick leaves word of it (see
//! [`bd_proto::pending_path`]). When the brick starts, nobody was told of a copy that is not finished, and
//! nobody will ask for it.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use bd_model::Gfid;
use bd_proto::{Fault, pending_folder};

use super::Brick;
use super::attributes::{Mark, failed};

/// Makes the folder in which the brick leaves word.
pub(super) fn prepare(dir: &Path) -> Result<(), Fault> {
    let folder = pending_folder(dir);
    match fs::create_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(|error| failed("make", &folder, &error)),
    }
}

impl Brick {
    /// Removes the stubs of copies that were cut short. Intents were settled before.
    pub(super) fn settle_unfinished_copies(&self) -> Result<(), Fault> {
        let folder = pending_folder(&self.dir);
        let entries = fs::read_dir(&folder).map_err(|error| failed("read", &folder, &error))?;
        for entry in entries {
            let path = entry
                .map_err(|error| failed("read", &folder, &error))?
                .path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(gfid) = name.and_then(|name| name.parse::<Gfid>().ok()) else {
                continue;
            };
            match self.remove_pending(gfid) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(fault) => {
                    tracing::error!("the file of image {gfid}, a copy that was cut short: {fault}");
                    continue;
                }
            }
            bd_durable::remove(&path).map_err(|error| failed("remove", &path, &error))?;
        }
        Ok(())
    }

    /// Removes a stub that waits for its copy, unless heal may bring that. Says whether none waits any more.
    fn remove_pending(&self, gfid: Gfid) -> Result<bool, Fault> {
        let stub = self.namespace.stub(gfid)?;
        let Some(stub) = stub.filter(|stub| stub.mark == Mark::Pending && !stub.holds_data) else {
            return Ok(true);
        };
        if self.heals.load(Ordering::Relaxed) || self.intents.get(gfid).is_some() {
            return Ok(false);
        }
        self.namespace.remove_names(gfid)?;
        self.namespace.remove_handle(&stub)?;
        tracing::info!("removed the file of image {gfid}, a copy that was cut short");
        Ok(true)
    }
}
