use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bd_durable::failpoint;
use bd_model::{Bytes, Gfid};
use bd_proto::{CopyHow, Fault, FaultKind};
use serde::{Deserialize, Serialize};

use super::reserve::Reserve;
use super::room::Room;

/// An operation that touches both the namespace and an engine, and is not known to be finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "intent", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Intent {
    /// A volume is made for a new image.
    Create {
        /// Until it is committed, the stub's bytes count and not the volume's.
        import: bool,
    },
    /// A volume is made from another image.
    Copy {
        /// The image that is copied.
        source: Gfid,
        /// Clone or snapshot.
        how: CopyHow,
    },
    /// A snapshot, whose intent this is, gives its content to its origin and goes.
    Merge {
        /// The origin.
        origin: Gfid,
        /// Bytes that the origin's file has from then on.
        size: Bytes,
    },
    /// The last name of an image is about to go.
    #[serde(rename = "condemn")]
    MarkForRemoval,
    /// The last name of an image is gone and its volume shall go.
    Remove,
}

/// The intents of a brick: a file for each, and the same in memory.
#[derive(Debug)]
pub(crate) struct Intents {
    folder: PathBuf,
    known: Mutex<HashMap<Gfid, Intent>>,
    reserve: Reserve,
}

impl Intent {
    /// Whether it leads to a removal, which must be possible where nothing else is.
    fn removes(&self) -> bool {
        matches!(self, Intent::MarkForRemoval | Intent::Remove)
    }
}

impl Intents {
    /// The folder of the intents of the brick in `dir`.
    pub(crate) fn folder(dir: &Path) -> PathBuf {
        dir.join(super::config::FOLDER)
            .join(bd_proto::BRICK_INTENTS)
    }

    /// Reads the intents of the brick in `dir`; removes files that were never finished.
    pub(crate) fn load(dir: &Path) -> Result<Intents, Fault> {
        let folder = Intents::folder(dir);
        let known = read_all(&folder, true)?;
        Ok(Intents {
            reserve: Reserve::load(&dir.join(super::config::FOLDER)),
            folder,
            known: Mutex::new(known),
        })
    }

    /// Reads them again: the brick's process, which has ended, may have written some.
    pub(crate) fn read_again(&self) -> Result<(), Fault> {
        *self.known() = read_all(&self.folder, true)?;
        Ok(())
    }

    /// Reads the intents of the brick in `dir` and changes nothing.
    pub(crate) fn peek(dir: &Path) -> Result<HashMap<Gfid, Intent>, Fault> {
        read_all(&Intents::folder(dir), false)
    }

    pub(crate) fn get(&self, gfid: Gfid) -> Option<Intent> {
        self.known().get(&gfid).copied()
    }

    pub(crate) fn all(&self) -> Vec<(Gfid, Intent)> {
        let mut all: Vec<_> = self.known().iter().map(|(g, i)| (*g, *i)).collect();
        all.sort_by_key(|(gfid, _)| *gfid);
        all
    }

    /// Records an intent, in place of the one the image has; durable when this returns.
    pub(crate) fn put(&self, gfid: Gfid, intent: Intent) -> Result<(), Fault> {
        if self.get(gfid) == Some(intent) {
            return Ok(());
        }
        let path = self.path(gfid);
        let text = serde_json::to_vec(&intent).map_err(|e| failed("write", &path, &e))?;
        let mut prepared = bd_durable::prepare(&path, &text);
        if prepared.as_ref().is_err_and(is_full) && intent.removes() {
            prepared = self.reserve.lend(|| bd_durable::prepare(&path, &text));
        }
        prepared.map_err(|error| match is_full(&error) {
            true => self.no_room(&path),
            false => failed("write", &path, &error),
        })?;
        failpoint::reach("intent.written");
        bd_durable::place(&path).map_err(|e| failed("write", &path, &e))?;
        self.known().insert(gfid, intent);
        failpoint::reach("intent.placed");
        Ok(())
    }

