use std::sync::{Arc, PoisonError};

use bd_model::{Bytes, Gfid, ImageKind};
use bd_proto::{ImageInfo, Request};
use blockdev::Span;
use glusterfs::fops::{Discard, DiscardArgs, Readv, ReadvArgs, Seek, SeekArgs, Stat, StatArgs};
use glusterfs::{Dict, Errno, Fd, Fop, Frame, Inode, Loc, Service, gf_error, gf_warn};

use crate::Image;
use crate::inode_state::Kind;
use crate::name_locks::of_file;
use crate::ops::{healed, new_image, pieces, quota, resize};
use crate::{Brick, stub};
use bd_image::WriteAt;

/// Bytes that one step of an import copies.
const STEP: usize = 1 << 20;

/// Makes a plain file an image: its LV is made, the bytes it has are imported, and only then is
/// it marked. I/O on the file waits meanwhile. An image it is already is resized if asked.
///
/// Only for threads that may wait.
pub(crate) fn to_image<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    inode: &Inode<'_>,
    name: Option<String>,
    kind: ImageKind,
    size: Option<Bytes>,
) -> Result<(), Errno> {
    let node = brick.state_of(inode);
    let held = node
        .plain_io()
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    let image = match brick.image_of(frame, inode)? {
        Some(image) => image,
        None => {
            if brick.kind_for(kind) == ImageKind::Thick {
                quota::check_growth(frame, inode, size.map_or(0, |size| size.0))?;
            }
            let image = import(brick, frame, inode, name, brick.kind_for(kind))?;
            node.learn(Kind::Image(Arc::clone(&image)));
            image
        }
    };
    if frame.service() == Some(Service::Rebalance) {
        image.begin_arrival();
    }
    drop(held);
    match size {
        Some(size) if size.0 != image.size() => {
            let loc = Loc::by_gfid(inode, inode.gfid());
            resize::to(brick, frame, &loc, &image, size.0)
        }
        Some(_) | None => Ok(()),
    }
}

fn import<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    inode: &Inode<'_>,
    name: Option<String>,
    kind: ImageKind,
) -> Result<Arc<Image>, Errno> {
    let gfid = Gfid::from_bytes(inode.gfid());
    let loc = || Loc::by_gfid(inode, inode.gfid());
    let request = Dict::new();
    pieces::ask(&request)?;
    let asked = StatArgs {
        loc: loc(),
        xdata: Some(request),
    };
    let found = frame.ask::<Stat>(asked)?;
    if frame.pid() >= 0 {
        pieces::refuse(&gfid, found.xdata.as_ref())?;
    }
    let size = found.buf.size();
    // Only heal and rebalance mean the file that an LV was of; a user may not know of that.
    let again = match frame.pid() < 0 {
        true => healed::retake(brick, gfid, name.clone())?,
        false => None,
    };
    let kind = again.as_ref().map_or(kind, |known| known.kind);
    let request = Request::Create {
        brick: brick.server.id(),
        gfid,
        name,
        kind,
        size: Bytes(size),
        import: true,
    };
    if again.is_none() {
        brick
            .server
            .make(gfid, &request)
            .map_err(|error| brick.told("make", gfid, &error))?;
    }
    let fd = Fd::anonymous(inode);
    let emptied = again
        .as_ref()
        .map_or(Ok(()), |known| empty(brick, gfid, known, size));
    let marked = emptied
        .and_then(|()| copy_bytes(brick, frame, &fd, gfid, kind, size))
        .and_then(|()| stub::take_signature(frame, loc()))
        .and_then(|()| {
            // As for a copy.
            let _turn = brick.names.wait(&[of_file(inode.gfid())]);
            stub::mark(frame, loc(), kind, Dict::new())?;
            brick.state_of(inode).learn(Kind::Unknown);
            Ok(())
        });
    if let Err(errno) = marked {
        if again.is_none() {
            new_image::settle(brick, gfid, false);
        }
        return Err(errno);
    }
    if size > 0 {
        let args = DiscardArgs {
            fd: fd.share(),
            offset: 0,
            len: usize::try_from(size).map_err(|_| Errno::EFBIG)?,
            xdata: None,
        };
        if let Err(failure) = frame.ask::<Discard>(args) {
            // Wasted space, no wrong bytes: the mark says where they are.
            gf_warn!(
                "stub of <gfid:{gfid}> keeps bytes it does not need: {}",
                failure.errno
            );
        }
    }
    if again.is_none() {
        new_image::settle(brick, gfid, true);
    }
    let image = brick
        .images
        .find_or_read(gfid, || Ok::<_, Errno>(Some(Image::new(gfid, kind, size))))?;
    image.ok_or(Errno::EIO)
}

