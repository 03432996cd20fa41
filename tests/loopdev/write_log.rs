//! What the device-mapper target log-writes has recorded of a disk: its writes in the order in which they
//! came to last (Linux, Documentation/admin-guide/device-mapper/log-writes.rst).
//!
//! A write is recorded with the next flush that was asked for after its end, before that flush; one with
//! FUA, and a mark, at once.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;
const SECTOR: u64 = 512;
const BLOCK: usize = 512;

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The first byte on the disk that it is about; of a flush, a byte of the disk that is flushed.
    pub at: u64,
    /// Bytes.
    pub len: u64,
    /// What was done.
    pub kind: Kind,
    /// Where in the log the bytes of a write are.
    data: u64,
}

/// What a record stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes were written; with FUA they last when the write has ended.
    Write {
        /// Whether it was one with FUA.
        through: bool,
    },
    /// Bytes were given back; they are zeros from then on.
    Discard,
    /// All that was written before lasts.
    Flush,
    /// A text that a test has put there.
    Mark(String),
}

/// A recorded log.
#[derive(Debug)]
pub(crate) struct WriteLog {
    file: File,
    /// All records, the oldest first.
    pub(crate) records: Vec<Record>,
}

impl WriteLog {
    /// Reads the log that a file or device holds.
    ///
    /// # Errors
    /// If it is none, or is not whole.
    pub(crate) fn read(path: &Path) -> Result<WriteLog> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let head = block(&file, 0)?;
        ensure!(
            word(&head, 0) == MAGIC && word(&head, 8) == 1,
            "{} is no log of writes",
            path.display()
        );
        ensure!(
            head[24..28] == 512_u32.to_le_bytes(),
            "{} counts in other sectors than of {SECTOR} bytes",
            path.display()
        );
        let mut records = Vec::new();
        let mut place = SECTOR;
        for number in 0..word(&head, 16) {
            let record = record(&file, place)
                .with_context(|| format!("record {number} of {}", path.display()))?;
            place += SECTOR;
            if matches!(record.kind, Kind::Write { .. }) {
                place += record.len;
            }
            records.push(record);
        }
        Ok(WriteLog { file, records })
    }

    /// Makes marks of the writes with FUA to a part of the disk, which hold a text each.
    pub(crate) fn take_marks(&mut self, part: &Range<u64>) -> Result<()> {
        for number in 0..self.records.len() {
            let record = &self.records[number];
            if record.kind == (Kind::Write { through: true }) && part.contains(&record.at) {
                let bytes = self.bytes(record)?;
                let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
                let text = String::from_utf8_lossy(text).into_owned();
                self.records[number].kind = Kind::Mark(text);
            }
        }
        Ok(())
    }

    /// The bytes of a write.
    pub(crate) fn bytes(&self, record: &Record) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(record.len)?];
        self.file.read_exact_at(&mut bytes, record.data)?;
        Ok(bytes)
    }
}

fn record(file: &File, place: u64) -> Result<Record> {
    let head = block(file, place)?;
    let flags = word(&head, 16);
    let len = word(&head, 8) * SECTOR;
    let kind = if flags & MARK != 0 {
        let text = usize::try_from(word(&head, 24))?;
        let text = head.get(32..32 + text).context("a long mark")?;
        Kind::Mark(String::from_utf8_lossy(text).into_owned())
    } else if flags & DISCARD != 0 {
        Kind::Discard
    } else if flags & FLUSH != 0 {
        // Device-mapper sends the flush of a write that asks for one as a request of its own.
        ensure!(len == 0, "a flush with {len} bytes");
        Kind::Flush
    } else {
        Kind::Write {
            through: flags & FUA != 0,
        }
    };
    Ok(Record {
        at: word(&head, 0) * SECTOR,
        len,
        kind,
        data: place + SECTOR,
    })
}

fn block(file: &File, place: u64) -> Result<[u8; BLOCK]> {
    let mut bytes = [0; BLOCK];
    file.read_exact_at(&mut bytes, place)?;
    Ok(bytes)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

impl Record {
    /// The bytes on the disk that it changes.
    pub(crate) fn range(&self) -> Range<u64> {
        self.at..self.at + self.len
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record as [`Record`] has it, at a place of no log.
    pub(crate) fn of(at: u64, len: u64, kind: Kind) -> Record {
        Record {
            at,
            len,
            kind,
            data: 0,
        }
    }

    fn head(words: [u64; 4], more: &[u8]) -> Vec<u8> {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(more);
        bytes.resize(512, 0);
        bytes
    }

    #[test]
    fn a_log_is_read() {
        let mut log = head([MAGIC, 1, 5, 512], b"");
        log.extend(head([8, 2, 0, 0], b""));
        log.extend([7; 1024]);
        log.extend(head([16, 0, FLUSH, 0], b""));
        log.extend(head([4, 1, 16 | FUA, 0], b""));
        log.extend([9; 512]);
        log.extend(head([0, 0, MARK, 3], b"a.1"));
        log.extend(head([32, 8, DISCARD, 0], b""));
        let path = std::env::temp_dir().join(format!("write_log.{}", std::process::id()));
        std::fs::write(&path, log).unwrap();
        let log = WriteLog::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let kinds: Vec<_> = log.records.iter().map(|it| it.kind.clone()).collect();
        let write = |through| Kind::Write { through };
        let mark = Kind::Mark("a.1".to_owned());
        assert_eq!(
            kinds,
            [write(false), Kind::Flush, write(true), mark, Kind::Discard]
        );
        assert_eq!(log.records[0].range(), 4096..5120);
        assert_eq!(log.bytes(&log.records[0]).unwrap(), [7; 1024]);
        assert_eq!(log.bytes(&log.records[2]).unwrap(), [9; 512]);
        assert_eq!(log.records[4].range(), 16384..20480);
        let mut log = log;
        log.take_marks(&(2048..4096)).unwrap();
        let text = "\t".repeat(512);
        assert_eq!(log.records[2].kind, Kind::Mark(text));
    }
}
