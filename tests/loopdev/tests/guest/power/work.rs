//! What the load does to images, and what is certain of them after it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, symlink};
use std::path::Path;

use nix::libc;

use crate::images::model::Random;
use crate::images::tools::pattern;

/// Bytes of images at most, of a write, and names of a worker.
const SIZE: usize = 200_000;
const WRITTEN: usize = 5_000;
const NAMES: usize = 6;

/// How a write is brought to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Synced {
    Not,
    ByFsync,
    ByFlag,
}

/// One operation. Each is acknowledged as a whole or not at all.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Create(String),
    Write {
        name: String,
        at: usize,
        seed: u64,
        synced: Synced,
    },
    Resize(String, usize),
    Clone(String, String),
    Snapshot(String, String),
    Rename(String, String),
    Remove(String),
    Merge {
        snapshot: String,
        origin: String,
    },
}

/// An image as it must be.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    id: u64,
    origin: Option<u64>,
    /// What lasts.
    pub(super) bytes: Vec<u8>,
    /// What was written since and not synced: each byte may be there or not.
    pub(super) loose: Vec<(usize, Vec<u8>)>,
}

/// Images by their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    pub(super) images: BTreeMap<String, Image>,
    next: u64,
}

impl Work {
    /// Something that makes sense for these files.
    pub(super) fn choose(files: &Files, random: &mut Random) -> Work {
        let new = format!("f{}", random.below(NAMES));
        let images = &files.images;
        let Some((there, image)) = images.iter().nth(random.below(images.len().max(1))) else {
            return Work::Create(new);
        };
        let name = there.clone();
        let is_taken = images.contains_key(&new);
        match random.below(16) {
            0 | 1 if !is_taken => Work::Create(new),
            2 | 3 if !is_taken => Work::Clone(name, new),
            4 | 5 if !is_taken => Work::Snapshot(name, new),
            6 | 7 if new != name => Work::Rename(name, new),
            8 => Work::Remove(name),
            9 => Work::Resize(name, random.below(SIZE)),
            10 | 11 => match files.name_of(image.origin) {
                Some(origin) => Work::Merge {
                    snapshot: name,
                    origin,
                },
                None => Work::Snapshot(name, format!("s{}", random.below(NAMES))),
            },
            kind => Work::Write {
                name,
                at: random.below(SIZE - WRITTEN),
                seed: random.below(1 << 30) as u64,
                synced: match kind {
                    12 => Synced::Not,
                    13 => Synced::ByFlag,
                    _ => Synced::ByFsync,
                },
            },
        }
    }

    /// Whether it makes a name that must not be there.
    pub(super) fn is_possible(&self, files: &Files) -> bool {
        match self {
            Work::Create(to) | Work::Clone(_, to) | Work::Snapshot(_, to) => {
                !files.images.contains_key(to)
            }
            _ => true,
        }
    }

    /// Does it.
    pub(super) fn run(&self, dir: &Path) -> io::Result<()> {
        let at = |name: &str| dir.join(name);
        match self {
            Work::Create(name) => File::create_new(at(name)).map(drop),
            Work::Write {
                name,
                at: place,
                seed,
                synced,
            } => {
                let mut how = File::options();
                how.write(true);
                if *synced == Synced::ByFlag {
                    how.custom_flags(libc::O_SYNC);
                }
                let file = how.open(at(name))?;
                file.write_all_at(&pattern(*seed, WRITTEN), *place as u64)?;
                match synced {
                    Synced::ByFsync => file.sync_all(),
                    _ => Ok(()),
                }
            }
            Work::Resize(name, size) => File::options()
                .write(true)
                .open(at(name))?
                .set_len(*size as u64),
            Work::Clone(from, to) => fs::hard_link(at(from), at(to)),
            Work::Snapshot(from, to) => symlink(from, at(to)),
            Work::Rename(from, to) => fs::rename(at(from), at(to)),
            Work::Remove(name) => fs::remove_file(at(name)),
            Work::Merge { snapshot, .. } => {
                let flags = rustix::fs::XattrFlags::empty();
                Ok(rustix::fs::setxattr(at(snapshot), "merge", b"1", flags)?)
            }
        }
    }
}

impl Files {
    fn name_of(&self, id: Option<u64>) -> Option<String> {
        let mut images = self.images.iter();
        images
            .find(|(_, image)| Some(image.id) == id)
            .map(|(name, _)| name.clone())
    }

    fn insert(&mut self, name: &str, image: Image) {
        self.next += 1;
        let id = self.next;
        self.images.insert(name.to_owned(), Image { id, ..image });
    }

    /// The files after it.
    pub(super) fn apply(&mut self, work: &Work) {
        match work {
            Work::Create(name) => self.insert(name, Image::default()),
            Work::Write {
                name,
                at,
                seed,
                synced,
            } => {
                let image = self.images.entry(name.clone()).or_default();
                image.loose.push((*at, pattern(*seed, WRITTEN)));
                if *synced != Synced::Not {
                    image.sync();
                }
            }
            Work::Resize(name, size) => {
                let image = self.images.entry(name.clone()).or_default();
                image.resize(*size);
            }
            Work::Clone(from, to) | Work::Snapshot(from, to) => {
                let source = self.images.get(from).cloned().unwrap_or_default();
                let is_thin = matches!(work, Work::Snapshot(..));
                let origin = is_thin.then_some(source.id);
                self.insert(to, Image { origin, ..source });
            }
            Work::Rename(from, to) => {
                if let Some(image) = self.images.remove(from) {
                    self.images.insert(to.clone(), image);
                }
            }
            Work::Remove(name) => drop(self.images.remove(name)),
            Work::Merge { snapshot, origin } => {
                if let Some(merged) = self.images.remove(snapshot) {
                    let origin = self.images.entry(origin.clone()).or_default();
                    origin.bytes = merged.bytes;
                    origin.loose = merged.loose;
                }
            }
        }
    }
}

impl Image {
    fn sync(&mut self) {
        for (at, bytes) in std::mem::take(&mut self.loose) {
            let end = at + bytes.len();
            if self.bytes.len() < end {
                self.bytes.resize(end, 0);
            }
            self.bytes[at..end].copy_from_slice(&bytes);
        }
    }

    /// The size lasts; what was written before and not synced is as uncertain as it was.
    fn resize(&mut self, size: usize) {
        self.bytes.resize(size, 0);
        for (at, bytes) in &mut self.loose {
            bytes.truncate(size.saturating_sub(*at));
        }
        self.loose.retain(|(_, bytes)| !bytes.is_empty());
    }

    /// Fails at the first byte that is neither what lasts nor what was written since.
    pub(super) fn allows(&self, found: &[u8]) -> Result<(), String> {
        let ends = self.loose.iter().map(|(at, bytes)| at + bytes.len());
        let most = ends.max().unwrap_or_default().max(self.bytes.len());
        if !(self.bytes.len()..=most).contains(&found.len()) {
            return Err(format!(
                "{} bytes, expected {} to {most}",
                found.len(),
                self.bytes.len()
            ));
        }
        if found == self.bytes {
            return Ok(());
        }
        for (at, byte) in found.iter().enumerate() {
            let lasting = self.bytes.get(at).copied().unwrap_or_default();
            let mut loose = self.loose.iter();
            if *byte != lasting
                && !loose.any(|(from, bytes)| at >= *from && bytes.get(at - from) == Some(byte))
            {
                return Err(format!("byte {at} is {byte:#x}, expected {lasting:#x}"));
            }
        }
        Ok(())
    }
}
