//! Two clients that want the same snapshot at the same moment, one of them to merge it.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::libc;

use super::{at_once, make, read};

/// How often each pair of acts meets.
const ROUNDS: u64 = 8;
/// What the origin, the snapshot and the third file hold.
const OLD: u64 = 1;
const NEW: u64 = 2;
const THIRD: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Merge,
    Unlink,
    /// Gives the snapshot another name.
    Rename,
    /// Puts a third file in its place.
    Replace,
}

pub(super) fn merge(snapshot: &Path) -> io::Result<()> {
    let flags = rustix::fs::XattrFlags::empty();
    Ok(rustix::fs::setxattr(snapshot, "merge", b"1", flags)?)
}

/// `snapshot` is the file itself, whatever its name.
fn perform(top: &Path, act: Act, snapshot: &File) -> Result<(), i32> {
    let at = |name: &str| top.join(name);
    let ended = match act {
        Act::Merge => merge(&PathBuf::from(format!(
            "/proc/self/fd/{}",
            snapshot.as_raw_fd()
        ))),
        Act::Unlink => fs::remove_file(at("snap")),
        Act::Rename => fs::rename(at("snap"), at("other")),
        Act::Replace => fs::rename(at("third"), at("snap")),
    };
    ended.map_err(|error| error.raw_os_error().unwrap_or_default())
}

/// Whether somebody was told that it is not there any more, or that somebody else is at work on it.
fn is_lost(end: Result<(), i32>) -> bool {
    matches!(end, Err(libc::ENOENT | libc::ESTALE | libc::EBUSY))
}

fn holds(path: &Path) -> Result<Option<u64>> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.with_context(|| path.display().to_string()),
    }
}

fn meet(tops: &[PathBuf], act: Act) -> Result<()> {
    let at = |name: &str| tops[0].join(name);
    make(&at("base"), OLD)?;
    symlink("base", at("snap"))?;
    fs::write(at("snap"), format!("{NEW:08}"))?;
    make(&at("third"), THIRD)?;
    let held = |top: &PathBuf| {
        let mut options = File::options();
        let options = options.read(true).custom_flags(libc::O_PATH);
        options.open(top.join("snap"))
    };
    let snapshots = [held(&tops[0])?, held(&tops[1])?];
    let ends = at_once(&tops[..2], &[vec![Act::Merge], vec![act]], |top, act| {
        perform(top, act, &snapshots[usize::from(top != tops[0])])
    });
    let (merged, other) = (ends[0][0].1, ends[1][0].1);
    let (done, wanted) = (merged.is_ok(), other.is_ok());
    ensure!(done || is_lost(merged), "{ends:?}");
    ensure!(wanted || is_lost(other), "{ends:?}");
    match act {
        Act::Merge | Act::Unlink => ensure!(done != wanted, "{ends:?}"),
        // It is the file that is merged, whatever its name.
        Act::Rename => ensure!(done, "{ends:?}"),
        Act::Replace => ensure!(done || wanted, "{ends:?}"),
    }
    let is_new = done || act == Act::Merge;
    let base = if is_new { NEW } else { OLD };
    let snap = (act == Act::Replace && wanted).then_some(THIRD);
    let third = (act != Act::Replace || !wanted).then_some(THIRD);
    for (name, is) in [
        ("base", Some(base)),
        ("snap", snap),
        ("third", third),
        ("other", None),
    ] {
        let found = holds(&at(name))?;
        ensure!(found == is, "{ends:?}: {name} is {found:?}, not {is:?}");
    }
    Ok(())
}

/// Every pair of acts, again and again.
pub(super) fn are_told_of_once(tops: &[PathBuf]) -> Result<()> {
    for round in 0..ROUNDS {
        for act in [Act::Merge, Act::Unlink, Act::Rename, Act::Replace] {
            meet(tops, act).with_context(|| format!("round {round}, {act:?}"))?;
            for name in ["base", "snap", "third", "other"] {
                match fs::remove_file(tops[0].join(name)) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => removed.with_context(|| name.to_owned())?,
                }
            }
        }
    }
    Ok(())
}