/// Makes the first `size` bytes of an LV that is used again read as zeros.
fn empty(brick: &Brick, gfid: Gfid, known: &ImageInfo, size: u64) -> Result<(), Errno> {
    if known.lv_size.0 < size {
        let request = Request::Resize {
            brick: brick.server.id(),
            gfid,
            size: Bytes(size),
        };
        brick
            .server
            .ask(&request)
            .map_err(|error| brick.told("grow", gfid, &error))?;
    }
    let span = Span {
        start: 0,
        end: size,
    };
    Image::new(gfid, known.kind, size)
        .zero(&brick.server, span)
        .map_err(|failure| {
            gf_error!("cannot empty the LV of <gfid:{gfid}>: {failure}");
            Errno::new(failure.errno())
        })
}

/// Copies the bytes of a file into its LV, which reads as zeros, and flushes them.
fn copy_bytes<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    fd: &Fd<'_>,
    gfid: Gfid,
    kind: ImageKind,
    size: u64,
) -> Result<(), Errno> {
    let target = Image::new(gfid, kind, size);
    let failed = |what: &str, errno: Errno| {
        gf_error!("cannot import <gfid:{gfid}>: {what}: {errno}");
        errno
    };
    let mut at = 0;
    while let Some(offset) = next_data(frame, fd, at, size)? {
        let args = ReadvArgs {
            fd: fd.share(),
            size: STEP,
            offset: i64::try_from(offset).map_err(|_| Errno::EFBIG)?,
            flags: 0,
            xdata: None,
        };
        let bytes = frame
            .ask::<Readv>(args)
            .map_err(|e| failed("reading the file", e.errno))?
            .data;
        if bytes.is_empty() {
            break;
        }
        let pieces: Vec<&[u8]> = bytes.slices().collect();
        target
            .write(&brick.server, WriteAt::Offset(offset), &pieces, &mut |_| {
                Err(libc::EFBIG)
            })
            .map_err(|failure| failed("writing the LV", Errno::new(failure.errno())))?;
        at = offset.saturating_add(bytes.len() as u64);
    }
    target
        .flush(&brick.server)
        .map_err(|errno| failed("flushing the LV", Errno::new(errno)))
}

fn next_data<F: Fop>(
    frame: &Frame<F>,
    fd: &Fd<'_>,
    from: u64,
    size: u64,
) -> Result<Option<u64>, Errno> {
    const DATA: u32 = 0;
    if from >= size {
        return Ok(None);
    }
    let offset = i64::try_from(from).map_err(|_| Errno::EFBIG)?;
    let args = SeekArgs {
        fd: fd.share(),
        offset,
        what: DATA,
        xdata: None,
    };
    match frame.ask::<Seek>(args) {
        Ok(reply) => Ok(u64::try_from(reply.offset).ok()),
        Err(failure) if failure.errno == Errno::ENXIO => Ok(None),
        // A file system that cannot seek: everything is data.
        Err(failure) if matches!(failure.errno, Errno::EINVAL | Errno::EOPNOTSUPP) => {
            Ok(Some(from))
        }
        Err(failure) => Err(failure.errno),
    }
}
