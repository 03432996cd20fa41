//! What the extended attributes of files and directories say.

use std::fs::File;
use std::path::Path;

use bd_model::{DirPolicy, Gfid, ImageKind, ImageMark, xattr};
use bd_proto::{Fault, FaultKind};
use rustix::fs::{SeekFrom, lgetxattr, seek};
use rustix::io::Errno;

/// Where the posix translator keeps a file's gfid.
const TRUSTED_GFID: &str = "trusted.gfid";

/// What the mark of a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It has none: a plain file.
    Plain,
    /// The destination of a copy that is not finished.
    Pending,
    /// It is an image.
    Image(ImageKind),
    /// Something this version cannot read; nothing may be undone on the strength of it.
    Unknown(String),
}

pub(crate) fn has_data(path: &Path) -> Result<bool, Fault> {
    let file = File::open(path).map_err(|error| failed("open", path, &error))?;
    match seek(&file, SeekFrom::Data(0)) {
        Ok(_) => Ok(true),
        Err(Errno::NXIO) => Ok(false),
        Err(errno) => Err(failed("look for data in", path, &errno)),
    }
}

/// The gfid of the file or directory at `path`.
pub(crate) fn gfid_of(path: &Path) -> Result<Option<Gfid>, Fault> {
    let mut bytes = [0; 16];
    match lgetxattr(path, TRUSTED_GFID, &mut bytes[..]) {
        Ok(16) => Ok(Some(Gfid::from_bytes(bytes))),
        Ok(_) | Err(Errno::NODATA | Errno::NOENT | Errno::RANGE) => Ok(None),
        Err(errno) => Err(failed("read the gfid of", path, &errno)),
    }
}

/// What a directory says of new files in it.
pub(super) enum Policy {
    /// They are plain.
    None,
    /// They are images like this.
    Known(DirPolicy),
    /// Something this version cannot read.
    Unknown,
}

/// The policy of the directory at `path`.
pub(super) fn policy_of(path: &Path) -> Result<Policy, Fault> {
    let mut value = [0_u8; 256];
    match lgetxattr(path, xattr::DIR, &mut value[..]) {
        Ok(len) => Ok(DirPolicy::read(&value[..len]).map_or(Policy::Unknown, Policy::Known)),
        Err(Errno::NODATA) => Ok(Policy::None),
        Err(Errno::RANGE) => Ok(Policy::Unknown),
        Err(errno) => Err(failed("read the policy of", path, &errno)),
    }
}

/// The mark of the file at `path`.
pub(crate) fn mark_of(path: &Path) -> Result<Mark, Fault> {
    let mut value = [0_u8; 128];
    let text = match lgetxattr(path, xattr::IMAGE, &mut value[..]) {
        Ok(len) => String::from_utf8_lossy(&value[..len]),
        Err(Errno::NODATA) => return Ok(Mark::Plain),
        Err(Errno::RANGE) => return Ok(Mark::Unknown("something very long".into())),
        Err(errno) => return Err(failed("read the mark of", path, &errno)),
    };
    Ok(match text.trim_end_matches('\0').parse() {
        Ok(ImageMark::Image { kind, .. }) => Mark::Image(kind),
        Ok(ImageMark::Pending { .. }) => Mark::Pending,
        Err(_) => Mark::Unknown(text.into_owned()),
    })
}

/// What could not be done to a file or directory, and why.
pub(crate) fn failed(verb: &str, path: &Path, error: &dyn std::fmt::Display) -> Fault {
    let kind = FaultKind::Failed;
    Fault::new(kind, format!("cannot {verb} {}: {error}", path.display()))
}
