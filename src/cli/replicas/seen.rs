//! What one brick has under a path.

use std::collections::BTreeMap;

use bd_model::xattr;
use gfapi::{FileError, FileKind, Stat, Volume};

/// A file or directory as one brick has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) is_directory: bool,
    /// The last bytes of its gfid.
    pub(super) inode: u64,
    /// Bytes; of a piece, where bricks hold pieces. None for a directory.
    pub(super) size: Option<u64>,
    /// Its mark.
    pub(super) mark: Option<String>,
    /// The brick knows its volume.
    pub(super) has_volume: bool,
    /// Which bricks of the group it says to have missed changes, by their numbers.
    pub(super) blamed: Vec<usize>,
}

/// The paths below `directory`, with what is cheap to know of them.
pub(super) fn walk(files: &Volume, directory: &str) -> Result<BTreeMap<String, Stat>, FileError> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in files.open_directory(&directory)? {
            let entry = entry?;
            if matches!(entry.name.as_str(), "." | "..") {
                continue;
            }
            let path = format!("{directory}/{}", entry.name);
            if entry.stat.kind == FileKind::Directory {
                waiting.push(path.clone());
            }
            found.insert(path, entry.stat);
        }
    }
    Ok(found)
}

/// Looks at one path; none if the brick has nothing there, or only a link of distribution.
pub(super) fn look(
    files: &Volume,
    path: &str,
    blames: &[String],
) -> Result<Option<Seen>, FileError> {
    let stat = match files.stat(path) {
        Ok(stat) => stat,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let ask = |name: &str| match files.getxattr(path, name) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_no_attribute() || error.errno() == libc::EOPNOTSUPP => Ok(None),
        Err(error) => Err(error),
    };
    let is_file = stat.kind == FileKind::Regular;
    if is_file && stat.size == 0 && ask(xattr::DHT_LINKTO)?.is_some() {
        return Ok(None);
    }
    let mut blamed = Vec::new();
    for (number, name) in blames.iter().enumerate() {
        if ask(name)?.is_some_and(|note| note.iter().any(|byte| *byte != 0)) {
            blamed.push(number);
        }
    }
    let mark = if is_file { ask(xattr::IMAGE)? } else { None };
    // All other errors are those of the brick's server, whose absence is told once for the brick.
    let lacks = |error: FileError| error.errno() == libc::EIO;
    let has_volume = mark.is_some() && !files.getxattr(path, xattr::INFO).is_err_and(lacks);
    Ok(Some(Seen {
        is_directory: stat.kind == FileKind::Directory,
        inode: stat.inode,
        size: is_file.then_some(stat.size),
        mark: mark.map(|mark| String::from_utf8_lossy(&mark).into_owned()),
        has_volume,
        blamed,
    }))
}