    /// Ends the intent of an image, if it has one; durable when this returns.
    pub(crate) fn end(&self, gfid: Gfid) -> Result<(), Fault> {
        let path = self.path(gfid);
        // The brick may have written it while this server was about to be reached.
        if self.get(gfid).is_none() && !path.exists() {
            return Ok(());
        }
        failpoint::reach("intent.dropping");
        bd_durable::remove(&path).map_err(|e| failed("remove", &path, &e))?;
        self.known().remove(&gfid);
        failpoint::reach("intent.dropped");
        self.reserve.fill();
        Ok(())
    }

    fn no_room(&self, path: &Path) -> Fault {
        let left = bd_durable::remove(&bd_durable::new_name(path));
        if let Err(error) = left {
            tracing::warn!(
                "cannot remove the unfinished intent of {}: {error}",
                path.display()
            );
        }
        let is_out = Room::of(&self.folder).is_some_and(Room::has_no_inodes);
        let what = if is_out {
            "has no inodes left"
        } else {
            "is full"
        };
        Fault::new(
            FaultKind::NoSpace,
            format!(
                "the file system of the names {what}, where {} is; move plain files away from the brick, or \
                 make it larger",
                self.folder.display()
            ),
        )
    }

    fn path(&self, gfid: Gfid) -> PathBuf {
        self.folder.join(format!("{gfid}.json"))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Gfid, Intent>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::StorageFull
}

fn failed(verb: &str, path: &Path, error: &dyn std::fmt::Display) -> Fault {
    Fault::new(
        FaultKind::Failed,
        format!("cannot {verb} the intent {}: {error}", path.display()),
    )
}

fn read_all(folder: &Path, tidy: bool) -> Result<HashMap<Gfid, Intent>, Fault> {
    let mut known = HashMap::new();
    for entry in std::fs::read_dir(folder).map_err(|e| failed("read", folder, &e))? {
        let path = entry.map_err(|e| failed("read", folder, &e))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.ends_with(bd_durable::NEW)) {
            if tidy {
                bd_durable::remove(&path).map_err(|e| failed("remove", &path, &e))?;
            }
            continue;
        }
        let gfid = name
            .and_then(|name| name.strip_suffix(".json"))
            .and_then(|stem| stem.parse::<Gfid>().ok())
            .ok_or_else(|| failed("read", &path, &"it is not named by a gfid; move it away"))?;
        let text = std::fs::read(&path).map_err(|e| failed("read", &path, &e))?;
        let intent = serde_json::from_slice(&text).map_err(|e| failed("read", &path, &e))?;
        known.insert(gfid, intent);
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intents_survive_and_unfinished_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(Intents::folder(dir.path())).unwrap();
        let (a, b) = (Gfid::random(), Gfid::random());
        let copy = Intent::Copy {
            source: a,
            how: CopyHow::Snapshot,
        };
        let intents = Intents::load(dir.path()).unwrap();
        intents.put(a, Intent::Create { import: true }).unwrap();
        intents.put(a, Intent::MarkForRemoval).unwrap();
        intents.put(b, copy).unwrap();
        intents.put(b, copy).unwrap();
        let unfinished = Intents::folder(dir.path()).join("x.json.new");
        std::fs::write(&unfinished, "{").unwrap();

        let again = Intents::load(dir.path()).unwrap();
        assert_eq!(again.get(a), Some(Intent::MarkForRemoval));
        assert_eq!(again.get(b), Some(copy));
        assert!(!unfinished.exists());
        again.end(a).unwrap();
        again.end(a).unwrap();
        assert_eq!(Intents::load(dir.path()).unwrap().all(), [(b, copy)]);
    }

    #[test]
    fn a_brick_writes_what_is_read_here() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(Intents::folder(dir.path())).unwrap();
        let intents = Intents::load(dir.path()).unwrap();
        let gfid = Gfid::random();
        let path = bd_proto::intent_path(dir.path(), gfid);
        std::fs::write(&path, bd_proto::CONDEMNED).unwrap();
        let read = Intents::load(dir.path()).unwrap();
        assert_eq!(read.get(gfid), Some(Intent::MarkForRemoval));
        let text = serde_json::to_string(&Intent::MarkForRemoval).unwrap();
        assert_eq!(text, bd_proto::CONDEMNED);
        intents.end(gfid).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Intents::folder(dir.path());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("note.txt"), "").unwrap();
        let message = Intents::load(dir.path()).unwrap_err().message;
        assert!(message.contains("note.txt"), "{message}");
    }
}
