use std::ffi::CStr;
use std::sync::Arc;

use bd_model::{Gfid, xattr};
use glusterfs::fops::{Fremovexattr, FremovexattrReply, Removexattr, RemovexattrReply};
use glusterfs::{Call, Dict, Errno, Fop, Frame, Inode, gf_warn};

use crate::Brick;
use crate::ops::rights;
use crate::ops::xattr_change::{is_question, pass_dressed, share};

/// What a removal of attributes may do.
pub(crate) enum Removal {
    /// What posix does.
    Pass,
    /// Nothing, and say it is done.
    Pretend,
    /// Nothing: it is refused.
    Refuse,
}

/// The mark of an image stays: without it the image would be an empty file. Heal removes and
/// sets it again, which must not touch the image. A policy goes if its directory's owner wants that.
pub(crate) fn removal_of<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    inode: &Inode<'_>,
    name: &CStr,
    xdata: Option<&Dict<'_>>,
) -> Result<Removal, Errno> {
    let list = xdata.filter(|_| name.is_empty());
    let is_named = |key: &str| name.to_bytes() == key.as_bytes();
    let is_meant = |key: &str| is_named(key) || list.is_some_and(|list| list.contains(key));
    if is_meant(xattr::DIR) {
        let gfid = Gfid::from_bytes(inode.gfid());
        rights::look(frame, inode, gfid)?.must_be_owned(frame)?;
    }
    if !is_meant(xattr::IMAGE) || brick.image_of(frame, inode)?.is_none() {
        return Ok(Removal::Pass);
    }
    if let Some(list) = list {
        list.remove(xattr::IMAGE);
        return Ok(Removal::Pass);
    }
    if rights::is_service(frame) {
        return Ok(Removal::Pretend);
    }
    gf_warn!("{inode:?} stays an image; copy it to a plain directory to make it a plain file");
    Ok(Removal::Refuse)
}

/// Removes attributes, but never an image's mark.
pub(crate) fn removexattr(brick: &Arc<Brick>, call: Call<'_, Removexattr>) {
    let Some(inode) = call.args.loc.inode().map(|inode| inode.share()) else {
        return call.pass();
    };
    let (name, xdata) = (&call.args.name, call.args.xdata.as_ref());
    let removal = removal_of(brick, &call.frame, &inode, name, xdata);
    match removal {
        Ok(Removal::Pass) if !is_question(xdata) => {
            pass_dressed(brick, call, &inode, |reply| share(&reply.xdata));
            brick.state_of(&inode).set_policy(None);
        }
        Ok(Removal::Pass | Removal::Pretend) => call.unwind(RemovexattrReply { xdata: None }),
        Ok(Removal::Refuse) => call.fail(Errno::EPERM),
        Err(errno) => call.fail(errno),
    }
}

/// As [`removexattr`].
pub(crate) fn fremovexattr(brick: &Arc<Brick>, call: Call<'_, Fremovexattr>) {
    let inode = call.args.fd.inode().share();
    let (name, xdata) = (&call.args.name, call.args.xdata.as_ref());
    match removal_of(brick, &call.frame, &inode, name, xdata) {
        Ok(Removal::Pass) => {
            pass_dressed(brick, call, &inode, |reply| share(&reply.xdata));
            brick.state_of(&inode).set_policy(None);
        }
        Ok(Removal::Pretend) => call.unwind(FremovexattrReply { xdata: None }),
        Ok(Removal::Refuse) => call.fail(Errno::EPERM),
        Err(errno) => call.fail(errno),
    }
}
