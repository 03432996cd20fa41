use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

use bd_uring::{Outcome, Ring};
use blockdev::{Pages, WholeWrite};
use glusterfs::fops::Xdata;
use glusterfs::fops::{Writev, WritevArgs, WritevReply};
use glusterfs::{Call, Dict, Errno, Frame, Iatt, Payload, Service, gf_error};

use crate::Image;
use crate::ops::migration::{self, Part};
use crate::ops::{above, attributes, dispatch, early, flush, mode, resize};
use crate::{Brick, names};
use bd_image::{Failure, WriteAt, Written};

/// Writes to an image's device; a write past the end grows the image.
pub(crate) fn writev(brick: &Arc<Brick>, call: Call<'_, Writev>) {
    if above::is_ours(&call.args.xdata) {
        return above::answer_write(call);
    }
    brick.note_traffic();
    let fd = call.args.fd.share();
    let end = u64::try_from(call.args.offset)
        .unwrap_or(0)
        .saturating_add(call.args.data.len() as u64);
    let on_image = |call: Call<'_, Writev>, image: Arc<Image>| {
        brick.bind_late(&fd, &image);
        if let Err(errno) = mode::writes(brick, &fd) {
            return call.fail(errno);
        }
        let Call { frame, args } = call.detach();
        let grows = args.fd.flags() & libc::O_APPEND != 0 || end > image.size();
        let order = Order { frame, args, image };
        match brick.ring().filter(|_| !grows && order.is_simple()) {
            Some(ring) => by_ring(brick, ring, order),
            None => by_thread(brick, order, grows),
        }
    };
    let on_plain = |call: Call<'_, Writev>| match early::write(&call) {
        Ok(()) => call.pass(),
        Err(errno) => call.fail(errno),
    };
    dispatch::or_image_from(brick, call, &fd.inode(), end, writev, on_image, on_plain);
}

/// A write that is to be done and answered.
struct Order {
    frame: Frame<Writev>,
    args: WritevArgs<'static>,
    image: Arc<Image>,
}

impl Order {
    /// Whether nothing is to be done before it or after it.
    fn is_simple(&self) -> bool {
        !is_sync(&self.args)
            && migration::part_of(&self.args.xdata).is_none()
            && self.frame.service() != Some(Service::Heal)
    }
}

/// Whether it must be on stable storage before it is answered.
fn is_sync(args: &WritevArgs<'_>) -> bool {
    (args.fd.flags() | args.flags.cast_signed()) & (libc::O_SYNC | libc::O_DSYNC) != 0
}

fn by_thread(brick: &Arc<Brick>, order: Order, grows: bool) {
    let Order { frame, args, image } = order;
    let held = Arc::clone(&image);
    let work = move |brick: &Arc<Brick>| match write(brick, &frame, &args, &image) {
        Ok(reply) => frame.unwind(reply),
        Err(errno) => frame.fail(errno),
    };
    if grows {
        // The LV may have to grow too.
        brick.on_control(work);
    } else {
        brick.on_data(&held, work);
    }
}

/// Whole blocks in memory that direct I/O takes: the client's own where it lies right, which is
/// rare, else a copy.
enum Blocks {
    Copy(Pages),
    Own(Payload<'static>),
}

impl Deref for Blocks {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Blocks::Copy(pages) => pages,
            Blocks::Own(payload) => payload.slices().next().unwrap_or_default(),
        }
    }
}

impl Blocks {
    fn of(write: &WholeWrite, data: &mut Payload<'static>) -> Blocks {
        let mut pieces = data.slices();
        if let (Some(only), None) = (pieces.next(), pieces.next())
            && write.takes(only)
        {
            drop(pieces);
            return Blocks::Own(std::mem::replace(data, Payload::empty()));
        }
        drop(pieces);
        let pieces: Vec<&[u8]> = data.slices().collect();
        Blocks::Copy(write.gather(&pieces))
    }

    /// Gives the client's memory back to the request, if it was taken from there.
    fn give_back(self, data: &mut Payload<'static>) {
        if let Blocks::Own(payload) = self {
            *data = payload;
        }
    }
}

/// Writes by the ring; whatever it cannot do at once is for the threads.
fn by_ring(brick: &Arc<Brick>, ring: &Ring, mut order: Order) {
    let len = order.args.data.len() as u64;
    let begun = u64::try_from(order.args.offset)
        .ok()
        .and_then(|offset| order.image.begin_write(offset, len));
    let Some(begun) = begun else {
        return by_thread(brick, order, false);
    };
    let prebuf = match attributes::of_fd(brick, &order.frame, &order.args.fd, &order.image) {
        Ok(prebuf) => prebuf,
        Err(errno) => return order.frame.fail(errno),
    };
    let blocks = Blocks::of(begun.write(), &mut order.args.data);
    let start = begun.write().start();
    let begun = Arc::new(begun);
    let file = Arc::clone(&begun);
    let brick = Arc::clone(brick);
    let done = move |outcome: Outcome<Blocks>| {
        let whole = match outcome {
            Outcome::Done(result, blocks) => {
                let whole = result.ok() == Some(blocks.len());
                blocks.give_back(&mut order.args.data);
                Some(whole)
            }
            Outcome::Lost => None,
        };
        // From here on other writes may touch these blocks.
        drop(begun);
        brick.xl.node().enter(|| {
            match whole {
                Some(true) => {}
                // A part, or an error: the threads write it anew, and tell.
                Some(false) => return by_thread(&brick, order, false),
                // It may still be on its way: written anew it could overtake what follows.
                None => {
                    gf_error!(
                        "cannot tell whether {len} bytes were written to image <gfid:{}> at {start}",
                        order.image.gfid()
                    );
                    return order.frame.fail(Errno::EIO);
                }
            }
            let Order { frame, args, image } = order;
            let written = Written::within(start, image.size());
            match answer(&brick, &frame, &args, &image, written, prebuf) {
                Ok(reply) => frame.unwind(reply),
                Err(errno) => frame.fail(errno),
            }
        });
    };
    if let Err((blocks, done)) = ring.write(file, start, blocks, done) {
        let error = std::io::ErrorKind::Other.into();
        done(Outcome::Done(Err(error), blocks));
    }
}

