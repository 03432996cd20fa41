//! What the bricks of a volume hold, looked at without Gluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use loopdev::{POOL, Vg};

use super::Storm;
use crate::bricks::TOP;

/// The attribute by which a file of the file engine says whose bytes it has.
const GFID: &str = "user.gluster_bd.gfid";

/// A file in the brick's directory.
#[derive(Debug)]
struct Name {
    gfid: String,
    size: u64,
    /// A link file of DHT, which has no bytes.
    is_link: bool,
}

/// One brick.
struct Seen {
    names: BTreeMap<String, Name>,
    dirs: BTreeSet<String>,
    /// Files with bytes, by gfid; none on an arbiter.
    volumes: Option<BTreeMap<String, PathBuf>>,
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let len = rustix::fs::lgetxattr(path, name, &mut value).ok()?;
    value.truncate(len);
    Some(value)
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match digits.len() {
        32 => [0..8, 8..12, 12..16, 16..20, 20..32]
            .map(|part| &digits[part])
            .join("-"),
        _ => digits,
    }
}

impl Seen {
    fn walk(&mut self, top: &Path, below: &Path) -> Result<()> {
        let told = || format!("cannot read {}", top.join(below).display());
        for entry in fs::read_dir(top.join(below)).with_context(told)? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let name = path.to_string_lossy().into_owned();
            // It may go meanwhile.
            let Ok(meta) = fs::symlink_metadata(top.join(&path)) else {
                continue;
            };
            if meta.is_dir() {
                self.dirs.insert(name);
                self.walk(top, &path)?;
                continue;
            }
            let at = entry.path();
            let gfid = attribute(&at, "trusted.gfid").unwrap_or_default();
            let is_link = attribute(&at, "trusted.glusterfs.dht.linkto").is_some()
                && meta.mode() & 0o1777 == 0o1000;
            let gfid = hex(&gfid);
            let size = meta.size();
            self.names.insert(
                name,
                Name {
                    gfid,
                    size,
                    is_link,
                },
            );
        }
        Ok(())
    }
}

/// The volumes of a store, by gfid.
fn volumes(store: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut volumes = BTreeMap::new();
    for entry in fs::read_dir(store)? {
        let entry = entry?;
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with(".gluster-bd")
        {
            continue;
        }
        let gfid = attribute(&entry.path(), GFID).unwrap_or_default();
        let gfid = String::from_utf8_lossy(&gfid).into_owned();
        if let Some(other) = volumes.insert(gfid, entry.path()) {
            let path = entry.path();
            // A file that goes meanwhile has none.
            ensure!(
                !path.exists(),
                "{} and {} have one gfid",
                other.display(),
                path.display()
            );
        }
    }
    Ok(volumes)
}

/// The nodes of the LVs of a group, all of them active, by gfid.
fn lvs(vg: &Vg) -> Result<BTreeMap<String, PathBuf>> {
    vg.lvm("lvchange", &["-ay", "-K", vg.name()])?.ok()?;
    let mut found = BTreeMap::new();
    for line in vg.report("lvs", "lv_name,lv_tags", vg.name())?.lines() {
        let (name, tags) = line.trim().split_once(';').context("no tags")?;
        if name != POOL {
            let mut tags = tags.split(',');
            let gfid = tags.find_map(|tag| tag.strip_prefix("gluster_bd.gfid="));
            found.insert(gfid.unwrap_or_default().to_owned(), vg.device(name));
        }
    }
    Ok(found)
}

impl Storm {
    fn seen(&self, brick: usize) -> Result<Seen> {
        let mut seen = Seen {
            names: BTreeMap::new(),
            dirs: BTreeSet::new(),
            volumes: None,
        };
        let top = self.bricks.volume.bricks()[brick].join(TOP);
        seen.walk(&top, Path::new(""))?;
        if self.layout.is_arbiter(brick) {
            return Ok(seen);
        }
        seen.volumes = Some(if let Some(vg) = self.bricks.groups.get(brick) {
            lvs(vg)?
        } else if self.stock {
            let names = seen.names.iter().filter(|(_, name)| !name.is_link);
            names
                .map(|(path, name)| (name.gfid.clone(), top.join(path)))
                .collect()
        } else {
            volumes(&self.bricks.stores[brick])?
        });
        Ok(seen)
    }

