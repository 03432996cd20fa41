use std::fmt;
use std::str::FromStr;

use crate::StatusError;

/// Blocks in use, of all there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// In use.
    pub used: u64,
    /// All.
    pub total: u64,
}

impl Use {
    /// Blocks that are not in use.
    pub fn free(self) -> u64 {
        self.total.saturating_sub(self.used)
    }

    /// Percentage in use, rounded down; an empty total counts as full.
    pub fn percent(self) -> u64 {
        match self.total {
            0 => 100,
            total => u64::try_from(u128::from(self.used) * 100 / u128::from(total)).unwrap_or(100),
        }
    }
}

/// What a pool lets its thin LVs do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolMode {
    /// All is well.
    ReadWrite,
    /// There are no free data blocks.
    OutOfDataSpace,
    /// Metadata cannot be changed.
    ReadOnly,
}

/// What happens to a write that needs a block when there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhenFull {
    /// It waits until there is one.
    Queue,
    /// It fails at once.
    Error,
}

/// The state of a working pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// LVM's count of changes to the pool's set of devices.
    pub transaction: u64,
    /// Metadata blocks, of 4 KiB.
    pub metadata: Use,
    /// Data blocks, each a chunk.
    pub data: Use,
    /// The metadata root that user space holds.
    pub held_root: Option<u64>,
    /// What it lets its thin LVs do.
    pub mode: PoolMode,
    /// `discard_passdown`, `no_discard_passdown` or `ignore_discard`.
    pub discard: Discard,
    /// What happens when it is full.
    pub when_full: WhenFull,
    /// Whether its metadata must be checked before it can be written again.
    pub needs_check: bool,
    /// Free metadata blocks below which the kernel tells; not in older kernels' lines.
    pub metadata_low_water: Option<u64>,
}

/// What a pool does with discards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Discard {
    /// Unmaps the chunks, and passes the discard down to the disk.
    Passdown,
    /// Unmaps the chunks.
    Unmap,
    /// Nothing.
    Ignore,
}

/// The status line of a `thin-pool` target (Linux, Documentation/admin-guide/device-mapper/
/// thin-provisioning.rst).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolState {
    /// It works, perhaps not in full.
    Working(PoolStatus),
    /// It has failed, and so have all its thin LVs.
    Failed,
}

const DISCARDS: [(&str, Discard); 3] = [
    ("discard_passdown", Discard::Passdown),
    ("no_discard_passdown", Discard::Unmap),
    ("ignore_discard", Discard::Ignore),
];
const MODES: [(&str, PoolMode); 3] = [
    ("rw", PoolMode::ReadWrite),
    ("out_of_data_space", PoolMode::OutOfDataSpace),
    ("ro", PoolMode::ReadOnly),
];
const WHEN_FULL: [(&str, WhenFull); 2] = [
    ("queue_if_no_space", WhenFull::Queue),
    ("error_if_no_space", WhenFull::Error),
];

fn by_word<T: Copy>(table: &[(&str, T)], word: &str) -> Option<T> {
    table
        .iter()
        .find(|(text, _)| *text == word)
        .map(|(_, value)| *value)
}

