//! Stubs: the files that stand for images on the posix translator below.

use bd_model::{ImageKind, ImageMark, xattr};
use glusterfs::fops::{Setxattr, SetxattrArgs, Truncate, TruncateArgs};
use glusterfs::{Answer, Dict, Errno, Fop, Frame, Iatt, Loc, Stack};

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
    asks.ask_below::<Setxattr>(SetxattrArgs {
        loc,
        dict: more,
        flags: 0,
        xdata: None,
    })?;
    Ok(())
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
