use std::sync::{Arc, PoisonError};

use bd_model::{Bytes, Gfid, ImageMark, xattr};
use bd_proto::{CopyHow, Reply, Request};
use glusterfs::fops::{Lookup, LookupArgs};
use glusterfs::{Dict, Errno, FileType, Fop, Frame, Inode, Loc, gf_error, gf_warn};

use super::{create, health, pieces, quota};
use crate::core::{Image, Kind};
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
        source.refresh_allocated(&brick.link);
        quota::check(frame, linked, source.allocated_lately())?;
    }
    let fresh = linked.unwrap_or_else(|| inode.fresh());
    let loc = || Loc::by_gfid(&fresh, *dest.as_bytes());
    let node = brick.node(&fresh);
    // A plain file may be in use: its I/O waits, and then finds an image.
    let held = node
        .plain_io()
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    let plain = must_be_fresh(frame, loc(), dest)?;
    let copying = brick.pending().begin(dest);
    let name = copying.name_in(brick.top());
    let request = Request::Copy {
        brick: brick.link.id(),
        source: source.gfid(),
        dest,
        name,
        how,
        cow_size,
    };
    // With the size at rest: the copy must have just the bytes that its size says.
    let (copied, size) = source.with_size_at_rest(|size| (brick.link.make(dest, &request), size));
    let made = match copied {
        Ok(Reply::Image(image)) => image,
        Ok(_) => return Err(Errno::EPROTO),
        Err(error) => return Err(brick.told("copy", source.gfid(), &error)),
    };
    let marked = (|| {
        stub::set_size(frame, loc(), size)?;
        let marks = Dict::new();
        let from = inode.fresh();
        let from = Loc::by_gfid(&from, *source.gfid().as_bytes());
        health::carry(frame, from, loc(), &marks)?;
        stub::mark(frame, loc(), made.kind, marks)
    })();
    create::settle(brick, dest, marked.is_ok());
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
        image.refresh_allocated(&brick.link);
    }
    if inode.find(*dest.as_bytes()).is_some()
        && let Err(errno) = quota::count(frame, &fresh)
    {
        gf_warn!("clone or snapshot <gfid:{dest}> is not counted for quotas yet: {errno}");
    }
    Ok(())
}

/// Whether `dest` is an empty plain file; `false` if it is pending. Anything else is refused.
fn must_be_fresh<F: Fop>(frame: &Frame<F>, loc: Loc<'_>, dest: Gfid) -> Result<bool, Errno> {
    let request = Dict::new();
    request.set_u32(xattr::IMAGE, 0)?;
    request.set_u32(xattr::DHT_LINKTO, 256)?;
    pieces::ask(&request)?;
    let reply = frame.ask::<Lookup>(LookupArgs {
        loc,
        xdata: Some(request),
    })?;
    pieces::refuse(&dest, reply.xdata.as_ref())?;
    let has = |key| reply.xdata.as_ref().and_then(|xdata| xdata.get_str(key));
    match has(xattr::IMAGE) {
        Some(text) if text.parse() == Ok(ImageMark::Pending) => return Ok(false),
        None if reply.buf.file_type() == FileType::Regular
            && reply.buf.size() == 0
            && has(xattr::DHT_LINKTO).is_none() =>
        {
            return Ok(true);
        }
        _ => {}
    }
    gf_error!("<gfid:{dest}> is not a fresh destination of a clone or snapshot");
    Err(Errno::EINVAL)
}
