//! A disk in parts whose writes are recorded, and power cuts of it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::libc;

use crate::rig::Rig;
use crate::sh::{cmd, sh};
use crate::volatile::Volatile;
use crate::write_log::{Kind, Record, WriteLog};

const MIB: u64 = 1 << 20;
const SECTOR: usize = 512;
/// Bytes of the file that takes the log: sparse.
const LOG_MIB: u64 = 8192;
/// Bytes that may be written after a cut.
const AFTER_MIB: u64 = 1024;

/// A disk in parts. While it records, each write to it goes to a log, too; after that it is what a power
/// cut has left.
#[derive(Debug)]
pub struct RecordedDisk {
    name: String,
    parts: Vec<(String, Range<u64>)>,
    log: PathBuf,
    recorder: String,
    /// A part of which each write is a mark.
    marks: File,
    /// A file, and the device on it.
    base: (PathBuf, PathBuf),
    after: PathBuf,
}

/// The disk at the moments of a log, one after the other.
#[derive(Debug)]
pub struct Replay {
    name: String,
    parts: Vec<(String, Range<u64>)>,
    log: WriteLog,
    caches: Volatile,
    next: usize,
    base: File,
    base_device: PathBuf,
    after_device: PathBuf,
}

/// What becomes of a write that is in a cache at the moment of a cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is as if it had never been.
    Lost,
    /// All of it lasts.
    Whole,
    /// Of its sectors those last for which this says so.
    Torn(Vec<bool>),
}

impl Rig {
    /// A disk whose parts, by name and MiB, are devices named `<prefix>_NAME` that record.
    pub fn recorded_disk(&mut self, parts: &[(&str, u64)]) -> Result<RecordedDisk> {
        let mut from = 0;
        let parts: Vec<(String, Range<u64>)> = parts
            .iter()
            .chain(&[("marks", 1)])
            .map(|(part, mib)| {
                let range = from..from + mib * MIB;
                from = range.end;
                (self.name(part), range)
            })
            .collect();
        let disk = self.loop_device("recorded", from / MIB)?;
        let log = self.loop_device("writes", LOG_MIB)?;
        let base = self.loop_device("base", from / MIB)?;
        let after = self.loop_device("after", AFTER_MIB)?;
        let name = self.name("recorder");
        let recorder = Path::new("/dev/mapper").join(&name);
        let names: Vec<String> = parts.iter().map(|(part, _)| part.clone()).collect();
        let all = [names.as_slice(), &[self.name("cut"), name.clone()]].concat();
        self.on_teardown("the recorded disk", move || {
            all.iter().try_for_each(|it| remove(it))
        });
        let table = format!(
            "0 {} log-writes {} {}",
            from / 512,
            disk.display(),
            log.display()
        );
        create(&name, &table)?;
        slice(&recorder, &parts)?;
        let marks = Path::new("/dev/mapper").join(self.name("marks"));
        let marks = File::options()
            .write(true)
            .custom_flags(libc::O_DIRECT | libc::O_DSYNC)
            .open(&marks)
            .with_context(|| format!("cannot open {}", marks.display()))?;
        Ok(RecordedDisk {
            name: self.name("cut"),
            parts,
            log: self.dir().join("writes.img"),
            base: (self.dir().join("base.img"), base),
            after,
            recorder: name,
            marks,
        })
    }
}

impl RecordedDisk {
    /// The device of a part, by its place.
    pub fn part(&self, number: usize) -> PathBuf {
        Path::new("/dev/mapper").join(&self.parts[number].0)
    }

    /// Puts a mark into the log: a text that is shorter than a sector. All writes that have ended are in the
    /// log when this returns.
    pub fn mark(&self, text: &str) -> Result<()> {
        let mut bytes = [0_u8; 2 * SECTOR];
        let from = bytes.as_ptr().align_offset(SECTOR);
        bytes[from..from + text.len()].copy_from_slice(text.as_bytes());
        let sector = &bytes[from..from + SECTOR];
        self.marks
            .write_all_at(sector, 0)
            .context("cannot write a mark")
    }

    /// Ends the recording; nobody uses the disk any more.
    pub fn replay(self) -> Result<Replay> {
        drop(self.marks);
        for (part, _) in &self.parts {
            remove(part)?;
        }
        remove(&self.recorder)?;
        sh("sync")?;
        let mut log = WriteLog::read(&self.log)?;
        let marks = self.parts.last().map(|(_, range)| range.clone());
        log.take_marks(&marks.context("no marks")?)?;
        let (base, base_device) = self.base;
        Ok(Replay {
            name: self.name,
            caches: Volatile::new(self.parts.iter().map(|(_, range)| range.clone()).collect()),
            parts: self.parts,
            log,
            next: 0,
            base: File::options()
                .write(true)
                .open(&base)
                .with_context(|| format!("cannot open {}", base.display()))?,
            base_device,
            after_device: self.after,
        })
    }
}

