use std::sync::{Arc, PoisonError};
use std::time::Instant;

use bd_model::{Bytes, Gfid, ImageMark};
use bd_proto::{CopyHow, Reply, Request};
use glusterfs::{Dict, Errno, FileType, Fop, Frame, Inode, Loc, gf_error};

use crate::Image;
use crate::inode_state::Kind;
use crate::name_locks::of_file;
use crate::ops::{above, heal_xattrs, new_image, pieces, quota, rights};
use crate::rights::Want;
use crate::{Brick, stub};

/// Makes the stub `dest`, which is pending or an empty plain file, a clone or snapshot of `source`.
///
/// Only for threads that may wait.
pub(crate) fn copy<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    source: &Arc<Image>,
    inode: &Inode<'_>,
    dest: Gfid,
    how: CopyHow,
    cow_size: Option<Bytes>,
) -> Result<(), Errno> {
    let linked = inode.find(*dest.as_bytes());
    if let Some(linked) = &linked {
        source.refresh_allocated(&brick.server);
        quota::check(frame, linked, source.allocated_lately())?;
    }
    let fresh = linked.unwrap_or_else(|| inode.fresh());
    let loc = || Loc::by_gfid(&fresh, *dest.as_bytes());
    let node = brick.state_of(&fresh);
    // A plain file may be in use: its I/O waits, and then finds an image.
    let held = node
        .plain_io()
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    let plain = must_be_fresh(brick, frame, &fresh, dest, source.gfid())?;
    let copying = brick.unfinished_copies().begin(dest);
    let name = copying.name_in(brick.top());
    let request = Request::Copy {
        brick: brick.server.id(),
        source: source.gfid(),
        dest,
        name,
        how,
        cow_size,
    };
    // With the size at rest: the copy must have just the bytes that its size says.
    let (copied, size) = source.with_size_at_rest(|size| (brick.server.make(dest, &request), size));
    let made = match copied {
        Ok(Reply::Image(image)) => image,
        Ok(_) => return Err(Errno::EPROTO),
        // Another client has removed it meanwhile, as posix says it.
        Err(error) if error.is_not_found() && source.is_leaving() => return Err(Errno::ESTALE),
        Err(error) => return Err(brick.told("copy", source.gfid(), &error)),
    };
    let marked = (|| {
        if plain {
            stub::take_signature(frame, loc())?;
        }
        stub::set_size(frame, loc(), size)?;
        let marks = Dict::new();
        let from = inode.fresh();
        let from = Loc::by_gfid(&from, *source.gfid().as_bytes());
        heal_xattrs::carry(frame, from, loc(), &marks)?;
        // Whoever removes its name sees an image from now on, or has done so before.
        let _turn = brick.names.wait(&[of_file(*dest.as_bytes())]);
        stub::mark(frame, loc(), made.kind, marks)?;
        if plain {
            node.learn(Kind::Unknown);
        }
        Ok(())
    })();
    new_image::settle(brick, dest, marked.is_ok());
    if let Err(errno) = marked {
        gf_error!("cannot give <gfid:{dest}> its size and mark: {errno}");
        return Err(errno);
    }
    copying.done();
    if plain {
        let made = Image::new(dest, made.kind, size);
        let image = brick
            .images
            .find_or_read(dest, || Ok::<_, Errno>(Some(made)))?;
        node.learn(image.map_or(Kind::Unknown, Kind::Image));
    }
    drop(held);
    // The inode may have been looked at while it was pending.
    if let Ok(Kind::Image(image)) = brick.kind_of(frame, &fresh, *dest.as_bytes()) {
        image.refresh_allocated(&brick.server);
    }
    if inode.find(*dest.as_bytes()).is_some() {
        above::changed(frame, &fresh);
    }
    Ok(())
}

/// Notes that the caller, whose empty plain file `inode` is, wants it to become a copy of `source`, and
/// may read that.
pub(crate) fn consent<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    inode: &Inode<'_>,
    source: Gfid,
) -> Result<(), Errno> {
    let dest = Gfid::from_bytes(inode.gfid());
    let file = rights::look(frame, inode, dest)?;
    file.must_be_owned(frame)?;
    file.must_let(frame, Want::Write)?;
    if !file.is_empty_plain() {
        return Err(Errno::EEXIST);
    }
    must_be_readable(frame, inode, source)?;
    brick.consents().give(dest, source, Instant::now());
    Ok(())
}

/// Makes sure that `source` is an image that the caller may read: a copy belongs to the caller and holds
/// the source's bytes, so that copying is reading.
pub(crate) fn must_be_readable<F: Fop>(
    frame: &Frame<F>,
    inode: &Inode<'_>,
    source: Gfid,
) -> Result<(), Errno> {
    let source = rights::look(frame, inode, source)?;
    source.must_let(frame, Want::Read)?;
    match source.mark()? {
        Some(ImageMark::Image { .. }) => Ok(()),
        Some(ImageMark::Pending { .. }) => Err(Errno::EBUSY),
        None => Err(Errno::EINVAL),
    }
}

/// Whether `dest` is an empty plain file; `false` if it is pending. Its owner must have said that it may
/// become a copy of `source`, whoever asks for that now. Anything else is refused.
fn must_be_fresh<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    inode: &Inode<'_>,
    dest: Gfid,
    source: Gfid,
) -> Result<bool, Errno> {
    let file = rights::look(frame, inode, dest)?;
    pieces::refuse(&dest, file.xdata())?;
    if let Some(ImageMark::Pending { of }) = file.mark()?
        && of == Some(source)
        && file.file_type() == FileType::Regular
        && !file.is_link_file()
    {
        return Ok(false);
    }
    if file.is_empty_plain() && brick.consents().take(dest, source, Instant::now()) {
        return Ok(true);
    }
    gf_error!(
        "<gfid:{dest}> is no fresh file that its owner wants to be a copy of <gfid:{source}>; only \
         features/bd-client asks for copies"
    );
    Err(Errno::EPERM)
}
