//! What a worker believes to be true of its files, and the operations that change it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::libc;

use super::tools::{open, pattern, same};

/// Numbers from a seed, the same in every run.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % limit as u64).expect("below a usize")
    }
}

/// One operation. Each is acknowledged as a whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create(String),
    /// A synced write of bytes that the number stands for.
    Write {
        name: String,
        cell: usize,
        seed: u64,
    },
    Clone(String, String),
    Snapshot(String, String),
    Rename(String, String),
    Remove(String),
}

/// Distance of the places that writes go to, and bytes of a write: neither fits blocks.
const CELL: usize = 17_000;
const WRITTEN: usize = 5_000;
const CELLS: usize = 12;
const NAMES: usize = 5;

/// Files by name, with their bytes.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

impl Operation {
    /// Something that makes sense for these files.
    pub(crate) fn choose(files: &Files, random: &mut Random) -> Operation {
        let any = |random: &mut Random| format!("f{}", random.below(NAMES));
        let Some(there) = files.keys().nth(random.below(files.len().max(1))).cloned() else {
            return Operation::Create(any(random));
        };
        let new = any(random);
        let taken = files.contains_key(&new);
        match random.below(10) {
            0 | 1 if !taken => Operation::Create(new),
            2 if !taken => Operation::Clone(there, new),
            3 if !taken => Operation::Snapshot(there, new),
            4 if new != there => Operation::Rename(there, new),
            5 => Operation::Remove(there),
            _ => Operation::Write {
                name: there,
                cell: random.below(CELLS),
                seed: random.0,
            },
        }
    }

    /// The files after it.
    pub(crate) fn applied(&self, files: &Files) -> Files {
        let mut files = files.clone();
        match self {
            Operation::Create(name) => drop(files.insert(name.clone(), Vec::new())),
            Operation::Write { name, cell, seed } => {
                let bytes = files.entry(name.clone()).or_default();
                let at = cell * CELL;
                if bytes.len() < at + WRITTEN {
                    bytes.resize(at + WRITTEN, 0);
                }
                bytes[at..at + WRITTEN].copy_from_slice(&pattern(*seed, WRITTEN));
            }
            Operation::Clone(from, to) | Operation::Snapshot(from, to) => {
                let bytes = files.get(from).cloned().unwrap_or_default();
                files.insert(to.clone(), bytes);
            }
            Operation::Rename(from, to) => {
                if let Some(bytes) = files.remove(from) {
                    files.insert(to.clone(), bytes);
                }
            }
            Operation::Remove(name) => drop(files.remove(name)),
        }
        files
    }

    /// Does it.
    pub(crate) fn run(&self, dir: &Path) -> std::io::Result<()> {
        let at = |name: &str| dir.join(name);
        match self {
            Operation::Create(name) => File::create_new(at(name)).map(drop),
            Operation::Write { name, cell, seed } => {
                let file = File::options().write(true).open(at(name))?;
                file.write_all_at(&pattern(*seed, WRITTEN), (cell * CELL) as u64)?;
                file.sync_all()
            }
            Operation::Clone(from, to) => fs::hard_link(at(from), at(to)),
            Operation::Snapshot(from, to) => symlink(from, at(to)),
            Operation::Rename(from, to) => fs::rename(at(from), at(to)),
            Operation::Remove(name) => fs::remove_file(at(name)),
        }
    }

    /// The name of a copy that may be left half made, as a file without bytes which goes away by
    /// itself after a while.
    fn unfinished_copy(&self) -> Option<&str> {
        match self {
            Operation::Clone(_, to) | Operation::Snapshot(_, to) => Some(to),
            _ => None,
        }
    }
}

/// A worker in a directory of its own.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) dir: PathBuf,
    pub(crate) files: Files,
    pub(crate) random: Random,
    /// What was asked for last and not acknowledged.
    pub(crate) uncertain: Option<(Operation, String)>,
    pub(crate) done: usize,
}

impl Worker {
    /// Works until an operation fails, or `stop` says so.
    pub(crate) fn work(&mut self, stop: &dyn Fn() -> bool) {
        while !stop() {
            let operation = Operation::choose(&self.files, &mut self.random);
            match operation.run(&self.dir) {
                Ok(()) => {
                    self.files = operation.applied(&self.files);
                    self.done += 1;
                }
                // A copy-on-write snapshot has no snapshots: nothing was done, and others may.
                Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
                Err(error) => {
                    self.uncertain = Some((operation, error.to_string()));
                    return;
                }
            }
        }
    }

    /// Compares the files with what was acknowledged. What was not may have happened or not.
    pub(crate) fn verify(&mut self) -> Result<()> {
        let uncertain = self.uncertain.take();
        if let Some(name) = uncertain.as_ref().and_then(|(it, _)| it.unfinished_copy()) {
            let path = self.dir.join(name);
            let empty = fs::symlink_metadata(&path).is_ok_and(|meta| meta.len() == 0);
            // It may have got its size already.
            let busy = fs::read(&path).is_err_and(|e| e.raw_os_error() == Some(libc::EBUSY));
            if (empty || busy) && !self.files.contains_key(name) {
                fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
            }
        }
        let before = expect(&self.dir, &self.files);
        let Err(error) = before else { return Ok(()) };
        let Some((operation, failure)) = uncertain else {
            return Err(error);
        };
        let mut after = operation.applied(&self.files);
        if let Operation::Write { name, .. } = &operation {
            // The kernel sends a write in pieces; each may have come through or not.
            let found = fs::read(self.dir.join(name)).with_context(|| name.clone())?;
            if is_mixture(&found, self.files.get(name), &after[name]) {
                after.insert(name.clone(), found);
            }
        }
        match expect(&self.dir, &after) {
            Ok(()) => {
                self.files = after;
                Ok(())
            }
            Err(other) => bail!(
                "{operation:?}, which failed ({failure}), left neither the files before nor \
                 those after it; before: {error:#}; after: {other:#}"
            ),
        }
    }
}

/// Whether each byte is that before a write or that after it.
fn is_mixture(found: &[u8], before: Option<&Vec<u8>>, after: &[u8]) -> bool {
    let before = before.map_or(&[][..], Vec::as_slice);
    (before.len()..=after.len()).contains(&found.len())
        && found.iter().enumerate().all(|(at, byte)| {
            *byte == after[at] || *byte == before.get(at).copied().unwrap_or_default()
        })
}

/// Fails unless the directory holds just these files.
fn expect(dir: &Path, files: &Files) -> Result<()> {
    let mut listed = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // The directories of other workers.
        if !entry.file_type()?.is_dir() {
            listed.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    listed.sort();
    if !listed.iter().eq(files.keys()) {
        bail!("{}: {listed:?}, expected {:?}", dir.display(), files.keys());
    }
    for (name, bytes) in files {
        let path = dir.join(name);
        let meta = fs::symlink_metadata(&path)?;
        if !meta.is_file() || meta.nlink() != 1 {
            bail!("{} is no file of its own: {meta:?}", path.display());
        }
        let file = open(&path)?;
        let size = file.metadata()?.len();
        if size != bytes.len() as u64 {
            bail!("{}: {size} bytes, expected {}", path.display(), bytes.len());
        }
        let mut found = vec![0; bytes.len()];
        file.read_exact_at(&mut found, 0)
            .with_context(|| format!("reading {}", path.display()))?;
        same(&path, 0, &found, bytes)?;
    }
    Ok(())
}