fn write(
    brick: &Arc<Brick>,
    frame: &Frame<Writev>,
    args: &WritevArgs<'_>,
    image: &Arc<Image>,
) -> Result<WritevReply<'static>, Errno> {
    let at = match u64::try_from(args.offset) {
        _ if args.fd.flags() & libc::O_APPEND != 0 => WriteAt::End,
        Ok(offset) => WriteAt::Offset(offset),
        Err(_) => return Err(Errno::EINVAL),
    };
    let prebuf = attributes::of_fd(brick, frame, &args.fd, image)?;
    let pieces: Vec<&[u8]> = args.data.slices().collect();
    let mut set_stub_size = |size| resize::stub_of(frame, &args.fd, image, size);
    let failed = |failure: Failure| {
        gf_error!(
            "cannot write {} bytes to image <gfid:{}> at {}: {failure}",
            args.data.len(),
            image.gfid(),
            args.offset
        );
        Errno::new(failure.errno())
    };
    let written = match at {
        WriteAt::Offset(offset) if frame.service() == Some(Service::Heal) => image
            .write_sparse(
                &brick.server,
                offset,
                &together(&pieces),
                &mut set_stub_size,
            )
            .map_err(failed)?,
        _ => {
            if let WriteAt::Offset(offset) = at
                && migration::part_of(&args.xdata) == Some(Part::Mover)
            {
                // Growing asks gluster-bdd, for which clients' writes must not wait.
                let end = offset.saturating_add(args.data.len() as u64);
                image
                    .grow(&brick.server, end, &mut set_stub_size)
                    .map_err(failed)?;
            }
            migration::guard(brick, frame, args, image, || {
                image
                    .write(&brick.server, at, &pieces, &mut set_stub_size)
                    .map_err(failed)
            })?
        }
    };
    answer(brick, frame, args, image, written, prebuf)
}

/// The bytes of all pieces; they are copied only where they are several.
fn together<'a>(pieces: &[&'a [u8]]) -> Cow<'a, [u8]> {
    match pieces {
        [only] => Cow::Borrowed(only),
        _ => Cow::Owned(pieces.concat()),
    }
}

/// The answer to a write that was done.
fn answer(
    brick: &Arc<Brick>,
    frame: &Frame<Writev>,
    args: &WritevArgs<'_>,
    image: &Arc<Image>,
    written: Written,
    mut prebuf: Iatt,
) -> Result<WritevReply<'static>, Errno> {
    brick.note_change(frame, &args.fd.inode(), image);
    if is_sync(args) {
        flush::to_disk(brick, frame, &args.fd, image, true)?;
    }
    let mut postbuf = attributes::of_fd(brick, frame, &args.fd, image)?;
    if args
        .xdata
        .as_ref()
        .is_some_and(|asked| asked.contains(names::UPDATE_ATOMIC))
    {
        // Sharding adds the difference to its own count: what others did meanwhile must not be in it.
        prebuf.set_size(written.before);
        postbuf.set_size(written.after);
        postbuf.set_blocks(prebuf.blocks());
    }
    let xdata = answers_for_afr(args, written.is_append())?;
    Ok(WritevReply {
        written: u32::try_from(args.data.len()).map_err(|_| Errno::EINVAL)?,
        prebuf,
        postbuf,
        xdata,
    })
}

/// What AFR asks along with a write, as posix answers it.
fn answers_for_afr(args: &WritevArgs<'_>, is_append: bool) -> Result<Xdata<'static>, Errno> {
    let Some(asked) = &args.xdata else {
        return Ok(None);
    };
    let answer = Dict::new();
    if asked.contains(names::OPEN_FD_COUNT) {
        answer.set_u32(names::OPEN_FD_COUNT, args.fd.inode().open_count())?;
    }
    if asked.contains(names::ACTIVE_FD_COUNT) {
        answer.set_u32(names::ACTIVE_FD_COUNT, args.fd.inode().active_count())?;
    }
    if asked.contains(names::WRITE_IS_APPEND) {
        answer.set_u32(names::WRITE_IS_APPEND, u32::from(is_append))?;
    }
    Ok(Some(answer))
}
