use std::sync::Arc;

use glusterfs::fops::{Readv, ReadvArgs, ReadvReply, Seek, SeekReply};
use glusterfs::{Call, Errno, Frame, Iobuf, Payload, gf_error};

use super::{attributes, plain};
use crate::Brick;
use crate::core::Image;

/// Reads an image from its device, clipped at its size.
pub(crate) fn readv(brick: &Arc<Brick>, call: Call<'_, Readv>) {
    let fd = call.args.fd.share();
    plain::or_image(brick, call, &fd.inode(), readv, |call, image| {
        brick.bind_late(&fd, &image);
        let Call { frame, args } = call.detach();
        let held = Arc::clone(&image);
        brick.on_data(&held, move |brick| {
            match read(brick, &frame, &args, &image) {
                Ok(reply) => frame.unwind(reply),
                Err(errno) => frame.fail(errno),
            }
        });
    });
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
        .device(&brick.link)
        .map_err(|error| brick.told("open", image.gfid(), &error))?;
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
            let skip = length(plan.skip)?;
            buffer.into_payload(skip..skip + length(plan.len)?)
        }
    };
    drop(io);
    let eof = offset.saturating_add(data.len() as u64) >= image.size();
    let stbuf = attributes::of_fd(brick, frame, &args.fd, image)?;
    Ok(ReadvReply {
        eof,
        data,
        stbuf,
        xdata: None,
    })
}

/// Finds data or the hole at the end: an image counts as data from end to end, as any file may.
/// (The stub, which is all hole, must not answer.)
pub(crate) fn seek(brick: &Arc<Brick>, call: Call<'_, Seek>) {
    const DATA: u32 = 0;
    const HOLE: u32 = 1;
    let fd = call.args.fd.share();
    plain::or_image(brick, call, &fd.inode(), seek, |call, image| {
        let size = i64::try_from(image.size()).unwrap_or(i64::MAX);
        match (call.args.what, call.args.offset) {
            (_, offset) if !(0..size).contains(&offset) => call.fail(Errno::ENXIO),
            (DATA, offset) => call.unwind(SeekReply {
                offset,
                xdata: None,
            }),
            (HOLE, _) => call.unwind(SeekReply {
                offset: size,
                xdata: None,
            }),
            _ => call.fail(Errno::EINVAL),
        }
    });
}
