//! Room on the file system of the names.

use std::path::Path;

use bd_model::Bytes;
use bd_proto::{Finding, FindingKind};

use super::attributes::Mark;
use super::namespace::Stub;

/// Free bytes that are enough, however large the file system is.
const ENOUGH: Bytes = Bytes(256 << 20);
/// As many images can be made with these: each takes an inode, and up to two for the folders of its handle.
const ENOUGH_INODES: u64 = 10_000;

/// How much there is, and how much of that is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// All of it.
    pub total: Bytes,
    /// What nobody has taken.
    pub free: Bytes,
    /// All inodes; zero where there is no limit.
    pub inodes: u64,
    /// Inodes that nobody has taken.
    pub free_inodes: u64,
}

impl Room {
    /// The room of the file system that `dir` is on; `None` if it cannot be told.
    pub fn of(dir: &Path) -> Option<Room> {
        let system = rustix::fs::statvfs(dir).ok()?;
        let bytes = |blocks: u64| Bytes(blocks.saturating_mul(system.f_frsize));
        Some(Room {
            total: bytes(system.f_blocks),
            free: bytes(system.f_bavail),
            inodes: system.f_files,
            free_inodes: system.f_favail,
        })
    }

    /// Whether less is free than a brick leaves alone.
    fn is_scarce(self) -> bool {
        self.free < Bytes((self.total.0 / 20).min(ENOUGH.0))
    }

    /// As [`Room::is_scarce`], of inodes.
    fn has_few_inodes(self) -> bool {
        self.free_inodes < (self.inodes / 20).min(ENOUGH_INODES)
    }

    /// Whether what is full is the number of files.
    pub(super) fn has_no_inodes(self) -> bool {
        self.inodes > 0 && self.free_inodes == 0
    }

    /// Says that room is scarce, and what gives more.
    pub(super) fn finding(self, dir: &Path) -> Option<Finding> {
        let (left, cure) = match (self.is_scarce(), self.has_few_inodes()) {
            (true, _) => (
                format!("{} of {}", self.free, self.total),
                "move large plain files elsewhere",
            ),
            (false, true) => (
                format!("{} of {} inodes", self.free_inodes, self.inodes),
                "move plain files elsewhere",
            ),
            (false, false) => return None,
        };
        Some(Finding {
            kind: FindingKind::NamesFull,
            gfid: None,
            message: format!(
                "the file system of {} holds the names of images and has {left} left: when it is full, \
                 no image can be made; {cure}, or grow it (lvextend -r)",
                dir.display()
            ),
            repaired: false,
        })
    }

    /// Whether a file is a plain one that takes much of the room.
    pub(super) fn is_much(self, stub: &Stub) -> bool {
        stub.mark == Mark::Plain && stub.allocated.0 > self.total.0 / 10
    }

    /// Says so of a file; `path` is where it is in its volume.
    pub(super) fn of_plain(self, stub: &Stub, path: &Path) -> Finding {
        Finding {
            kind: FindingKind::LargeFile,
            gfid: None,
            message: format!(
                "{} is a plain file that takes {} of the {} for names; to make it an image: setfattr \
                 -n user.glusterfs.bd -v thin FILE (or lv)",
                path.display(),
                stub.allocated,
                self.total
            ),
            repaired: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_or_enough_is_left_alone() {
        let room = |total: u64, free: u64| Room {
            total: Bytes(total << 20),
            free: Bytes(free << 20),
            inodes: total,
            free_inodes: free,
        };
        let scarce = |total, free| room(total, free).is_scarce();
        assert!(scarce(1000, 49) && !scarce(1000, 50));
        assert!(scarce(100_000, 255) && !scarce(100_000, 256));
        let few = |total, free| room(total, free).has_few_inodes();
        assert!(few(1000, 49) && !few(1000, 50) && !few(0, 0));
        assert!(few(1_000_000, 9_999) && !few(1_000_000, 10_000));
        assert!(room(1, 0).has_no_inodes() && !room(0, 0).has_no_inodes());
        assert!(Room::of(Path::new("/proc/self/nothere")).is_none());
        assert!(Room::of(Path::new("/")).unwrap().total.0 > 0);
    }
}
