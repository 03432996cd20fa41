//! Room on the file system of the names that removals can have when it is full.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FallocateFlags, fallocate};

/// Bytes that are kept: many times what an intent takes, and more than a file system hands out at once
/// for inodes.
const SIZE: u64 = 1 << 20;
/// Inodes that are kept: as many as removals may be under way at once.
const INODES: usize = 64;

/// Blocks and inodes that are given back when an image is to be removed and nothing else is left.
#[derive(Debug)]
pub(crate) struct Reserve {
    /// A file that has the blocks.
    blocks: PathBuf,
    /// A folder of empty files.
    inodes: PathBuf,
    is_whole: Mutex<bool>,
}

impl Reserve {
    /// The reserve in `folder`, filled as far as there is room.
    pub(crate) fn load(folder: &Path) -> Reserve {
        let reserve = Reserve {
            blocks: folder.join("reserve"),
            inodes: folder.join("spare-inodes"),
            is_whole: Mutex::new(false),
        };
        reserve.fill();
        reserve
    }

    /// Gives it back to the file system, for what `make` needs.
    pub(crate) fn lend<T>(&self, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        // Nobody takes it again meanwhile.
        let mut is_whole = self.is_whole();
        *is_whole = false;
        for path in (0..INODES).map(|number| self.spare(number)) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let file = File::options().write(true).open(&self.blocks)?;
        file.set_len(0)?;
        file.sync_all()?;
        make()
    }

    /// Takes it again, if it was given back and there is room.
    pub(crate) fn fill(&self) {
        let mut is_whole = self.is_whole();
        if !*is_whole {
            // Without it, removals fail on a full file system, and say so.
            *is_whole = self.take().is_ok();
        }
    }

    fn take(&self) -> io::Result<()> {
        let mut options = File::options();
        options.write(true).create(true).truncate(false);
        let file = options.open(&self.blocks)?;
        fallocate(&file, FallocateFlags::empty(), 0, SIZE)?;
        if !self.inodes.exists() {
            fs::create_dir(&self.inodes)?;
        }
        for number in 0..INODES {
            options.open(self.spare(number))?;
        }
        Ok(())
    }

    fn spare(&self, number: usize) -> PathBuf {
        self.inodes.join(number.to_string())
    }

    fn is_whole(&self) -> MutexGuard<'_, bool> {
        self.is_whole.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn it_is_lent_and_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let held = || {
            let blocks = fs::metadata(folder.path().join("reserve")).unwrap();
            let inodes = fs::read_dir(folder.path().join("spare-inodes")).unwrap();
            (blocks.blocks() * 512 >= SIZE, inodes.count())
        };
        let reserve = Reserve::load(folder.path());
        assert_eq!(held(), (true, INODES));
        for _ in 0..2 {
            assert_eq!(reserve.lend(|| Ok(held())).unwrap(), (false, 0));
        }
        reserve.fill();
        assert_eq!(held(), (true, INODES));
        let nowhere = Reserve::load(&folder.path().join("none"));
        assert!(nowhere.lend(|| Ok(())).is_err());
    }
}
