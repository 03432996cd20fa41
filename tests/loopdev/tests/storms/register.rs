//! Registers: images of blocks that tell which write they are of.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use rustix::fs::OFlags;

use super::tally::Tally;
use crate::images::model::Random;

/// Bytes that are written at once.
const BLOCK: usize = 4096;
/// Blocks of a register.
const BLOCKS: usize = 128;
/// Who writes; each has every fourth block for itself.
pub(super) const WRITERS: usize = 4;

/// An image that several clients write to, and what they were told was written.
pub(super) struct Register {
    number: u64,
    /// Its name; two of them while nobody knows whether it was renamed.
    names: RwLock<Vec<String>>,
    /// By block: the last write that was acknowledged, the last one that was begun, and the last one
    /// that was begun before somebody looked.
    acknowledged: Vec<AtomicU64>,
    begun: Vec<AtomicU64>,
    settled: Vec<AtomicU64>,
}

/// What a copy of a register may hold: by block, what was acknowledged before it was made, and what
/// was begun when it was there.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    register: u64,
    before: Vec<u64>,
    settled: Vec<u64>,
    after: Vec<u64>,
}

fn block(register: u64, at: usize, write: u64) -> Vec<u8> {
    let place = register << 32 | at as u64;
    let sum = (place ^ write.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let words = [place, write, sum, !write].map(u64::to_le_bytes).concat();
    words.repeat(BLOCK / words.len())
}

fn all(values: &[AtomicU64]) -> Vec<u64> {
    let load = |value: &AtomicU64| value.load(Ordering::SeqCst);
    values.iter().map(load).collect()
}

impl Register {
    pub(super) fn make(top: &Path, number: u64) -> Result<Register> {
        let name = format!("r{number}");
        let bytes: Vec<u8> = (0..BLOCKS).flat_map(|at| block(number, at, 0)).collect();
        fs::write(top.join(&name), bytes)?;
        let zeros = || (0..BLOCKS).map(|_| AtomicU64::new(0)).collect();
        Ok(Register {
            number,
            names: RwLock::new(vec![name]),
            acknowledged: zeros(),
            begun: zeros(),
            settled: zeros(),
        })
    }

    fn open(&self, top: &Path, direct: bool) -> std::io::Result<File> {
        let names = self.names.read().expect("no writer panics");
        let flags = if direct {
            OFlags::DIRECT
        } else {
            OFlags::empty()
        };
        let mut options = File::options();
        options.read(true).write(true);
        options.custom_flags(flags.bits().cast_signed());
        let mut opened = Err(std::io::ErrorKind::NotFound.into());
        for name in names.iter() {
            opened = options.open(top.join(name));
            if opened.is_ok() {
                break;
            }
        }
        opened
    }

    /// What a copy may hold that `make` makes of it, by the name that it has meanwhile.
    pub(super) fn moment<T>(
        &self,
        make: impl FnOnce(&str) -> std::io::Result<T>,
    ) -> (std::io::Result<T>, Moment) {
        let names = self.names.read().expect("no writer panics");
        let (before, settled) = (all(&self.acknowledged), all(&self.settled));
        let made = make(&names[0]);
        let moment = Moment {
            register: self.number,
            before,
            settled,
            after: all(&self.begun),
        };
        (made, moment)
    }

    /// Gives it another name. After a failure it has either.
    pub(super) fn rename(&self, top: &Path, to: &str) -> std::io::Result<()> {
        let mut names = self.names.write().expect("no writer panics");
        if names.len() > 1 || names[0] == to {
            return Ok(());
        }
        let renamed = fs::rename(top.join(&names[0]), top.join(to));
        if renamed.is_ok() {
            names.clear();
        }
        names.push(to.to_owned());
        renamed
    }

    /// After all has healed: the name that it has.
    pub(super) fn settle(&self, top: &Path) -> Result<String> {
        let mut names = self.names.write().expect("no writer panics");
        let before = names.clone();
        names.retain(|name| fs::symlink_metadata(top.join(name)).is_ok());
        ensure!(names.len() == 1, "of {before:?}, {names:?} are there");
        Ok(names[0].clone())
    }

    /// Fails if a write is lost that was acknowledged; what was not is there or is not, for good.
    /// Answers how many blocks were looked at.
    pub(super) fn verify(&self, top: &Path) -> Result<u64> {
        let path = top.join(self.settle(top)?);
        let (_, moment) = self.moment(|_| Ok(()));
        let found = moment.verify(&read(&path)?);
        let found = found.with_context(|| path.display().to_string())?;
        for (at, write) in found.into_iter().enumerate() {
            self.acknowledged[at].store(write, Ordering::SeqCst);
            self.settled[at].store(moment.after[at], Ordering::SeqCst);
        }
        Ok(BLOCKS as u64)
    }

    /// As if a write had been acknowledged that never was.
    pub(super) fn expect_another(&self, more: bool) {
        let turn = |value: &AtomicU64| match more {
            true => value.fetch_add(1, Ordering::SeqCst),
            false => value.fetch_sub(1, Ordering::SeqCst),
        };
        turn(&self.begun[1]);
        turn(&self.acknowledged[1]);
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

impl Moment {
    /// Fails unless each block is of one of the writes that it may be of; says of which.
    pub(super) fn verify(&self, bytes: &[u8]) -> Result<Vec<u64>> {
        ensure!(bytes.len() == BLOCKS * BLOCK, "{} bytes", bytes.len());
        let mut found = Vec::new();
        let mut wrong = Vec::new();
        for (at, bytes) in bytes.chunks(BLOCK).enumerate() {
            let write = bytes[8..16].try_into().map(u64::from_le_bytes)?;
            let is_whole = bytes == block(self.register, at, write);
            let may_be = write == self.before[at]
                || (self.before[at].max(self.settled[at]) < write && write <= self.after[at]);
            if !is_whole || !may_be {
                wrong.push(format!(
                    "block {at} is of write {write}{}, not of {} or of ({}, {}]",
                    if is_whole { "" } else { " (torn)" },
                    self.before[at],
                    self.settled[at],
                    self.after[at]
                ));
            }
            found.push(write);
        }
        ensure!(
            wrong.is_empty(),
            "{} blocks are wrong: {:?}",
            wrong.len(),
            &wrong[..wrong.len().min(8)]
        );
        Ok(found)
    }
}

/// Writes blocks of all registers until told to stop, directly or with fsync.
pub(super) fn write(registers: &[Register], top: &Path, writer: usize, seed: u64, tally: &Tally) {
    let direct = writer.is_multiple_of(2);
    let mut random = Random::new(seed);
    let mut files: Vec<Option<File>> = registers.iter().map(|_| None).collect();
    while !tally.stopped() {
        let number = random.below(registers.len());
        let register = &registers[number];
        let at = random.below(BLOCKS / WRITERS) * WRITERS + writer;
        let file = match files[number].take() {
            Some(file) => Ok(file),
            None => register.open(top, direct),
        };
        let written = file.and_then(|file| {
            let write = register.begun[at].fetch_add(1, Ordering::SeqCst) + 1;
            file.write_all_at(&block(register.number, at, write), (at * BLOCK) as u64)?;
            if !direct {
                file.sync_data()?;
            }
            register.acknowledged[at].store(write, Ordering::SeqCst);
            Ok(file)
        });
        match written {
            Ok(file) => {
                files[number] = Some(file);
                tally.wrote();
            }
            Err(error) => tally.failed(&format!("write {at} of register {number}"), &error),
        }
    }
}
