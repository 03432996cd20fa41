//! What a name leads to, which another client may have changed since this one looked.

use std::ffi::CStr;
use std::sync::Arc;

use bd_model::Gfid;
use glusterfs::fops::{Lookup, LookupArgs, LookupReply};
use glusterfs::{Errno, FileType, Fop, Frame, Inode, Loc};

use crate::Brick;
use crate::Image;
use crate::inode_state::Kind;
use crate::name_locks::{Name, of_file};

/// The file that a name leads to.
pub(crate) struct Named {
    gfid: [u8; 16],
    pub(crate) inode: Inode<'static>,
    pub(crate) image: Option<Arc<Image>>,
}

impl Named {
    /// A file which is that image.
    pub(crate) fn image(inode: Inode<'static>, image: Arc<Image>) -> Named {
        Named {
            gfid: *image.gfid().as_bytes(),
            inode,
            image: Some(image),
        }
    }

    pub(crate) fn gfid(&self) -> Gfid {
        Gfid::from_bytes(self.gfid)
    }

    /// What the client takes it for.
    pub(crate) fn as_asked<F: Fop>(
        brick: &Brick,
        frame: &Frame<F>,
        loc: &Loc<'_>,
    ) -> Result<Option<Named>, Errno> {
        let Some(inode) = loc.inode().filter(|inode| inode.gfid() != [0; 16]) else {
            return Ok(None);
        };
        let image = match brick.image_of(frame, &inode) {
            Ok(image) => image,
            // Another client has removed it. What has the name now is seen before posix is asked.
            Err(Errno::ENOENT | Errno::ESTALE) => None,
            Err(errno) => return Err(errno),
        };
        Ok(Some(Named {
            gfid: inode.gfid(),
            inode: inode.share(),
            image,
        }))
    }

    /// What it is now.
    pub(crate) fn as_is<F: Fop>(
        brick: &Brick,
        frame: &Frame<F>,
        loc: &Loc<'_>,
    ) -> Result<Option<Named>, Errno> {
        let Some((found, fresh)) = look(frame, loc)? else {
            return Ok(None);
        };
        let gfid = found.buf.gfid();
        let inode = fresh.find(gfid).unwrap_or(fresh);
        let image = match found.buf.file_type() {
            FileType::Regular => match brick.kind_of(frame, &inode, gfid)? {
                Kind::Image(image) => Some(image),
                Kind::Unknown | Kind::Plain | Kind::Pending => None,
            },
            _ => None,
        };
        Ok(Some(Named { gfid, inode, image }))
    }

    /// Whether the name leads to it, or to nothing where nothing is expected. Ask with the turn of the
    /// name ([`NameLocks`](crate::name_locks::NameLocks)) in hand.
    pub(crate) fn is_at<F: Fop>(
        this: Option<&Named>,
        frame: &Frame<F>,
        loc: &Loc<'_>,
    ) -> Result<bool, Errno> {
        let found = look(frame, loc)?.map(|(found, _)| found.buf.gfid());
        Ok(found == this.map(|named| named.gfid))
    }

    /// Whether a file that is taken for no image is none still: a copy may have been made into it, or its own
    /// bytes put onto an LV. Ask with its turn ([`of_file`]) in hand.
    pub(crate) fn is_none_still<F: Fop>(&self, brick: &Brick, frame: &Frame<F>) -> bool {
        self.image.is_some()
            || !matches!(
                brick.kind_of(frame, &self.inode, self.gfid),
                Ok(Kind::Image(_))
            )
    }

    /// What stands for the file among names.
    pub(crate) fn turn(&self) -> Name<'static> {
        of_file(self.gfid)
    }

    /// Whether two are the same file.
    pub(crate) fn is(&self, other: &Named) -> bool {
        self.gfid == other.gfid
    }

    /// Puts it into a loc in the place of what the client took the name for.
    pub(crate) fn put_into(&self, loc: &mut Loc<'static>) {
        loc.set_inode(&self.inode);
        loc.set_gfid(self.gfid);
    }
}

/// The name of a loc; `EINVAL` where there is none that can be looked up.
pub(crate) fn name_of<'a>(loc: &'a Loc<'_>) -> Result<Name<'a>, Errno> {
    let name: &CStr = loc.name().ok_or(Errno::EINVAL)?;
    let parent = loc.parent().ok_or(Errno::EINVAL)?;
    Ok((parent.gfid(), name))
}

fn look<F: Fop>(
    frame: &Frame<F>,
    loc: &Loc<'_>,
) -> Result<Option<(LookupReply<'static>, Inode<'static>)>, Errno> {
    let (Some(parent), Some(name)) = (loc.parent(), loc.name()) else {
        return Err(Errno::EINVAL);
    };
    let fresh = parent.fresh();
    let mut place = Loc::by_name(&parent, name, &fresh);
    place.set_gfid([0; 16]);
    // As posix finds it for the request itself.
    let place = place.with_path(loc.path());
    let asked = LookupArgs {
        loc: place,
        xdata: None,
    };
    match frame.ask::<Lookup>(asked) {
        Ok(found) => Ok(Some((found, fresh))),
        Err(failure) if failure.errno == Errno::ENOENT => Ok(None),
        Err(failure) => Err(failure.errno),
    }
}
