use bd_model::{Bytes, Gfid, xattr};
use gfapi::{FileKind, Stat};
use serde::Serialize;

use super::path::{join, parent};
use super::session::Session;
use crate::CliError;

/// An image as its directory shows it: no server of LVM is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Listed {
    /// The path within the volume.
    pub(crate) path: String,
    /// Bytes of the file.
    pub(crate) size: Bytes,
    /// Bytes that are allocated to it.
    pub(crate) allocated: Bytes,
    /// Time of the last write, in seconds since 1970.
    pub(crate) modified: u64,
}

/// A directory of GlusterFS's own in each volume.
const TRASH: &str = "/.trashcan";

impl Session {
    /// The images below `directory`, or below all image directories at the root.
    pub(crate) fn images(&self, directory: Option<&str>) -> Result<Vec<Listed>, CliError> {
        let mut waiting = match directory {
            Some(directory) => vec![directory.to_owned()],
            None => self.tops()?,
        };
        waiting.reverse();
        let mut images = Vec::new();
        while let Some(directory) = waiting.pop() {
            // In such a directory every file is an image; elsewhere each must be asked.
            let all = self
                .policy(&directory)?
                .is_some_and(|policy| policy.image_from.0 == 0);
            let mut below = Vec::new();
            for entry in self.directory(&directory)? {
                let path = join(&directory, &entry.name);
                match entry.stat.kind {
                    FileKind::Directory => below.push(path),
                    FileKind::Regular if all || self.attribute(&path, xattr::IMAGE)?.is_some() => {
                        images.push(listed(path, &entry.stat));
                    }
                    FileKind::Regular | FileKind::Symlink | FileKind::Other => {}
                }
            }
            waiting.extend(below.into_iter().rev());
        }
        Ok(images)
    }
}

impl Session {
    /// All that is in the volume and is no directory, but what Gluster keeps there for itself.
    pub(crate) fn files_of_all(&self) -> Result<Vec<String>, CliError> {
        let mut waiting = vec!["/".to_owned()];
        let mut found = Vec::new();
        while let Some(directory) = waiting.pop() {
            for entry in self.directory(&directory)? {
                let path = join(&directory, &entry.name);
                match entry.stat.kind {
                    FileKind::Directory if path == TRASH => {}
                    FileKind::Directory => waiting.push(path),
                    FileKind::Regular | FileKind::Symlink | FileKind::Other => found.push(path),
                }
            }
        }
        Ok(found)
    }

    /// The path of a file by its identity: looked for in the directory of `near` first, then in
    /// the whole volume.
    pub(crate) fn path_of_gfid(&self, near: &str, gfid: Gfid) -> Result<String, CliError> {
        let [.., a, b, c, d, e, f, g, h] = *gfid.as_bytes();
        let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let mut waiting = vec!["/".to_owned(), parent(near).to_owned()];
        while let Some(directory) = waiting.pop() {
            for entry in self.directory(&directory)? {
                let path = join(&directory, &entry.name);
                match entry.stat.kind {
                    FileKind::Regular if entry.stat.inode == number => return Ok(path),
                    FileKind::Directory => waiting.push(path),
                    _ => {}
                }
            }
        }
        Err(CliError::NotFound(format!(
            "no name in volume {} belongs to image {gfid}",
            self.name
        )))
    }
}

fn listed(path: String, stat: &Stat) -> Listed {
    let modified = stat
        .modified
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    Listed {
        path,
        size: Bytes(stat.size),
        allocated: Bytes(stat.allocated),
        modified,
    }
}
