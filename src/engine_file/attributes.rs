//! What a file of a store says about itself, in extended attributes: the counterpart of LVM tags.

use std::os::fd::AsFd;
use std::str::FromStr;

use bd_model::{BrickId, Gfid, ImageKind};
use rustix::fs::{XattrFlags, fgetxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;

/// The image a file belongs to.
const GFID: &str = "user.gluster_bd.gfid";
/// The kind of volume a file is.
const KIND: &str = "user.gluster_bd.kind";
/// The image a file is a snapshot of.
const ORIGIN: &str = "user.gluster_bd.origin";
/// By a merge the file is that image's from now on, whatever its own attribute says.
const MERGED: &str = "user.gluster_bd.merged";
/// The file holds what an image was before a merge.
const OUTGOING: &str = "user.gluster_bd.outgoing";
/// On the folder: the brick that has claimed it.
const BRICK: &str = "user.gluster_bd.brick";

/// Longest value: a gfid or brick identity in text form.
const VALUE_MAX: usize = 64;

/// The attributes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    /// The image it belongs to, if it has been adopted.
    pub(super) gfid: Option<Gfid>,
    /// Thin unless it says otherwise.
    pub(super) kind: ImageKind,
    /// The image it is a snapshot of.
    pub(super) origin: Option<Gfid>,
    /// The image that a merge has made it, until that is tidied up.
    pub(super) merged: Option<Gfid>,
    /// It holds what an image was before a merge.
    pub(super) outgoing: bool,
}

impl Attributes {
    /// Reads the attributes of an open file; values that cannot be parsed count as absent.
    pub(super) fn read(file: impl AsFd) -> Result<Attributes, Errno> {
        let file = file.as_fd();
        let kind = match text(file, KIND)?.as_deref() {
            Some("lv") => ImageKind::Thick,
            _ => ImageKind::Thin,
        };
        Ok(Attributes {
            gfid: parsed(file, GFID)?,
            kind,
            origin: parsed(file, ORIGIN)?,
            merged: parsed(file, MERGED)?,
            outgoing: text(file, OUTGOING)?.is_some(),
        })
    }

    /// Writes them to an open file. The gfid comes last, because it is what makes it an image.
    pub(super) fn write(&self, file: impl AsFd) -> Result<(), Errno> {
        let file = file.as_fd();
        let set =
            |name, value: String| fsetxattr(file, name, value.as_bytes(), XattrFlags::empty());
        set(KIND, self.kind.to_string())?;
        match self.origin {
            Some(origin) => set(ORIGIN, origin.to_string())?,
            None => remove(file, ORIGIN)?,
        }
        match self.outgoing {
            true => set(OUTGOING, "1".to_owned())?,
            false => remove(file, OUTGOING)?,
        }
        if let Some(gfid) = self.gfid {
            set(GFID, gfid.to_string())?;
        }
        Ok(())
    }
}

/// Makes an open file the image `origin` by a merge, or ends that state.
pub(super) fn set_merged(file: impl AsFd, origin: Option<Gfid>) -> Result<(), Errno> {
    match origin {
        Some(origin) => {
            let text = origin.to_string();
            fsetxattr(file, MERGED, text.as_bytes(), XattrFlags::empty())
        }
        None => remove(file, MERGED),
    }
}

fn remove(file: impl AsFd, name: &str) -> Result<(), Errno> {
    match fremovexattr(file, name) {
        Err(Errno::NODATA) => Ok(()),
        result => result,
    }
}

/// The brick that has claimed an open folder.
pub(super) fn claim_of(folder: impl AsFd) -> Result<Option<BrickId>, Errno> {
    parsed(folder, BRICK)
}

/// Claims an open folder; [`Errno::EXIST`] if somebody has done so before.
pub(super) fn set_claim(folder: impl AsFd, brick: BrickId) -> Result<(), Errno> {
    fsetxattr(
        folder,
        BRICK,
        brick.to_string().as_bytes(),
        XattrFlags::CREATE,
    )
}

/// Ends the claim on an open folder.
pub(super) fn remove_claim(folder: impl AsFd) -> Result<(), Errno> {
    fremovexattr(folder, BRICK)
}

fn parsed<T: FromStr>(file: impl AsFd, name: &str) -> Result<Option<T>, Errno> {
    Ok(text(file, name)?.and_then(|value| value.parse().ok()))
}

fn text(file: impl AsFd, name: &str) -> Result<Option<String>, Errno> {
    let mut value = [0_u8; VALUE_MAX];
    match fgetxattr(file, name, &mut value[..]) {
        Ok(len) => Ok(Some(String::from_utf8_lossy(&value[..len]).into_owned())),
        Err(Errno::NODATA | Errno::RANGE) => Ok(None),
        Err(errno) => Err(errno),
    }
}