impl Replay {
    /// The records of the log.
    pub fn records(&self) -> &[Record] {
        &self.log.records
    }

    /// Brings the disk to the moment before the record with that number.
    pub fn advance(&mut self, to: usize) -> Result<()> {
        for number in self.next..to {
            for last in self.caches.take(number, &self.log.records[number]) {
                apply(&self.log, last, &Fate::Whole, &self.base)?;
            }
        }
        self.next = self.next.max(to);
        Ok(())
    }

    /// The writes that are in caches at this moment, by their records' numbers.
    pub fn cached(&self) -> Vec<usize> {
        self.caches.cached()
    }

    /// Cuts the power. `fates` says of writes, in the order of their numbers, what has become of them; of all
    /// others that are in caches nothing is left. The parts are devices with their old names then.
    pub fn cut(&mut self, fates: &[(usize, Fate)]) -> Result<()> {
        self.base.sync_all()?;
        sh(&format!(
            "blockdev --flushbufs {}; blkdiscard {}",
            self.base_device.display(),
            self.after_device.display()
        ))?;
        let size = self.parts.last().map_or(0, |(_, range)| range.end);
        let table = format!(
            "0 {} snapshot {} {} N 8",
            size / 512,
            self.base_device.display(),
            self.after_device.display()
        );
        create(&self.name, &table)?;
        let device = Path::new("/dev/mapper").join(&self.name);
        let file = File::options().read(true).write(true).open(&device)?;
        // The first block that is written to is also the first of `after`, where LVM would take the label of a
        // physical volume for one of another.
        let mut first = [0; 4096];
        file.read_exact_at(&mut first, 0)?;
        file.write_all_at(&first, 0)?;
        file.sync_all()?;
        for (number, fate) in fates {
            apply(&self.log, *number, fate, &file)?;
        }
        file.sync_all()?;
        drop(file);
        slice(&device, &self.parts)
    }

    /// Takes away what was made of the disk after the cut; nobody uses it any more.
    pub fn forget(&self) -> Result<()> {
        for (part, _) in &self.parts {
            remove(part)?;
        }
        remove(&self.name)
    }
}

/// Does to a disk what a record says.
fn apply(log: &WriteLog, number: usize, fate: &Fate, disk: &File) -> Result<()> {
    let record = &log.records[number];
    if *fate == Fate::Lost {
        return Ok(());
    }
    let bytes = match record.kind {
        Kind::Write { .. } => log.bytes(record)?,
        Kind::Discard => vec![0; usize::try_from(record.len)?],
        Kind::Flush | Kind::Mark(_) => return Ok(()),
    };
    match fate {
        Fate::Torn(kept) => {
            let mut at = record.at;
            for (sector, kept) in bytes.chunks(512).zip(kept) {
                if *kept {
                    disk.write_all_at(sector, at)?;
                }
                at += sector.len() as u64;
            }
        }
        Fate::Whole | Fate::Lost => disk.write_all_at(&bytes, record.at)?,
    }
    Ok(())
}

/// Makes a mapped device and its node.
fn create(name: &str, table: &str) -> Result<()> {
    let words = [
        "create",
        "--noudevsync",
        "--verifyudev",
        name,
        "--table",
        table,
    ];
    cmd("dmsetup", &words)?.ok()?;
    Ok(())
}

fn slice(device: &Path, parts: &[(String, Range<u64>)]) -> Result<()> {
    for (part, range) in parts {
        let sectors = (range.end - range.start) / 512;
        let table = format!(
            "0 {sectors} linear {} {}",
            device.display(),
            range.start / 512
        );
        create(part, &table)?;
    }
    Ok(())
}

/// Removes a mapped device and its node; no error where it is gone. A node that stayed could lead to another
/// device later.
fn remove(name: &str) -> Result<()> {
    let is_there = cmd("dmsetup", &["info", name])?.code == 0;
    if is_there {
        let words = ["remove", "--noudevsync", "--verifyudev", "--retry", name];
        cmd("dmsetup", &words)?.ok()?;
    }
    let node = Path::new("/dev/mapper").join(name);
    match fs::remove_file(node) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
