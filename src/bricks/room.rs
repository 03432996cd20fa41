//! Room on the file system of the names.

use std::path::Path;

use bd_model::Bytes;
use bd_proto::{Finding, FindingKind};

use super::attributes::Mark;
use super::namespace::Stub;

/// Free bytes that are enough, however large the file system is.
const ENOUGH: Bytes = Bytes(256 << 20);

/// How much there is, and how much of that is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// All of it.
    pub total: Bytes,
    /// What nobody has taken.
    pub free: Bytes,
}

impl Room {
    /// The room of the file system that `dir` is on; `None` if it cannot be told.
    pub fn of(dir: &Path) -> Option<Room> {
        let system = rustix::fs::statvfs(dir).ok()?;
        let bytes = |blocks: u64| Bytes(blocks.saturating_mul(system.f_frsize));
        Some(Room {
            total: bytes(system.f_blocks),
            free: bytes(system.f_bavail),
        })
    }

    /// Whether less is free than a brick leaves alone.
    fn is_scarce(self) -> bool {
        self.free < Bytes((self.total.0 / 20).min(ENOUGH.0))
    }

    /// Says that room is scarce, and what gives more.
    pub(super) fn finding(self, dir: &Path) -> Option<Finding> {
        self.is_scarce().then(|| Finding {
            kind: FindingKind::NamesFull,
            gfid: None,
            message: format!(
                "the file system of {} holds the names of images and has {} of {} left: when it is full, \
                 no image can be made; move large plain files elsewhere, or grow it (lvextend -r)",
                dir.display(),
                self.free,
                self.total
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
        let scarce = |total: u64, free: u64| {
            let (total, free) = (Bytes(total << 20), Bytes(free << 20));
            Room { total, free }.is_scarce()
        };
        assert!(scarce(1000, 49) && !scarce(1000, 50));
        assert!(scarce(100_000, 255) && !scarce(100_000, 256));
        assert!(Room::of(Path::new("/proc/self/nothere")).is_none());
        assert!(Room::of(Path::new("/")).unwrap().total.0 > 0);
    }
}
