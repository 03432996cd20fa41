use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest name of a device-mapper device, in bytes, without the closing NUL (`DM_NAME_LEN`).
const DM_NAME_MAX: usize = 127;
/// Longest layer suffix LVM adds to a device name (`-tpool`, `_tdata`, `-cow`, `_vorigin`, ...).
const SUFFIX_MAX: usize = 10;

/// What a gfid-named LV adds to a device name: a hyphen, 32 digits and four doubled hyphens.
const GFID_LV_LEN: usize = 1 + 32 + 8;

/// Starts of LV names which lvm(8) keeps for itself.
const RESERVED_STARTS: [&str; 2] = ["snapshot", "pvmove"];
/// Parts of LV names which lvm(8) keeps for itself.
const RESERVED_PARTS: [&str; 19] = [
    "_cdata", "_cmeta", "_corig", "_cpool", "_cvol", "_imeta", "_iorig", "_mimage", "_mlog",
    "_pmspare", "_rimage", "_rmeta", "_tdata", "_tmeta", "_vdata", "_vorigin", "_wcorig",
    "_lvmlock", "_tpool",
];

/// Why a text is not a name that LVM can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A character outside `[a-zA-Z0-9+_.-]`, a leading hyphen, `.`, `..`, or nothing at all.
    #[error("{0:?} is not a name for LVM; use letters, digits and + _ . - and no leading hyphen")]
    Characters(String),
    /// A name that LVM gives to its own internal volumes.
    #[error("{0:?} is reserved for internal volumes of LVM")]
    Reserved(String),
    /// The device name made of VG and LV would be longer than the kernel allows.
    #[error("{0:?} is too long for LVM")]
    TooLong(String),
}

fn check_characters(text: &str) -> Result<(), NameError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+_.-".contains(c);
    if text.is_empty()
        || text == "."
        || text == ".."
        || text.starts_with('-')
        || !text.chars().all(allowed)
    {
        return Err(NameError::Characters(text.to_owned()));
    }
    Ok(())
}

/// Length in a device-mapper name, where each hyphen is doubled.
fn dm_len(text: &str) -> usize {
    text.len() + text.matches('-').count()
}

/// The name of a volume group, valid by the rules of lvm(8).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VgName(String);

impl VgName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VgName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<VgName, NameError> {
        check_characters(text)?;
        if dm_len(text) > DM_NAME_MAX - SUFFIX_MAX - GFID_LV_LEN {
            return Err(NameError::TooLong(text.to_owned()));
        }
        Ok(VgName(text.to_owned()))
    }
}

/// The name of a logical volume, valid by the rules of lvm(8).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LvName(String);

impl LvName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name that an image has when its file's name cannot be an LV's name: its gfid.
    pub fn for_gfid(gfid: Gfid) -> LvName {
        LvName(gfid.to_string())
    }

    /// The LV name of an image: the file's own name where LVM can hold it in `vg`, else its gfid.
    ///
    /// A file name that reads like a gfid gets its gfid too, so that it can never take the name
    /// of another image's LV.
    pub fn for_file(file: Option<&str>, gfid: Gfid, vg: &VgName) -> LvName {
        file.and_then(|name| name.parse::<LvName>().ok())
            .filter(|name| name.fits(vg) && name.0.parse::<Gfid>().is_err())
            .unwrap_or_else(|| LvName::for_gfid(gfid))
    }

    /// Whether the device name of this LV in `vg` is short enough for the kernel.
    pub fn fits(&self, vg: &VgName) -> bool {
        dm_len(vg.as_str()) + 1 + dm_len(&self.0) + SUFFIX_MAX <= DM_NAME_MAX
    }
}

impl FromStr for LvName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<LvName, NameError> {
        check_characters(text)?;
        if RESERVED_STARTS.iter().any(|start| text.starts_with(start))
            || RESERVED_PARTS.iter().any(|part| text.contains(part))
        {
            return Err(NameError::Reserved(text.to_owned()));
        }
        if dm_len(text) + SUFFIX_MAX > DM_NAME_MAX {
            return Err(NameError::TooLong(text.to_owned()));
        }
        Ok(LvName(text.to_owned()))
    }
}

