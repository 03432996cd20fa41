//! Room on the file system of the names that removals can have when it is full.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, fallocate};

/// Bytes that are kept: many times what an intent takes, and more than a file system hands out at once
/// for inodes.
const SIZE: u64 = 1 << 20;

/// A file whose blocks are given back when an image is to be removed and nothing else is left.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    is_whole: AtomicBool,
}

impl Reserve {
    /// The reserve in `folder`, filled as far as there is room.
    pub(crate) fn load(folder: &Path) -> Reserve {
        let reserve = Reserve {
            path: folder.join("reserve"),
            is_whole: AtomicBool::new(false),
        };
        reserve.fill();
        reserve
    }

    /// Gives it back to the file system.
    pub(crate) fn spend(&self) -> std::io::Result<()> {
        self.is_whole.store(false, Ordering::Release);
        let file = File::options().write(true).open(&self.path)?;
        file.set_len(0)?;
        file.sync_all()
    }

    /// Takes it again, if it was given back and there is room.
    pub(crate) fn fill(&self) {
        if self.is_whole.load(Ordering::Acquire) {
            return;
        }
        let mut options = File::options();
        options.write(true).create(true).truncate(false);
        let filled = options.open(&self.path).and_then(|file| {
            let kept = fallocate(&file, FallocateFlags::empty(), 0, SIZE);
            Ok(kept?)
        });
        // Without it, removals fail on a full file system, and say so.
        self.is_whole.store(filled.is_ok(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn it_is_spent_and_filled_again() {
        let folder = tempfile::tempdir().unwrap();
        let blocks = || {
            std::fs::metadata(folder.path().join("reserve"))
                .unwrap()
                .blocks()
                * 512
        };
        let reserve = Reserve::load(folder.path());
        assert!(blocks() >= SIZE);
        reserve.spend().unwrap();
        assert_eq!(blocks(), 0);
        reserve.fill();
        assert!(blocks() >= SIZE);
        assert!(Reserve::load(&folder.path().join("none")).spend().is_err());
    }
}
