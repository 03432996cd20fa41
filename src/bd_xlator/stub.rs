//! Stubs: the files that stand for images on the posix translator below.

use std::ffi::CStr;

use bd_model::{ImageKind, ImageMark, MarkError, xattr};
use glusterfs::fops::{
    Lookup, LookupArgs, LookupReply, Removexattr, RemovexattrArgs, Setxattr, SetxattrArgs,
    Truncate, TruncateArgs, Unlink, UnlinkArgs,
};
use glusterfs::{Answer, Dict, Errno, Fop, Frame, Iatt, Inode, Loc, Stack};

use crate::{Brick, names};

/// What can ask the translator below and wait: a fop's own frame, or a stack of the brick.
pub(crate) trait Ask {
    /// Asks for `G`.
    fn ask_below<G: Fop>(&self, args: G::Args<'_>) -> Answer<'static, G>;
}

impl<F: Fop> Ask for Frame<F> {
    fn ask_below<G: Fop>(&self, args: G::Args<'_>) -> Answer<'static, G> {
        self.ask::<G>(args)
    }
}

impl Ask for Stack {
    fn ask_below<G: Fop>(&self, args: G::Args<'_>) -> Answer<'static, G> {
        self.ask::<G>(args)
    }
}

/// The mark in an answer to a lookup that has asked for it.
///
/// # Errors
/// It cannot be read: nobody knows what the file is.
pub(crate) fn mark_in(found: &LookupReply<'_>) -> Result<Option<ImageMark>, MarkError> {
    let value = found
        .xdata
        .as_ref()
        .and_then(|xdata| xdata.get(xattr::IMAGE));
    value.map(|value| ImageMark::read(&value)).transpose()
}

/// Puts the mark of an image of `kind` among attributes to set.
pub(crate) fn put_mark(dict: &Dict<'_>, kind: ImageKind) -> Result<(), Errno> {
    let mark = ImageMark::Image { kind, size: None };
    dict.set(xattr::IMAGE, mark.to_string().as_bytes())
}

/// Marks the stub at `loc` as an image of `kind`, and sets what `more` has along with that.
pub(crate) fn mark(
    asks: &impl Ask,
    loc: Loc<'_>,
    kind: ImageKind,
    more: Dict<'_>,
) -> Result<(), Errno> {
    put_mark(&more, kind)?;
    set(asks, loc, more)
}

/// Sets attributes of what is at `loc`.
pub(crate) fn set(asks: &impl Ask, loc: Loc<'_>, dict: Dict<'_>) -> Result<(), Errno> {
    asks.ask_below::<Setxattr>(SetxattrArgs {
        loc,
        dict,
        flags: 0,
        xdata: None,
    })?;
    Ok(())
}

/// Takes the signature off a plain file that becomes an image (see [`names::SIGNATURE`]).
pub(crate) fn take_signature(asks: &impl Ask, loc: Loc<'_>) -> Result<(), Errno> {
    let asked = asks.ask_below::<Removexattr>(RemovexattrArgs {
        loc,
        name: names::SIGNATURE_C.into(),
        xdata: None,
    });
    match asked {
        Err(failure) if failure.errno != Errno::ENODATA => Err(failure.errno),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Sets the size of the stub at `loc`; answers its attributes before and after.
pub(crate) fn set_size(asks: &impl Ask, loc: Loc<'_>, size: u64) -> Result<(Iatt, Iatt), Errno> {
    let reply = asks.ask_below::<Truncate>(TruncateArgs {
        loc,
        offset: i64::try_from(size).map_err(|_| Errno::EFBIG)?,
        xdata: None,
    })?;
    Ok((reply.prebuf, reply.postbuf))
}

/// Unlinks a name if it still leads to the file `gfid`, and that is one that `may_go`; says whether.
/// The answer that it is asked with has the file's mark.
///
/// Only for threads that may wait.
pub(crate) fn unlink_if(
    brick: &Brick,
    asks: &impl Ask,
    parent: &Inode<'_>,
    name: &CStr,
    gfid: [u8; 16],
    may_go: impl FnOnce(&LookupReply<'static>) -> bool,
) -> Result<bool, Errno> {
    let _turn = brick.names.wait(&[(parent.gfid(), name)]);
    let inode = parent.find(gfid).unwrap_or_else(|| parent.fresh());
    let request = Dict::new();
    request.set_u32(xattr::IMAGE, 0)?;
    let mut loc = Loc::by_name(parent, name, &inode);
    loc.set_gfid([0; 16]);
    let found = match asks.ask_below::<Lookup>(LookupArgs {
        loc,
        xdata: Some(request),
    }) {
        Ok(found) => found,
        Err(failure) if failure.errno == Errno::ENOENT => return Ok(false),
        Err(failure) => return Err(failure.errno),
    };
    if found.buf.gfid() != gfid || !may_go(&found) {
        return Ok(false);
    }
    asks.ask_below::<Unlink>(UnlinkArgs {
        loc: Loc::by_name(parent, name, &inode),
        xflags: 0,
        xdata: None,
    })?;
    Ok(true)
}