/// The identity of a file in a Gluster volume: 16 bytes, the same on every brick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Gfid(Uuid);

impl Gfid {
    /// The gfid of a volume's root directory.
    pub const ROOT: Gfid = Gfid(Uuid::from_u128(1));

    /// A gfid from its 16 bytes, as `inode_t`, `loc_t` and `trusted.gfid` hold them.
    pub fn from_bytes(bytes: [u8; 16]) -> Gfid {
        Gfid(Uuid::from_bytes(bytes))
    }

    /// A fresh random gfid.
    pub fn random() -> Gfid {
        Gfid(Uuid::new_v4())
    }

    /// The gfid that every brick of `volume` gives to the directory `name` below the root.
    pub fn of_top_directory(volume: Uuid, name: &str) -> Gfid {
        Gfid(Uuid::new_v5(&volume, name.as_bytes()))
    }

    /// Where the posix translator keeps the handle of a file, below the directory of its brick: a hard
    /// link to a file, a symbolic link to a directory.
    pub fn handle(&self) -> PathBuf {
        let text = self.to_string();
        let folder = Path::new(".glusterfs").join(&text[0..2]);
        folder.join(&text[2..4]).join(text)
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Whether all bytes are zero, which means "no gfid" to Gluster.
    pub fn is_null(&self) -> bool {
        self.0.is_nil()
    }
}

impl FromStr for Gfid {
    type Err = uuid::Error;

    /// Parses the hyphenated form and no other.
    fn from_str(text: &str) -> Result<Gfid, uuid::Error> {
        uuid::fmt::Hyphenated::from_str(text).map(|h| Gfid(h.into_uuid()))
    }
}

impl fmt::Display for Gfid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The identity of a brick, made once by `gluster-bd brick init` and kept in its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BrickId(Uuid);

impl BrickId {
    /// A fresh random identity.
    pub fn random() -> BrickId {
        BrickId(Uuid::new_v4())
    }
}

impl FromStr for BrickId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<BrickId, uuid::Error> {
        uuid::fmt::Hyphenated::from_str(text).map(|h| BrickId(h.into_uuid()))
    }
}

impl fmt::Display for BrickId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

macro_rules! text_forms {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<$name, NameError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    )*};
}
text_forms!(VgName, LvName);

#[cfg(test)]
mod tests {
    use super::*;

    fn lv_for(file: &str) -> String {
        let gfid = Gfid::from_bytes([7; 16]);
        let vg = "vg0".parse().unwrap();
        LvName::for_file(Some(file), gfid, &vg).to_string()
    }

    #[test]
    fn plain_names_are_kept() {
        for name in ["vm1", ".hidden", "a.b-c+d_e", "A", "a"] {
            assert_eq!(lv_for(name), name);
        }
    }

    #[test]
    fn names_lvm_cannot_hold_become_the_gfid() {
        let gfid = Gfid::from_bytes([7; 16]).to_string();
        let long = "x".repeat(255);
        let umlauts = "ü".repeat(127);
        for name in [
            "-rf",
            "a b",
            "\"",
            "'",
            "x_tdata",
            "snapshot1",
            "pvmove0",
            "é",
            "a/b",
            "a@b",
            "0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f",
            &long,
            &umlauts,
            "a\nb",
            "$(id)",
        ] {
            assert_eq!(lv_for(name), gfid, "{name:?}");
        }
    }

    #[test]
    fn every_gfid_name_fits_every_vg() {
        let vg: VgName = "v".repeat(76).parse().unwrap();
        let name = LvName::for_gfid(Gfid::from_bytes([0xff; 16]));
        assert!(name.fits(&vg), "{}", name);
        assert!("v".repeat(77).parse::<VgName>().is_err());
        assert!("-".parse::<VgName>().is_err());
    }

    #[test]
    fn gfids_round_trip() {
        let gfid = Gfid::random();
        assert_eq!(gfid.to_string().parse(), Ok(gfid));
        assert!("00000000000000000000000000000001".parse::<Gfid>().is_err());
        assert!(Gfid::from_bytes([0; 16]).is_null());
    }
}
