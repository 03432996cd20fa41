//! What is mounted where.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::sh::cmd;

/// Mount points at or below `dir`, in the order they were mounted.
pub(crate) fn below(dir: &Path) -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mounts").context("cannot read the mounts")?;
    Ok(table
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(|path| PathBuf::from(path.replace("\\040", " ")))
        .filter(|path| path.starts_with(dir))
        .collect())
}

/// Unmounts `path` if something is mounted there; lazily where the server of a FUSE mount died.
pub(crate) fn unmount(path: &Path) -> Result<()> {
    while below(path)?.iter().any(|mount| mount == path) {
        let target = path.to_string_lossy().into_owned();
        if cmd("umount", &[&target])?.code != 0 {
            cmd("umount", &["-l", &target])?.ok()?;
        }
    }
    Ok(())
}
