//! What is asked of an image, or of what may become one, by setting an attribute.

use std::sync::Arc;

use bd_model::{Bytes, DirPolicy, Gfid, ImageMark, xattr};
use bd_proto::CopyHow;
use glusterfs::{Dict, Errno, FileType, Fop, Frame, Inode, gf_warn};

use crate::Brick;
use crate::ops::rights::{self, Seen};
use crate::ops::{clone, convert, merge};
use crate::rights::Want;

/// What a set of attributes asks of gluster-bd.
#[derive(Debug)]
pub(crate) enum ImageRequest {
    /// Nothing: posix keeps them.
    Keep,
    /// Make the file an image, then keep the rest.
    Map(ImageMark),
    /// The file may become a copy of the image of that gfid.
    BeCopy(Gfid),
    /// Copy the image into the stub of that gfid; the bytes are those of the space of a
    /// copy-on-write snapshot.
    Copy(CopyHow, Gfid, Option<Bytes>),
    /// Be ready to merge the image into its origin, which has that gfid.
    PromiseMerge(Gfid),
    /// That merge does not come.
    CallOffMerge,
    /// The directory's policy changes.
    Policy,
}

pub(crate) fn request_of<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    dict: &Dict<'_>,
) -> Result<ImageRequest, Errno> {
    let mut ours = dict.entries();
    ours.retain(|(key, _)| xattr::is_ours(key));
    // Heal brings all attributes of a file at once.
    let is_internal = rights::is_service(frame);
    if ours.len() > 1 && !is_internal {
        gf_warn!("cannot set an attribute: one at a time");
        return Err(Errno::EINVAL);
    }
    for (key, value) in &ours {
        match request_in(brick, key, value).transpose() {
            Some(request) => return request,
            None if is_internal => {}
            None => {
                gf_warn!("cannot set {key}: this release does not know it");
                return Err(Errno::EINVAL);
            }
        }
    }
    Ok(ImageRequest::Keep)
}

/// What one attribute asks; `None` if the brick does not know it.
pub(crate) fn request_in(
    brick: &Brick,
    key: &str,
    value: &[u8],
) -> Result<Option<ImageRequest>, Errno> {
    let invalid = |what: &dyn std::fmt::Display| {
        gf_warn!("cannot set {key}: {what}");
        Errno::EINVAL
    };
    let text = || {
        let text = std::str::from_utf8(value).map_err(|error| invalid(&error));
        text.map(|text| text.trim_end_matches('\0'))
    };
    let gfid = |text: &str| text.parse::<Gfid>().map_err(|error| invalid(&error));
    let copy = |how| {
        let text = text()?;
        let (dest, space) = match text.split_once(':') {
            Some((dest, space)) => (dest, Some(space)),
            None => (text, None),
        };
        let space = space.map(str::parse).transpose();
        let space = space.map_err(|error| invalid(&error))?.map(Bytes);
        Ok::<_, Errno>(ImageRequest::Copy(how, gfid(dest)?, space))
    };
    let request = match key {
        xattr::CLONE => copy(CopyHow::Clone)?,
        xattr::SNAPSHOT => copy(CopyHow::Snapshot)?,
        xattr::COPY_OF => ImageRequest::BeCopy(gfid(text()?)?),
        xattr::PROMISE_MERGE => ImageRequest::PromiseMerge(gfid(text()?)?),
        xattr::CALL_OFF_MERGE => ImageRequest::CallOffMerge,
        xattr::DIR => {
            let policy = DirPolicy::read(value).map_err(|error| invalid(&error))?;
            if policy.kind != brick.kind_for(policy.kind) {
                return Err(invalid(&"this brick has no thin pool; use the policy lv"));
            }
            ImageRequest::Policy
        }
        xattr::IMAGE => ImageRequest::Map(ImageMark::read(value).map_err(|error| invalid(&error))?),
        _ => return Ok(None),
    };
    Ok(Some(request))
}

