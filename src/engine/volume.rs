use std::os::fd::OwnedFd;

use bd_model::{Bytes, Gfid, ImageKind, LvName};
use bd_proto::IoCounters;

/// A volume of an engine: an LV, or a file of a store.
#[derive(Clone, Debug, PartialEq)]
pub struct BackingVolume {
    /// Its name.
    pub name: LvName,
    /// The image it belongs to; `None` for volumes that nobody has adopted.
    pub gfid: Option<Gfid>,
    /// Thin or thick.
    pub kind: ImageKind,
    /// Bytes it holds, in whole extents.
    pub size: Bytes,
    /// Bytes allocated to it, alone or shared.
    pub allocated: Bytes,
    /// Its thin pool.
    pub pool: Option<LvName>,
    /// The volume it is a snapshot of.
    pub origin: Option<LvName>,
    /// The image that it is a snapshot of.
    pub origin_image: Option<Gfid>,
    /// It holds what an image was before a merge; its own image, the snapshot, is gone or goes.
    pub outgoing: bool,
}

/// A volume, whoever it belongs to, and what keeps it from becoming an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The volume.
    pub volume: BackingVolume,
    /// Somebody has it mounted or open.
    pub open: bool,
    /// It is not for images: an admin has hidden it, or it serves a copy.
    pub hidden: bool,
}

/// What an image's volume has seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Used {
    /// The image.
    pub gfid: Gfid,
    /// Its volume's name.
    pub name: LvName,
    /// Bytes allocated to it, alone or shared, where that is known.
    pub allocated: Option<Bytes>,
    /// What was read and written since it was activated, where somebody counts.
    pub io: Option<IoCounters>,
}

/// A volume that is open for I/O.
#[derive(Debug)]
pub struct OpenVolume {
    /// The volume.
    pub volume: BackingVolume,
    /// Open for reading, writing and direct I/O.
    pub fd: OwnedFd,
    /// Alignment of direct I/O in bytes; a power of two.
    pub block_size: u32,
    /// Alignment of discards that free space, in bytes; zero where there is no discard.
    pub discard_granularity: u64,
}

/// What a removal came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// The volume is gone.
    Gone,
    /// There was no such volume.
    AlreadyGone,
    /// Others depend on it or have it open; it must be tried again later.
    Deferred(String),
}
