use std::sync::Arc;

use blockdev::Span;
use glusterfs::fops::{Discard, DiscardReply, Fallocate, FallocateReply, Zerofill, ZerofillReply};
use glusterfs::{Call, Errno, Fd, Fop, Frame, Iatt, gf_error};

use crate::Brick;
use crate::Image;
use crate::ops::{above, attributes, dispatch, early, mode, resize};
use bd_image::Failure;

/// Allocates a range of an image, and grows the image to hold it unless told to keep its size.
pub(crate) fn fallocate(brick: &Arc<Brick>, call: Call<'_, Fallocate>) {
    if above::is_ours(&call.args.xdata) {
        return above::answer_allocation(call);
    }
    let fd = call.args.fd.share();
    let on_image = |call: Call<'_, Fallocate>, image| {
        let Call { frame, args } = call.detach();
        brick.on_control(move |brick| {
            let done =
                span_to_write(brick, &args.fd, args.offset, args.len as u64).and_then(|span| {
                    change(
                        brick,
                        &frame,
                        &args.fd,
                        &image,
                        "allocate",
                        |set_stub_size| {
                            if args.keep_size == 0 {
                                image.note_written_here(span.end);
                                image.grow(&brick.server, span.end, set_stub_size)?;
                            }
                            image.provision(&brick.server, span)
                        },
                    )
                });
            match done {
                Ok((preop, postop)) => {
                    frame.unwind(FallocateReply {
                        preop,
                        postop,
                        xdata: None,
                    });
                }
                Err(errno) => frame.fail(errno),
            }
        });
    };
    let on_plain = |call: Call<'_, Fallocate>| match early::allocation(&call) {
        Ok(Some((preop, postop))) => call.unwind(FallocateReply {
            preop,
            postop,
            xdata: None,
        }),
        Ok(None) => call.pass(),
        Err(errno) => call.fail(errno),
    };
    dispatch::either(brick, call, &fd.inode(), fallocate, on_image, on_plain);
}

/// Frees a range of an image, which then reads as zeros.
pub(crate) fn discard(brick: &Arc<Brick>, call: Call<'_, Discard>) {
    let fd = call.args.fd.share();
    dispatch::or_image(brick, call, &fd.inode(), discard, |call, image| {
        let Call { frame, args } = call.detach();
        brick.on_control(move |brick| {
            let done =
                span_to_write(brick, &args.fd, args.offset, args.len as u64).and_then(|span| {
                    change(brick, &frame, &args.fd, &image, "discard", |_| {
                        image.zero(&brick.server, span)
                    })
                });
            match done {
                Ok((preop, postop)) => {
                    frame.unwind(DiscardReply {
                        preop,
                        postop,
                        xdata: None,
                    });
                }
                Err(errno) => frame.fail(errno),
            }
        });
    });
}

/// Fills a range of an image with zeros, and grows the image to hold it.
///
/// Blocks are given back, as far as that goes, but for those of a range that was added just now and is zeroed
/// as a whole: nobody needs zeros there, and QEMU asks so for all of an image to be allocated.
pub(crate) fn zerofill(brick: &Arc<Brick>, call: Call<'_, Zerofill>) {
    let fd = call.args.fd.share();
    dispatch::or_image(brick, call, &fd.inode(), zerofill, |call, image| {
        let Call { frame, args } = call.detach();
        brick.on_control(move |brick| {
            let len = u64::try_from(args.len).map_err(|_| Errno::EINVAL);
            let done = len
                .and_then(|len| span_to_write(brick, &args.fd, args.offset, len))
                .and_then(|span| {
                    change(brick, &frame, &args.fd, &image, "zero", |set_stub_size| {
                        let is_new = image.take_grown(span);
                        image.zero(&brick.server, span)?;
                        image.note_written_here(span.end);
                        image.grow(&brick.server, span.end, set_stub_size)?;
                        match is_new {
                            true => image.provision(&brick.server, span),
                            false => Ok(()),
                        }
                    })
                });
            match done {
                Ok((preop, postop)) => {
                    frame.unwind(ZerofillReply {
                        preop,
                        postop,
                        xdata: None,
                    });
                }
                Err(errno) => frame.fail(errno),
            }
        });
    });
}

fn span_to_write(brick: &Brick, fd: &Fd<'_>, offset: i64, len: u64) -> Result<Span, Errno> {
    mode::writes(brick, fd)?;
    span_of(offset, len)
}

fn span_of(offset: i64, len: u64) -> Result<Span, Errno> {
    let start = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    let end = start
        .checked_add(len)
        .filter(|end| i64::try_from(*end).is_ok());
    end.map(|end| Span { start, end }).ok_or(Errno::EFBIG)
}

/// Does `work` on an image and answers its attributes before and after.
fn change<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    fd: &Fd<'_>,
    image: &Arc<Image>,
    what: &str,
    work: impl FnOnce(&mut dyn FnMut(u64) -> Result<(), i32>) -> Result<(), Failure>,
) -> Result<(Iatt, Iatt), Errno> {
    let before = attributes::of_fd(brick, frame, fd, image)?;
    let mut set_stub_size = |size| resize::stub_of(frame, fd, image, size);
    work(&mut set_stub_size).map_err(|failure| {
        gf_error!(
            "cannot {what} a range of image <gfid:{}>: {failure}",
            image.gfid()
        );
        Errno::new(failure.errno())
    })?;
    brick.note_change(frame, &fd.inode(), image);
    image.refresh_allocated(&brick.server);
    Ok((before, attributes::of_fd(brick, frame, fd, image)?))
}
