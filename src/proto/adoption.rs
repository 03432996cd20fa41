use bd_model::{Bytes, Gfid, ImageKind, LvName};
use serde::{Deserialize, Serialize};

use crate::BrickInfo;

/// What a brick of the BD translator of GlusterFS 3.5 to 5 holds, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adoption {
    /// What stands against the brick as a whole, and what there is to do; for people.
    pub refused: Vec<String>,
    /// Its images, by their names.
    pub images: Vec<OldImage>,
    /// Volumes that no file leads to.
    pub others: Vec<OldVolume>,
    /// The brick that it is now; none if nothing was changed.
    pub brick: Option<BrickInfo>,
}

impl Adoption {
    /// Whether it can be taken over as it is.
    pub fn fits(&self) -> bool {
        self.refused.is_empty() && self.images.iter().all(|image| image.unfit.is_none())
    }
}

/// An image of an old brick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OldImage {
    /// One of its names, from the root of its volume.
    pub path: String,
    /// Its gfid.
    pub gfid: Option<Gfid>,
    /// Its LV.
    pub lv: Option<LvName>,
    /// Thin or thick, by the LV.
    pub kind: Option<ImageKind>,
    /// The size that it has: that of the LV.
    pub size: Option<Bytes>,
    /// What is to be done; empty if that is done already.
    pub steps: Vec<OldStep>,
    /// What is worth a word; for people.
    pub notes: Vec<String>,
    /// Why it cannot be taken over, and what there is to do; for people.
    pub unfit: Option<String>,
}

/// What is done to make an old image one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OldStep {
    /// The file gets its handle again.
    Handle,
    /// The LV gets the tag with the gfid.
    Tag,
    /// The file gets the LV's size.
    Size,
    /// The mark is written as bricks of ours have it.
    Mark,
}

/// A volume that no file of an old brick leads to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OldVolume {
    /// Its name.
    pub lv: LvName,
    /// Its bytes.
    pub size: Bytes,
    /// What becomes of it; for people.
    pub what: String,
}