/// What setxattr(2) wants to know of a mark: that there is none yet, or that there is one.
pub(crate) fn heed(flags: i32, is_there: bool) -> Result<(), Errno> {
    if flags & libc::XATTR_CREATE != 0 && is_there {
        return Err(Errno::EEXIST);
    }
    if flags & libc::XATTR_REPLACE != 0 && !is_there {
        return Err(Errno::ENODATA);
    }
    Ok(())
}

/// Does what a set of attributes means, except to keep those that posix keeps.
pub(crate) fn grant<F: Fop>(
    brick: &Arc<Brick>,
    frame: &Frame<F>,
    inode: &Inode<'_>,
    name: Option<String>,
    request: ImageRequest,
    flags: i32,
) -> Result<(), Errno> {
    let gfid = Gfid::from_bytes(inode.gfid());
    match request {
        ImageRequest::Keep => Ok(()),
        ImageRequest::Map(ImageMark::Pending { .. }) => {
            // Heal copies it along with the others; it means nothing without a copy to come.
            if rights::is_service(frame) {
                Ok(())
            } else {
                Err(Errno::EINVAL)
            }
        }
        ImageRequest::Map(ImageMark::Image { kind, size }) => {
            may_map(brick, frame, inode, &rights::look(frame, inode, gfid)?)?;
            heed(flags, brick.image_of(frame, inode)?.is_some())?;
            convert::to_image(brick, frame, inode, name, kind, size)
        }
        ImageRequest::BeCopy(source) => clone::consent(brick, frame, inode, source),
        ImageRequest::Copy(how, dest, space) => {
            let source = brick.image_of(frame, inode)?.ok_or(Errno::EINVAL)?;
            clone::copy(brick, frame, &source, inode, dest, how, space)
        }
        ImageRequest::PromiseMerge(origin) => {
            let snapshot = brick.image_of(frame, inode)?.ok_or(Errno::EINVAL)?;
            merge::promise(brick, frame, inode, &snapshot, origin)
        }
        ImageRequest::CallOffMerge => merge::call_off(brick, frame, gfid),
        ImageRequest::Policy => may_rule(frame, &rights::look(frame, inode, gfid)?),
    }
}

/// Whether the caller may set a mark or policy; other requests are no questions.
pub(crate) fn may<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    inode: &Inode<'_>,
    request: &ImageRequest,
) -> Result<(), Errno> {
    let look = || rights::look(frame, inode, Gfid::from_bytes(inode.gfid()));
    match request {
        ImageRequest::Map(ImageMark::Image { .. }) => {
            let file = look()?;
            match file.is_link_file() {
                // The file is elsewhere, and is asked about there.
                true => Ok(()),
                false => may_map(brick, frame, inode, &file),
            }
        }
        ImageRequest::Policy => may_rule(frame, &look()?),
        _ => Err(Errno::EINVAL),
    }
}

/// Whether the caller may set the mark of a file.
pub(crate) fn may_map<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    inode: &Inode<'_>,
    file: &Seen,
) -> Result<(), Errno> {
    if brick.image_of(frame, inode)?.is_some() {
        // With a size it is a truncation, and else nothing.
        return file.must_let(frame, Want::Write);
    }
    if file.file_type() != FileType::Regular {
        return Err(Errno::EINVAL);
    }
    file.must_be_owned(frame)?;
    if brick.root_converts() && frame.uid() != 0 {
        gf_warn!(
            "{inode:?} stays plain: root alone makes plain files images here (user.bd.convert)"
        );
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// Whether the caller may set the policy of a directory.
pub(crate) fn may_rule<F: Fop>(frame: &Frame<F>, directory: &Seen) -> Result<(), Errno> {
    if directory.file_type() != FileType::Directory {
        return Err(Errno::ENOTDIR);
    }
    directory.must_be_owned(frame)
}

/// What is left for posix to keep.
pub(crate) fn rest_of(dict: &Dict<'_>) -> Dict<'static> {
    let rest = dict.duplicate();
    for key in [
        xattr::IMAGE,
        xattr::CLONE,
        xattr::SNAPSHOT,
        xattr::COPY_OF,
        xattr::PROMISE_MERGE,
        xattr::CALL_OFF_MERGE,
    ] {
        rest.remove(key);
    }
    rest
}
