//! What a keeper of images can do to them, and what is there afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

use super::register::{Moment, Register};
use crate::images::tools::pattern;

/// Names of images in each directory.
pub(super) const INSIDE: usize = 3;

/// Bytes of an image.
#[derive(Clone, Debug)]
pub(super) enum Bytes {
    Known(Vec<u8>),
    /// Those that a register had at a moment under its writers.
    Of(Moment),
}

/// An image as it should be.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) id: u64,
    /// That of which it is a snapshot.
    pub(super) origin: Option<u64>,
    pub(super) bytes: Bytes,
}

/// Images and directories by their paths.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) images: BTreeMap<String, Image>,
    pub(super) dirs: BTreeSet<String>,
    next: u64,
}

/// One operation on images of a keeper.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Create(String),
    /// Synced bytes that the number stands for.
    Write {
        path: String,
        at: usize,
        len: usize,
        seed: u64,
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
    MakeDir(String),
    RemoveTree(String),
    RenameDir(String, String),
}

/// How copies are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copies {
    /// By `ln` and `ln -s`.
    Links,
    /// Byte by byte, as on a stock volume, where a merge is a rename.
    Bytes,
}

pub(super) fn below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.starts_with('/'))
}

impl Tree {
    /// A new image, which nothing is a snapshot of.
    pub(super) fn insert(&mut self, path: &str, bytes: Bytes, origin: Option<u64>) {
        self.next += 1;
        let id = self.next;
        self.images
            .insert(path.to_owned(), Image { id, origin, bytes });
    }

    /// The path of the image with that number.
    pub(super) fn path_of(&self, id: u64) -> Option<&String> {
        let mut images = self.images.iter();
        images
            .find(|(_, image)| image.id == id)
            .map(|(path, _)| path)
    }

    pub(super) fn apply(&mut self, work: &Work) {
        match work {
            Work::Create(path) => self.insert(path, Bytes::Known(Vec::new()), None),
            Work::Write {
                path,
                at,
                len,
                seed,
            } => {
                if let Some(bytes) = self.known(path) {
                    if bytes.len() < at + len {
                        bytes.resize(at + len, 0);
                    }
                    bytes[*at..at + len].copy_from_slice(&pattern(*seed, *len));
                }
            }
            Work::Resize(path, size) => {
                if let Some(bytes) = self.known(path) {
                    bytes.resize(*size, 0);
                }
            }
            Work::Clone(from, to) | Work::Snapshot(from, to) => {
                if let Some(source) = self.images.get(from).cloned() {
                    let origin = matches!(work, Work::Snapshot(..)).then_some(source.id);
                    self.insert(to, source.bytes, origin);
                }
            }
            Work::Rename(from, to) => {
                if let Some(image) = self.images.remove(from) {
                    self.images.insert(to.clone(), image);
                }
            }
            Work::Remove(path) => drop(self.images.remove(path)),
            Work::Merge { snapshot, origin } => {
                if let Some(merged) = self.images.remove(snapshot)
                    && let Some(origin) = self.images.get_mut(origin)
                {
                    origin.bytes = merged.bytes;
                }
            }
            Work::MakeDir(path) => drop(self.dirs.insert(path.clone())),
            Work::RemoveTree(dir) => {
                self.images.retain(|path, _| !below(path, dir));
                self.dirs.retain(|path| path != dir && !below(path, dir));
            }
            Work::RenameDir(from, to) => {
                let moved = |path: &String| match below(path, from) || path == from {
                    true => format!("{to}{}", &path[from.len()..]),
                    false => path.clone(),
                };
                self.dirs = self.dirs.iter().map(moved).collect();
                let images = std::mem::take(&mut self.images);
                self.images = images
                    .into_iter()
                    .map(|(path, image)| (moved(&path), image))
                    .collect();
            }
        }
    }

    fn known(&mut self, path: &str) -> Option<&mut Vec<u8>> {
        match &mut self.images.get_mut(path)?.bytes {
            Bytes::Known(bytes) => Some(bytes),
            Bytes::Of(_) => None,
        }
    }
}