    /// The file with the bytes that a brick has of an image.
    pub(super) fn bytes_of(&self, brick: usize, path: &str) -> Result<PathBuf> {
        let seen = self.seen(brick)?;
        let gfid = &seen.names.get(path).context("no such name")?.gfid;
        let volumes = seen.volumes.context("an arbiter")?;
        volumes.get(gfid).cloned().context("no such volume")
    }

    /// Fails unless the bricks have the names and directories that there should be, just the volumes
    /// which the names want, and replicas the same bytes.
    pub(super) fn judge(&self) -> Result<()> {
        let (images, dirs) = self.paths()?;
        let mut found = BTreeSet::new();
        let set = self.layout.replicas;
        for first in (0..self.bricks.stores.len()).step_by(set) {
            let seen: Vec<Seen> = (first..first + set)
                .map(|brick| self.seen(brick))
                .collect::<Result<_>>()?;
            for (brick, seen) in (first..).zip(&seen) {
                one(brick, seen, &dirs)?;
            }
            alike(first, &seen)?;
            if self.layout.has_same_bytes() {
                same_bytes(first, &seen)?;
            }
            let names = seen[0].names.iter().filter(|(_, name)| !name.is_link);
            for (path, _) in names {
                ensure!(found.insert(path.clone()), "two files have the name {path}");
            }
        }
        ensure!(
            found == images,
            "files without reason: {:?}, missing: {:?}",
            found.difference(&images).collect::<Vec<_>>(),
            images.difference(&found).collect::<Vec<_>>()
        );
        Ok(())
    }
}

/// A brick by itself.
fn one(brick: usize, seen: &Seen, dirs: &BTreeSet<String>) -> Result<()> {
    ensure!(
        seen.dirs == *dirs,
        "brick {brick} has directories {:?}, not {dirs:?}",
        seen.dirs
    );
    let Some(volumes) = &seen.volumes else {
        return Ok(());
    };
    let wanted = seen.names.iter().filter(|(_, name)| !name.is_link);
    let mut wanted: BTreeMap<&String, &String> =
        wanted.map(|(path, name)| (&name.gfid, path)).collect();
    for (gfid, path) in volumes {
        ensure!(
            wanted.remove(gfid).is_some(),
            "brick {brick} has a volume {} ({gfid}) without a name",
            path.display()
        );
    }
    ensure!(
        wanted.is_empty(),
        "brick {brick} has no volumes of {wanted:?}"
    );
    Ok(())
}

/// Bricks of a group have the same names, gfids and sizes.
fn alike(first: usize, seen: &[Seen]) -> Result<()> {
    let list = |seen: &Seen| -> BTreeMap<String, String> {
        let names = seen.names.iter();
        names
            .map(|(path, name)| (path.clone(), name.gfid.clone()))
            .collect()
    };
    let names = list(&seen[0]);
    for (brick, other) in (first..).zip(seen) {
        let other = list(other);
        let differ = |a: &BTreeMap<String, String>, b: &BTreeMap<String, String>| -> Vec<String> {
            let names = a.iter().filter(|(path, gfid)| b.get(*path) != Some(gfid));
            names.map(|(path, gfid)| format!("{path}={gfid}")).collect()
        };
        ensure!(
            other == names,
            "brick {first} alone has {:?}, brick {brick} alone {:?}",
            differ(&names, &other),
            differ(&other, &names)
        );
    }
    Ok(())
}

/// Replicas have the same bytes, as far as files go.
fn same_bytes(first: usize, seen: &[Seen]) -> Result<()> {
    for (path, name) in seen[0].names.iter().filter(|(_, name)| !name.is_link) {
        let size = usize::try_from(name.size)?;
        let mut held: Option<Vec<u8>> = None;
        for (brick, other) in (first..).zip(seen) {
            let Some(volumes) = &other.volumes else {
                continue;
            };
            ensure!(
                other.names[path].size == name.size,
                "{path} has {size} bytes on brick {first} and {} on brick {brick}",
                other.names[path].size
            );
            let file = &volumes[&name.gfid];
            let mut bytes = fs::read(file).with_context(|| file.display().to_string())?;
            ensure!(bytes.len() >= size, "{} is too short", file.display());
            bytes.truncate(size);
            let differs = held.as_ref().and_then(|held| {
                let mut pairs = held.iter().zip(&bytes);
                pairs.position(|(a, b)| a != b)
            });
            if let Some(at) = differs {
                anyhow::bail!("bricks {first} and {brick} hold different bytes of {path} at {at}");
            }
            held.get_or_insert(bytes);
        }
    }
    Ok(())
}
