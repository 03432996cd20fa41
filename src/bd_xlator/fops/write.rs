use std::sync::Arc;

use glusterfs::fops::Xdata;
use glusterfs::fops::{Writev, WritevArgs, WritevReply};
use glusterfs::{Call, Dict, Errno, Frame, gf_error};

use super::{attributes, plain, sync, truncate};
use crate::core::{Image, WriteAt};
use crate::{Brick, names};

/// Writes to an image's device; a write past the end grows the image.
pub(crate) fn writev(brick: &Arc<Brick>, call: Call<'_, Writev>) {
    let fd = call.args.fd.share();
    let end = u64::try_from(call.args.offset)
        .unwrap_or(0)
        .saturating_add(call.args.data.len() as u64);
    plain::or_image_from(brick, call, &fd.inode(), end, writev, |call, image| {
        brick.bind_late(&fd, &image);
        let Call { frame, args } = call.detach();
        let grows = args.fd.flags() & libc::O_APPEND != 0 || end > image.size();
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
    });
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
    let mut set_stub_size = |size| truncate::stub(frame, &args.fd, image, size);
    let offset = image
        .write(&brick.link, at, &pieces, &mut set_stub_size)
        .map_err(|failure| {
            gf_error!(
                "cannot write {} bytes to image <gfid:{}> at {}: {failure}",
                args.data.len(),
                image.gfid(),
                args.offset
            );
            Errno::new(failure.errno())
        })?;
    brick.note_write(&args.fd.inode(), image, frame.ctime());
    if (args.fd.flags() | args.flags.cast_signed()) & (libc::O_SYNC | libc::O_DSYNC) != 0 {
        sync::to_disk(brick, frame, &args.fd, image, true)?;
    }
    let postbuf = attributes::of_fd(brick, frame, &args.fd, image)?;
    let written = u32::try_from(args.data.len()).map_err(|_| Errno::EINVAL)?;
    let xdata = answers_for_afr(args, offset >= prebuf.size())?;
    Ok(WritevReply {
        written,
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
    if asked.contains(names::WRITE_IS_APPEND) {
        answer.set_u32(names::WRITE_IS_APPEND, u32::from(is_append))?;
    }
    Ok(Some(answer))
}
