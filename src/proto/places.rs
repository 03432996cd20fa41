//! Where a file is in a brick, by what the posix translator notes beside it (option gfid2path).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use bd_model::Gfid;
use rustix::fs::{lgetxattr, llistxattr};

/// Start of the names of the attributes that say it.
const PREFIX: &[u8] = b"trusted.gfid2path.";

/// The directories and names of a file of the brick in `dir`; none where nothing is noted, or the file has
/// no name any more.
pub fn places_of(dir: &Path, gfid: Gfid) -> Vec<(Gfid, OsString)> {
    let handle = dir.join(gfid.handle());
    let mut keys = vec![0_u8; 65536];
    let Ok(len) = llistxattr(&handle, keys.as_mut_slice()) else {
        return Vec::new();
    };
    let keys = keys[..len].split(|byte| *byte == 0);
    let place = |key: &[u8]| {
        let mut value = vec![0_u8; 512];
        let len = lgetxattr(&handle, key, value.as_mut_slice()).ok()?;
        let mut value = value.get(..len)?;
        while let [rest @ .., 0] = value {
            value = rest;
        }
        let slash = value.iter().position(|byte| *byte == b'/')?;
        let parent = std::str::from_utf8(&value[..slash]).ok()?.parse().ok()?;
        Some((parent, OsString::from_vec(value[slash + 1..].to_vec())))
    };
    keys.filter(|key| key.starts_with(PREFIX))
        .filter_map(place)
        .collect()
}

/// The paths of a file in its volume. A name whose directory goes at this moment is left out.
pub fn paths_of(dir: &Path, gfid: Gfid) -> Vec<PathBuf> {
    let Ok(top) = dir.canonicalize() else {
        return Vec::new();
    };
    let path = |(parent, name): (Gfid, OsString)| {
        // The handle of a directory is a link that ends in the directory itself.
        let parent = dir.join(parent.handle()).canonicalize().ok()?;
        Some(
            Path::new("/")
                .join(parent.strip_prefix(&top).ok()?)
                .join(name),
        )
    };
    places_of(dir, gfid).into_iter().filter_map(path).collect()
}