impl Work {
    /// Whether a name is no more when it is done.
    pub(super) fn ends_names(&self) -> bool {
        matches!(
            self,
            Work::Rename(..)
                | Work::Remove(_)
                | Work::Merge { .. }
                | Work::RemoveTree(_)
                | Work::RenameDir(..)
        )
    }

    /// The paths of which nobody knows what they are after a failure.
    pub(super) fn touches(&self) -> Vec<&String> {
        match self {
            Work::Create(path)
            | Work::Write { path, .. }
            | Work::Resize(path, _)
            | Work::Remove(path)
            | Work::MakeDir(path)
            | Work::RemoveTree(path)
            | Work::Clone(_, path)
            | Work::Snapshot(_, path) => vec![path],
            Work::Rename(from, to) | Work::RenameDir(from, to) => vec![from, to],
            Work::Merge { snapshot, origin } => vec![snapshot, origin],
        }
    }

    pub(super) fn run(&self, top: &Path, copies: Copies) -> io::Result<()> {
        let at = |path: &String| top.join(path);
        match self {
            Work::Create(path) => File::create_new(at(path)).map(drop),
            Work::Write {
                path,
                at: place,
                len,
                seed,
            } => {
                let file = File::options().write(true).open(at(path))?;
                file.write_all_at(&pattern(*seed, *len), *place as u64)?;
                file.sync_all()
            }
            Work::Resize(path, size) => {
                let file = File::options().write(true).open(at(path))?;
                file.set_len(*size as u64)?;
                file.sync_all()
            }
            Work::Clone(from, to) => clone(top, from, to, copies),
            Work::Snapshot(from, to) => snapshot(top, from, to, copies),
            Work::Rename(from, to) | Work::RenameDir(from, to) => fs::rename(at(from), at(to)),
            Work::Remove(path) => fs::remove_file(at(path)),
            Work::Merge { snapshot, origin } => match copies {
                Copies::Links => {
                    let flags = rustix::fs::XattrFlags::empty();
                    Ok(rustix::fs::setxattr(at(snapshot), "merge", b"1", flags)?)
                }
                Copies::Bytes => fs::rename(at(snapshot), at(origin)),
            },
            Work::MakeDir(path) => fs::create_dir(at(path)),
            Work::RemoveTree(path) => remove_tree(&at(path)),
        }
    }
}

/// GlusterFS 11 does not remove a directory where a link file of DHT has been left, but takes that away when somebody
/// looks its name up.
pub(super) fn remove_tree(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            for name in (0..INSIDE).flat_map(|n| [format!("f{n}"), format!("e/f{n}")]) {
                let _gone = fs::symlink_metadata(dir.join(name));
            }
            fs::remove_dir_all(dir)
        }
        result => result,
    }
}

fn clone(top: &Path, from: &str, to: &str, copies: Copies) -> io::Result<()> {
    match copies {
        Copies::Links => fs::hard_link(top.join(from), top.join(to)),
        Copies::Bytes => {
            let bytes = fs::read(top.join(from))?;
            let mut file = File::create_new(top.join(to))?;
            file.write_all(&bytes)?;
            file.sync_all()
        }
    }
}

fn snapshot(top: &Path, from: &str, to: &str, copies: Copies) -> io::Result<()> {
    match copies {
        // By the way from the link's own directory.
        Copies::Links => {
            let up = "../".repeat(to.matches('/').count());
            symlink(format!("{up}{from}"), top.join(to))
        }
        Copies::Bytes => clone(top, from, to, copies),
    }
}

/// Copies a register while others write to it.
pub(super) fn copy_register(
    register: &Register,
    top: &Path,
    to: &str,
    thin: bool,
) -> (io::Result<()>, Moment) {
    register.moment(|from| match thin {
        true => snapshot(top, from, to, Copies::Links),
        false => clone(top, from, to, Copies::Links),
    })
}
