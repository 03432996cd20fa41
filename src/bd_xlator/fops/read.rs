use std::ops::Range;
use std::sync::Arc;

use bd_uring::{Outcome, Ring};
use glusterfs::fops::{Readv, ReadvArgs, ReadvReply, Seek, SeekArgs, SeekReply};
use glusterfs::{Call, Errno, Frame, Iobuf, Payload, gf_error};

use crate::Brick;
use crate::Image;
use crate::ops::{attributes, dispatch, mode};
use bd_image::ReadPlan;

/// Reads of as many bytes are for threads: what they read is copied to the client by whoever
/// answers, and one thread that does that for all of them is slower than many.
const LARGE: usize = 64 << 10;

/// Reads an image from its device, clipped at its size.
pub(crate) fn readv(brick: &Arc<Brick>, call: Call<'_, Readv>) {
    brick.note_traffic();
    let fd = call.args.fd.share();
    dispatch::or_image(brick, call, &fd.inode(), readv, |call, image| {
        brick.bind_late(&fd, &image);
        if let Err(errno) = mode::reads(&fd) {
            return call.fail(errno);
        }
        let Call { frame, args } = call.detach();
        let read = ReadUnderWay { frame, args, image };
        match brick.ring().filter(|_| read.args.size < LARGE) {
            Some(ring) => by_ring(brick, ring, read),
            None => by_thread(brick, read),
        }
    });
}

/// A read that is to be answered.
struct ReadUnderWay {
    frame: Frame<Readv>,
    args: ReadvArgs<'static>,
    image: Arc<Image>,
}

fn by_thread(brick: &Arc<Brick>, read: ReadUnderWay) {
    let ReadUnderWay { frame, args, image } = read;
    let held = Arc::clone(&image);
    brick.on_data(&held, move |brick| {
        match self::read(brick, &frame, &args, &image) {
            Ok(reply) => frame.unwind(reply),
            Err(errno) => frame.fail(errno),
        }
    });
}

/// Reads by the ring; whatever it cannot do at once is for the threads.
fn by_ring(brick: &Arc<Brick>, ring: &Ring, read: ReadUnderWay) {
    let begun = (|| {
        let io = read.image.try_begin_io()?;
        let device = read.image.device_now()?;
        let offset = u64::try_from(read.args.offset).ok()?;
        let size = read.args.size as u64;
        mode::read_is_aligned(
            &read.args.fd,
            read.args.flags,
            offset,
            read.args.size,
            &device,
        )
        .ok()?;
        let plan = read.image.plan_read(offset, size, device.block_size())?;
        let wanted = wanted(&plan)?;
        let length = usize::try_from(plan.outer.len()).ok()?;
        let buffer = Iobuf::aligned(brick.xl.node(), length, 4096).ok()?;
        Some((device, io, plan.outer.start, wanted, buffer))
    })();
    let Some((device, io, start, wanted, buffer)) = begun else {
        return by_thread(brick, read);
    };
    let brick = Arc::clone(brick);
    let done = move |outcome: Outcome<Iobuf>| {
        drop(io);
        brick.xl.node().enter(|| {
            let buffer = match outcome {
                Outcome::Done(Ok(length), buffer) if length == buffer.len() => buffer,
                // A part, or an error: the threads find out, and tell.
                Outcome::Done(..) | Outcome::Lost => return by_thread(&brick, read),
            };
            let ReadUnderWay { frame, args, image } = read;
            let data = buffer.into_payload(wanted);
            match reply(&brick, &frame, &args, &image, data) {
                Ok(reply) => frame.unwind(reply),
                Err(errno) => frame.fail(errno),
            }
        });
    };
    if let Err((buffer, done)) = ring.read(device, start, buffer, done) {
        let error = std::io::ErrorKind::Other.into();
        done(Outcome::Done(Err(error), buffer));
    }
}

/// The wanted bytes of the blocks that are read.
fn wanted(plan: &ReadPlan) -> Option<Range<usize>> {
    let skip = usize::try_from(plan.skip).ok()?;
    Some(skip..skip + usize::try_from(plan.len).ok()?)
}

fn reply(
    brick: &Brick,
    frame: &Frame<Readv>,
    args: &ReadvArgs<'_>,
    image: &Image,
    data: Payload<'static>,
) -> Result<ReadvReply<'static>, Errno> {
    let offset = u64::try_from(args.offset).map_err(|_| Errno::EINVAL)?;
    let eof = offset.saturating_add(data.len() as u64) >= image.size();
    let stbuf = attributes::of_fd(brick, frame, &args.fd, image)?;
    Ok(ReadvReply {
        eof,
        data,
        stbuf,
        xdata: None,
    })
}

fn read(
    brick: &Arc<Brick>,
    frame: &Frame<Readv>,
    args: &ReadvArgs<'_>,
    image: &Image,
) -> Result<ReadvReply<'static>, Errno> {
    let offset = u64::try_from(args.offset).map_err(|_| Errno::EINVAL)?;
    let io = image.begin_io();
    let device = image
        .device(&brick.server)
        .map_err(|error| brick.told("open", image.gfid(), &error))?;
    mode::read_is_aligned(&args.fd, args.flags, offset, args.size, &device)?;
    let data = match image.plan_read(offset, args.size as u64, device.block_size()) {
        None => Payload::empty(),
        Some(plan) => {
            let length = |bytes: u64| usize::try_from(bytes).map_err(|_| Errno::EINVAL);
            let mut buffer = Iobuf::aligned(brick.xl.node(), length(plan.outer.len())?, 4096)?;
            device
                .read_aligned(plan.outer.start, &mut buffer)
                .map_err(|error| {
                    gf_error!(
                        "cannot read image <gfid:{}> at {offset}: {error}",
                        image.gfid()
                    );
                    Errno::of_io(&error)
                })?;
            buffer.into_payload(wanted(&plan).ok_or(Errno::EINVAL)?)
        }
    };
    drop(io);
    reply(brick, frame, args, image, data)
}

/// Finds data or a hole. (The stub, which is all hole, must not answer.)
pub(crate) fn seek(brick: &Arc<Brick>, call: Call<'_, Seek>) {
    let fd = call.args.fd.share();
    dispatch::or_image(brick, call, &fd.inode(), seek, |call, image| {
        brick.bind_late(&fd, &image);
        let Call { frame, args } = call.detach();
        // The mapping of a thin LV is asked of gluster-bdd.
        brick.on_control(move |brick| match find(brick, &args, &image) {
            Ok(offset) => frame.unwind(SeekReply {
                offset,
                xdata: None,
            }),
            Err(errno) => frame.fail(errno),
        });
    });
}

fn find(brick: &Brick, args: &SeekArgs<'_>, image: &Image) -> Result<i64, Errno> {
    const DATA: u32 = 0;
    const HOLE: u32 = 1;
    let from = u64::try_from(args.offset).map_err(|_| Errno::ENXIO)?;
    if from >= image.size() {
        return Err(Errno::ENXIO);
    }
    let found = match args.what {
        DATA => image.next_data(&brick.server, from),
        HOLE => image.next_hole(&brick.server, from).map(Some),
        _ => return Err(Errno::EINVAL),
    };
    let found = found.map_err(|failure| {
        gf_error!(
            "cannot seek in image <gfid:{}> at {from}: {failure}",
            image.gfid()
        );
        Errno::new(failure.errno())
    })?;
    let found = found.ok_or(Errno::ENXIO)?;
    i64::try_from(found).map_err(|_| Errno::EOVERFLOW)
}
