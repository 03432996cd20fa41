use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// A file that one process at a time has locked, and which says who.
///
/// The kernel ends the lock with the process, however that dies.
#[derive(Debug)]
pub struct LockFile {
    /// Open for as long as the lock is held.
    _file: File,
}

/// Why a lock was not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{} is locked by the process {pid}; stop that one first", path.display())]
    Held {
        /// The file.
        path: PathBuf,
        /// What the holder wrote into it: its process id.
        pid: String,
    },
    /// The file could not be made or locked.
    #[error("cannot lock {}: {source}", path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl LockFile {
    /// Locks `path`, making it if need be, or says who has it.
    pub fn acquire(path: &Path) -> Result<LockFile, LockError> {
        let system = |source| LockError::System {
            path: path.to_owned(),
            source,
        };
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(system)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).map_err(system)?;
                return Err(LockError::Held {
                    path: path.to_owned(),
                    pid: pid.trim().to_owned(),
                });
            }
            Err(errno) => return Err(system(errno.into())),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(system)?;
        Ok(LockFile { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_with_the_name_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = LockFile::acquire(&path).unwrap();
        let message = LockFile::acquire(&path).unwrap_err().to_string();
        assert!(
            message.contains(&std::process::id().to_string()),
            "{message}"
        );
        drop(first);
        LockFile::acquire(&path).unwrap();
    }
}