fn word_of<T: Copy + PartialEq>(table: &[(&'static str, T)], value: T) -> &'static str {
    table
        .iter()
        .find(|(_, other)| *other == value)
        .map_or("", |(text, _)| *text)
}

impl FromStr for PoolState {
    type Err = StatusError;

    fn from_str(line: &str) -> Result<PoolState, StatusError> {
        if matches!(line.trim(), "Fail" | "Error") {
            return Ok(PoolState::Failed);
        }
        let bad = |part| StatusError {
            target: "thin-pool",
            line: line.to_owned(),
            part,
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        let word = |index: usize, part| words.get(index).copied().ok_or_else(|| bad(part));
        let usage = |index, part| {
            let (used, total) = word(index, part)?
                .split_once('/')
                .ok_or_else(|| bad(part))?;
            let number = |text: &str| text.parse().map_err(|_| bad(part));
            Ok(Use {
                used: number(used)?,
                total: number(total)?,
            })
        };
        const HELD: &str = "the held metadata root";
        let held_root = match word(3, HELD)? {
            "-" => None,
            text => Some(text.parse().map_err(|_| bad(HELD))?),
        };
        // Kernels before 4.10 end here or with needs_check.
        let needs_check = match words.get(7).copied() {
            Some("needs_check") => true,
            None | Some("-") => false,
            Some(_) => return Err(bad("the need of a check")),
        };
        const LOW: &str = "the metadata low water mark";
        let metadata_low_water = words
            .get(8)
            .map(|text| text.parse().map_err(|_| bad(LOW)))
            .transpose()?;
        Ok(PoolState::Working(PoolStatus {
            transaction: word(0, "the transaction")?
                .parse()
                .map_err(|_| bad("the transaction"))?,
            metadata: usage(1, "the use of metadata")?,
            data: usage(2, "the use of data")?,
            held_root,
            mode: by_word(&MODES, word(4, "the mode")?).ok_or_else(|| bad("the mode"))?,
            discard: by_word(&DISCARDS, word(5, "the discards")?)
                .ok_or_else(|| bad("the discards"))?,
            when_full: by_word(&WHEN_FULL, word(6, "the full policy")?)
                .ok_or_else(|| bad("the full policy"))?,
            needs_check,
            metadata_low_water,
        }))
    }
}

impl fmt::Display for PoolState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PoolState::Working(pool) = self else {
            return f.write_str("Fail");
        };
        write!(
            f,
            "{} {}/{} {}/{} ",
            pool.transaction,
            pool.metadata.used,
            pool.metadata.total,
            pool.data.used,
            pool.data.total
        )?;
        match pool.held_root {
            Some(root) => write!(f, "{root}")?,
            None => f.write_str("-")?,
        }
        write!(
            f,
            " {} {} {} {}",
            word_of(&MODES, pool.mode),
            word_of(&DISCARDS, pool.discard),
            word_of(&WHEN_FULL, pool.when_full),
            if pool.needs_check { "needs_check" } else { "-" }
        )?;
        match pool.metadata_low_water {
            Some(mark) => write!(f, " {mark}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_lines_round_trip() {
        for line in [
            "0 111/1024 0/8192 - rw discard_passdown queue_if_no_space - 256",
            "2 112/1024 8192/8192 - out_of_data_space no_discard_passdown error_if_no_space - 256",
            "5 1024/1024 7/8192 12 ro ignore_discard error_if_no_space needs_check 256",
            "5 10/1024 7/8192 - rw discard_passdown queue_if_no_space -",
            "Fail",
        ] {
            assert_eq!(line.parse::<PoolState>().unwrap().to_string(), line);
        }
    }

    #[test]
    fn what_the_kernel_prints_is_understood() {
        // With the blank at the end, as Linux 6.1 prints it.
        let line = "3 112/1024 4096/8192 - rw discard_passdown error_if_no_space - 256 ";
        let PoolState::Working(pool) = line.parse().unwrap() else {
            panic!("not working")
        };
        assert_eq!(
            pool.data,
            Use {
                used: 4096,
                total: 8192
            }
        );
        assert_eq!((pool.data.percent(), pool.metadata.percent()), (50, 10));
        assert_eq!(pool.metadata.free(), 912);
        assert_eq!(pool.when_full, WhenFull::Error);
        assert!(!pool.needs_check);
    }

    #[test]
    fn other_lines_name_the_part() {
        for (line, part) in [
            ("", "metadata root"),
            (
                "x 1/2 3/4 - rw discard_passdown queue_if_no_space - 256",
                "transaction",
            ),
            (
                "1 12 3/4 - rw discard_passdown queue_if_no_space - 256",
                "use of metadata",
            ),
            (
                "1 1/2 3/4 - rx discard_passdown queue_if_no_space - 256",
                "mode",
            ),
            (
                "1 1/2 3/4 - rw discard_passdown queue_if_no_space maybe 256",
                "check",
            ),
        ] {
            let error = line.parse::<PoolState>().unwrap_err().to_string();
            assert!(error.contains(part), "{line:?}: {error}");
        }
    }

    #[test]
    fn an_empty_pool_counts_as_full() {
        assert_eq!(Use { used: 0, total: 0 }.percent(), 100);
        assert_eq!(
            Use {
                used: u64::MAX,
                total: u64::MAX
            }
            .percent(),
            100
        );
    }
}
