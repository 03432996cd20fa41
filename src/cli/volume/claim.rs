//! What a `gluster volume create` that failed leaves on bricks: glusterd marks each for the new volume
//! before it has asked all hosts, and takes no brick afterwards that has such a mark.

use std::fs;
use std::path::Path;

use bd_proto::BrickInfo;
use rustix::fs::{getxattr, removexattr};
use rustix::io::Errno;
use uuid::Uuid;

use crate::CliError;

/// The mark: the volume that a directory is a brick of.
const MARK: &str = "trusted.glusterfs.volume-id";
/// What posix gives to the root of a brick when it serves for the first time.
const SERVED: &str = "trusted.gfid";
/// Where glusterd keeps its volumes.
const VOLUMES: &str = "/var/lib/glusterd/vols";

/// The volume that a directory is marked for.
pub(super) fn mark_of(dir: &Path) -> Result<Option<Uuid>, CliError> {
    let mut value = [0; 16];
    match attribute(dir, MARK, &mut value)? {
        Some(16) => Ok(Some(Uuid::from_bytes(value))),
        _ => Ok(None),
    }
}

/// Takes the mark off.
pub(super) fn unmark(dir: &Path) -> Result<(), CliError> {
    match removexattr(dir, MARK) {
        Ok(()) | Err(Errno::NODATA) => Ok(()),
        Err(errno) => Err(failed(dir, errno)),
    }
}

/// Takes the mark off a brick of ours that has served no volume, where no volume of this host's glusterd has
/// that identity. Says what was done.
pub(crate) fn forget_failed(dir: &Path, brick: &BrickInfo) -> Result<Option<String>, CliError> {
    forget(dir, brick.volume.is_none(), Path::new(VOLUMES))
}

fn forget(dir: &Path, has_no_volume: bool, volumes: &Path) -> Result<Option<String>, CliError> {
    let Some(volume) = mark_of(dir)? else {
        return Ok(None);
    };
    let served = attribute(dir, SERVED, &mut [0; 64])?.is_some();
    if served || !has_no_volume || is_known(volume, volumes)? {
        return Ok(None);
    }
    unmark(dir)?;
    Ok(Some(format!(
        "{} is free for a volume again: the one that it was marked for, {volume}, was never made",
        dir.display()
    )))
}

/// Whether a volume of that identity is there; where glusterd keeps nothing, it may be elsewhere.
fn is_known(volume: Uuid, volumes: &Path) -> Result<bool, CliError> {
    let line = format!("volume-id={volume}");
    let Ok(entries) = fs::read_dir(volumes) else {
        return Ok(true);
    };
    for entry in entries {
        let info = entry?.path().join("info");
        match fs::read_to_string(&info) {
            Ok(text) if text.lines().any(|found| found == line) => return Ok(true),
            Ok(_) => {}
            // One that is just being made or removed.
            Err(_) => return Ok(true),
        }
    }
    Ok(false)
}

fn attribute(dir: &Path, name: &str, value: &mut [u8]) -> Result<Option<usize>, CliError> {
    match getxattr(dir, name, value) {
        Ok(size) => Ok(Some(size)),
        Err(Errno::NODATA | Errno::NOENT | Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(failed(dir, errno)),
    }
}

fn failed(dir: &Path, errno: Errno) -> CliError {
    CliError::Path {
        path: dir.display().to_string(),
        source: errno.into(),
    }
}
