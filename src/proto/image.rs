//! Images: how they are copied, and what is known of them.

use std::path::PathBuf;

use bd_model::{Bytes, Gfid, ImageKind, LvName};
use serde::{Deserialize, Serialize};

/// How an image is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyHow {
    /// A full clone, which ends up sharing nothing with its source.
    Clone,
    /// A snapshot, which goes on sharing blocks with its origin.
    Snapshot,
}

/// What is known of one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// The image.
    pub gfid: Gfid,
    /// Its LV (or file of the store).
    pub lv: LvName,
    /// Thin or thick.
    pub kind: ImageKind,
    /// Bytes the LV holds, in whole extents; the image's own size is that of its stub.
    pub lv_size: Bytes,
    /// Bytes that are allocated to it alone or shared with others.
    pub allocated: Bytes,
    /// The thin pool.
    pub pool: Option<LvName>,
    /// The LV that it is a snapshot of.
    pub origin: Option<LvName>,
    /// The image that it is a snapshot of.
    #[serde(default)]
    pub origin_image: Option<Gfid>,
}

/// What an image has read, written and allocated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageUsage {
    /// The directory of its brick.
    pub brick: PathBuf,
    /// The image.
    pub gfid: Gfid,
    /// Its LV (or file of the store).
    pub lv: LvName,
    /// Bytes that are allocated to it, alone or shared; `None` while it is not active.
    pub allocated: Option<Bytes>,
    /// What was done to it; `None` while it is not active, or where nobody counts.
    pub io: Option<IoCounters>,
}

/// What was done to a device since it was activated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoCounters {
    /// Reads that have ended.
    pub reads: u64,
    /// Bytes of them.
    pub read: Bytes,
    /// Writes that have ended.
    pub writes: u64,
    /// Bytes of them.
    pub written: Bytes,
}

/// How to use the descriptor of an opened image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// The image.
    pub image: ImageInfo,
    /// Alignment of direct I/O on the device, in bytes; a power of two.
    pub block_size: u32,
    /// Alignment of discards that free space, in bytes; zero if the device has no discard.
    pub discard_granularity: u64,
}

/// An LV that should appear as a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Foreign {
    /// The LV.
    pub lv: LvName,
    /// The image it belonged to, if its tag says so.
    pub gfid: Option<Gfid>,
    /// Thin or thick.
    pub kind: ImageKind,
    /// Its bytes.
    pub size: Bytes,
}
