use bd_model::Gfid;
use serde::{Deserialize, Serialize};

/// Something that a check found wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// For programs.
    pub kind: FindingKind,
    /// The image it is about, if it is known.
    pub gfid: Option<Gfid>,
    /// For people: the object, what is wrong with it, and what mends it.
    pub message: String,
    /// Whether it was mended just now.
    #[serde(default)]
    pub repaired: bool,
}

impl Finding {
    /// Whether it is out of order but harms nobody.
    pub fn is_advice(&self) -> bool {
        matches!(
            self.kind,
            FindingKind::Name
                | FindingKind::NotShown
                | FindingKind::KeptForSnapshots
                | FindingKind::LargeFile
        )
    }
}

/// The kinds of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A stub says it is an image, but there is no volume of its gfid.
    NoVolume,
    /// A volume has a gfid, but there is no stub of it.
    NoStub,
    /// A volume has no gfid and is not shown as a file, because other bricks have the same files.
    NotShown,
    /// A stub that says it is an image has no name, or a name has no handle.
    NoName,
    /// The volume cannot hold the bytes that the stub's size promises.
    TooSmall,
    /// The stub says another kind than the volume is of.
    Kind,
    /// The volume of an image in the top image directory bears another name than the file; names
    /// are for people only.
    Name,
    /// The mark of a stub cannot be read.
    Mark,
    /// The policy of a directory cannot be read.
    Policy,
    /// The destination of a clone or snapshot that was never finished.
    Pending,
    /// An operation on an image was begun and not ended.
    Intent,
    /// The volume of a removed image stays as long as copy-on-write snapshots of it need it.
    KeptForSnapshots,
    /// The file system of the names is nearly full.
    NamesFull,
    /// A plain file takes much of the file system of the names.
    LargeFile,
    /// The thin pool has devices that no LV of the group has, and that LVM would take for new ones.
    StrayDevice,
}
