//! What files are to a brick.

use std::path::Path;
use std::sync::Arc;

use bd_model::{DirPolicy, Gfid, ImageKind, ImageMark, xattr};
use glusterfs::fops::{Getxattr, GetxattrArgs, Lookup, LookupArgs, LookupReply};
use glusterfs::{Credentials, Dict, Errno, FileType, Fop, Frame, Inode, Loc, Stack, gf_error};

use super::Brick;
use crate::inode_state::{InodeState, Kind};
use crate::{Image, stub};

impl Brick {
    /// What the brick remembers of an inode.
    pub(crate) fn state_of(&self, inode: &Inode<'_>) -> Arc<InodeState> {
        inode.ctx_or_insert(self.xl, InodeState::default())
    }

    /// Makes sure what a file is. Everything that is not a regular file is plain.
    ///
    /// `gfid` is that of the answer when the inode is not linked yet.
    pub(crate) fn kind_of<F: Fop>(
        &self,
        frame: &Frame<F>,
        inode: &Inode<'_>,
        gfid: [u8; 16],
    ) -> Result<Kind, Errno> {
        let node = self.state_of(inode);
        match node.kind() {
            known @ (Kind::Plain | Kind::Image(_)) => return Ok(known),
            Kind::Unknown | Kind::Pending => {}
        }
        if !matches!(inode.file_type(), FileType::Regular | FileType::Unknown) {
            return Ok(node.learn(Kind::Plain));
        }
        let mut other = Kind::Plain;
        let gfid = Gfid::from_bytes(gfid);
        let image = self.images.find_or_read(gfid, || {
            let look = |args: LookupArgs<'_>| Ok(frame.ask::<Lookup>(args)?);
            let (image, is_pending) = read_stub(inode, gfid, look)?;
            if is_pending {
                other = Kind::Pending;
            }
            Ok::<_, Errno>(image)
        })?;
        Ok(node.learn(image.map_or(other, Kind::Image)))
    }

    /// The image of a gfid, though no client asks; `None` if the file is none.
    ///
    /// Only for threads that may wait.
    pub(crate) fn image_by_gfid(&self, gfid: Gfid) -> Result<Option<Arc<Image>>, Errno> {
        if let Some(image) = self.images.find(gfid) {
            return Ok(Some(image));
        }
        let root = self.xl.node().root_inode().ok_or(Errno::EAGAIN)?;
        let inode = root.find(*gfid.as_bytes()).unwrap_or_else(|| root.fresh());
        let stack = Stack::new(self.xl.node(), &Credentials::root());
        self.images.find_or_read(gfid, || {
            let look = |args: LookupArgs<'_>| Ok(stack.ask::<Lookup>(args)?);
            read_stub(&inode, gfid, look).map(|(image, _)| image)
        })
    }

    /// The image that a file is, if it is one.
    pub(crate) fn image_of<F: Fop>(
        &self,
        frame: &Frame<F>,
        inode: &Inode<'_>,
    ) -> Result<Option<Arc<Image>>, Errno> {
        match self.kind_of(frame, inode, inode.gfid())? {
            Kind::Image(image) => Ok(Some(image)),
            Kind::Unknown | Kind::Plain | Kind::Pending => Ok(None),
        }
    }

    /// The policy of a directory, if it is an image directory.
    pub(crate) fn policy_of<F: Fop>(
        &self,
        frame: &Frame<F>,
        dir: &Inode<'_>,
        gfid: [u8; 16],
    ) -> Result<Option<DirPolicy>, Errno> {
        let node = self.state_of(dir);
        if let Some(policy) = node.policy() {
            return Ok(policy);
        }
        let args = GetxattrArgs {
            loc: Loc::by_gfid(dir, gfid),
            name: Some(crate::names::DIR.into()),
            xdata: None,
        };
        let value = match frame.ask::<Getxattr>(args) {
            Ok(reply) => reply.dict.and_then(|dict| dict.get(xattr::DIR)),
            Err(failure) if failure.errno == Errno::ENODATA => None,
            Err(failure) => return Err(failure.errno),
        };
        // Without its policy nobody knows what new files in it are.
        let policy = value.map(|value| DirPolicy::read(&value)).transpose();
        let policy = policy.map_err(|error| {
            gf_error!(
                "directory {dir:?} has a policy that cannot be read: {error}; set {} again, or let \
                 gluster-bd check --repair do it",
                xattr::DIR
            );
            Errno::EIO
        })?;
        node.set_policy(Some(policy));
        Ok(policy)
    }

    /// The policy of the directory that a new name would be in.
    pub(crate) fn policy_at<F: Fop>(
        &self,
        frame: &Frame<F>,
        loc: &Loc<'_>,
    ) -> Result<Option<DirPolicy>, Errno> {
        match loc.parent() {
            Some(parent) if !loc.is_elsewhere() => {
                self.policy_of(frame, &parent, loc.parent_gfid())
            }
            Some(_) | None => Ok(None),
        }
    }

    /// The kind of image that a directory's policy comes to on this brick: without a thin pool
    /// all images are thick.
    pub(crate) fn kind_for(&self, wanted: ImageKind) -> ImageKind {
        match self.server.brick().kind {
            ImageKind::Thick => ImageKind::Thick,
            ImageKind::Thin => wanted,
        }
    }

    /// The name that an image's LV should bear: that of the file in the top image directory.
    pub(crate) fn lv_name_at(&self, loc: &Loc<'_>) -> Option<String> {
        let in_top = Gfid::from_bytes(loc.parent_gfid()) == self.top && !loc.is_elsewhere();
        loc.name()
            .filter(|_| in_top)
            .and_then(|name| name.to_str().ok())
            .map(str::to_owned)
    }

    /// As [`Brick::lv_name_at`], for a file of which only the inode is known.
    pub(crate) fn lv_name_of(&self, inode: &Inode<'_>) -> Option<String> {
        let dir = inode.parent()?;
        if Gfid::from_bytes(dir.gfid()) != self.top {
            return None;
        }
        let path = inode.path(None)?;
        Path::new(path.to_str().ok()?)
            .file_name()?
            .to_str()
            .map(str::to_owned)
    }
}

/// What the stub of a gfid says: the image, or whether it waits for its LV.
fn read_stub(
    inode: &Inode<'_>,
    gfid: Gfid,
    look: impl FnOnce(LookupArgs<'_>) -> Result<LookupReply<'static>, Errno>,
) -> Result<(Option<Image>, bool), Errno> {
    let request = Dict::new();
    request.set_u32(xattr::IMAGE, 0)?;
    let reply = look(LookupArgs {
        loc: Loc::by_gfid(inode, *gfid.as_bytes()),
        xdata: Some(request),
    })?;
    let mark = stub::mark_in(&reply).map_err(|error| {
        gf_error!(
            "<gfid:{gfid}> has a mark that cannot be read: {error}; let gluster-bd check --repair \
             write it anew"
        );
        Errno::EIO
    })?;
    Ok(match mark {
        Some(ImageMark::Image { kind, .. }) if reply.buf.file_type() == FileType::Regular => {
            (Some(Image::new(gfid, kind, reply.buf.size())), false)
        }
        Some(ImageMark::Pending { .. }) => (None, true),
        Some(ImageMark::Image { .. }) | None => (None, false),
    })
}
