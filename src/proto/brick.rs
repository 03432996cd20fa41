//! Bricks: what they are made of, and what is known of them.

use std::path::PathBuf;

use bd_model::{BrickId, Bytes, ImageKind, LvName, VgName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a new brick shall be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrickSpec {
    /// The brick directory; must exist, on a file system with extended attributes.
    pub dir: PathBuf,
    /// Where images live.
    pub engine: EngineSpec,
    /// Name of the top image directory; the VG's or store's name if not given.
    pub top: Option<String>,
    /// Whether LVs that exist already appear as files.
    pub adopt: bool,
}

/// Where images live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineSpec {
    /// On logical volumes.
    Lvm {
        /// The volume group.
        vg: VgName,
        /// The thin pool; without one, images are thick.
        pool: Option<LvName>,
    },
    /// In sparse files of a folder, for hosts without device-mapper.
    File {
        /// The folder.
        store: PathBuf,
    },
}

/// What a brick is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrickInfo {
    /// Its identity.
    pub id: BrickId,
    /// Where its images live.
    pub engine: EngineSpec,
    /// Name of the top image directory, directly below the brick's root.
    pub top: String,
    /// The kind of image that its top image directory makes.
    pub kind: ImageKind,
    /// The allocation unit of LVs, in bytes.
    pub extent_size: Bytes,
    /// Whether LVs that exist already appear as files.
    pub adopt: bool,
    /// The Gluster volume that it belongs to, once that has attached it.
    pub volume: Option<Uuid>,
}

/// A brick that was not taken when it asked for it last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusedBrick {
    /// Its directory.
    pub dir: PathBuf,
    /// Why, for people.
    pub why: String,
}

/// A brick that is one no more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Released {
    /// What it was.
    pub brick: BrickInfo,
    /// LVs of its images, which are still there.
    pub kept: Vec<LvName>,
}

/// Space of a brick, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Space {
    /// All of it.
    pub total: Bytes,
    /// What can still be written.
    pub free: Bytes,
    /// What belongs to no volume: thick images can have it.
    pub unclaimed: Bytes,
}
