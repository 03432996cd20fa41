//! What udev's rules are told: which groups hold images, and which of their LVs are none.
//!
//! `packaging/udev.rules` keeps the host from looking into images. It cannot ask LVM for tags, so it
//! looks for a folder with the name of the group, and in it for a file with the name of the LV.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bd_model::LvName;

use super::LvmEngine;
use super::model::Model;

/// Where udev's rules look.
const GROUPS: &str = "/run/gluster-bd/groups";

/// What a group's folder holds.
#[derive(Debug)]
pub(super) struct Told {
    /// `None` for tests without udev.
    groups: Option<PathBuf>,
    names: Mutex<Option<BTreeSet<LvName>>>,
}

impl Default for Told {
    fn default() -> Told {
        Told::below(Path::new(GROUPS))
    }
}

impl Told {
    pub(super) fn below(groups: &Path) -> Told {
        Told {
            groups: Some(groups.to_owned()),
            names: Mutex::default(),
        }
    }

    /// Tells nobody.
    #[cfg(any(test, feature = "fake"))]
    pub(super) fn nobody() -> Told {
        Told {
            groups: None,
            names: Mutex::default(),
        }
    }

    /// Makes the folder of `vg` hold these names and no others; `None` removes it.
    fn tell(&self, vg: &str, names: Option<BTreeSet<LvName>>) -> io::Result<()> {
        let Some(groups) = &self.groups else {
            return Ok(());
        };
        let mut told = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if *told == names && names.is_some() {
            return Ok(());
        }
        let folder = groups.join(vg);
        match &names {
            None => match std::fs::remove_dir_all(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            },
            Some(names) => {
                // The files first: a group without them would hide all its LVs for a moment.
                let new = groups.join(format!(".{vg}.new"));
                let here = if folder.is_dir() { &folder } else { &new };
                std::fs::create_dir_all(here)?;
                for name in names {
                    std::fs::write(here.join(name.as_str()), "")?;
                }
                for entry in std::fs::read_dir(here)? {
                    let entry = entry?;
                    let name = entry.file_name();
                    let name = name.to_str().and_then(|name| name.parse().ok());
                    if name.is_none_or(|name: LvName| !names.contains(&name)) {
                        std::fs::remove_file(entry.path())?;
                    }
                }
                if *here == new {
                    std::fs::rename(&new, &folder)?;
                }
            }
        }
        *told = names;
        Ok(())
    }
}

/// The LVs of a group that are no images and become none.
fn others(model: &Model) -> BTreeSet<LvName> {
    model.others().map(|lv| lv.name.clone()).collect()
}

impl LvmEngine {
    /// Tells udev's rules what the group holds, if a brick has it.
    pub(super) fn tell_udev(&self) {
        let names = {
            let model = self.model();
            model.vg.brick().map(|_| others(&model))
        };
        if let Err(error) = self.told.tell(self.vg.as_str(), names) {
            tracing::warn!(
                "cannot tell udev what {} holds: {error}; it may look into images",
                self.vg
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_names_what_is_no_image() {
        let folder = tempfile::tempdir().unwrap();
        let told = Told::below(&folder.path().join("groups"));
        let names = |list: &[&str]| -> BTreeSet<LvName> {
            list.iter().map(|name| name.parse().unwrap()).collect()
        };
        let there = || -> BTreeSet<String> {
            let entries = std::fs::read_dir(folder.path().join("groups/vg0"));
            entries.map_or_else(
                |_| BTreeSet::new(),
                |entries| {
                    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
                    names.collect()
                },
            )
        };
        let set = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        told.tell("vg0", Some(names(&["bricks", "swap"]))).unwrap();
        assert_eq!(there(), set(&["bricks", "swap"]));
        told.tell("vg0", Some(names(&["bricks", "new"]))).unwrap();
        assert_eq!(there(), set(&["bricks", "new"]));
        // What an earlier process has left counts for nothing.
        let next = Told::below(&folder.path().join("groups"));
        next.tell("vg0", Some(names(&[]))).unwrap();
        assert!(folder.path().join("groups/vg0").is_dir() && there().is_empty());
        next.tell("vg0", None).unwrap();
        next.tell("vg0", None).unwrap();
        assert!(!folder.path().join("groups/vg0").exists());
    }
}
