use std::sync::Arc;

use glusterfs::fops::{
    Ftruncate, FtruncateArgs, FtruncateReply, Truncate, TruncateArgs, TruncateReply,
};
use glusterfs::{Call, Errno, Fd, Fop, Frame, Iatt, gf_error, gf_warn};

use super::plain;
use crate::Brick;
use crate::core::Image;

/// Sets an image's size; the LV follows.
pub(crate) fn truncate(brick: &Arc<Brick>, call: Call<'_, Truncate>) {
    let Some(inode) = call.args.loc.inode().map(|inode| inode.share()) else {
        return call.pass();
    };
    let size = u64::try_from(call.args.offset).unwrap_or(0);
    plain::or_image_from(brick, call, &inode, size, truncate, |call, image| {
        let Call { frame, args } = call.detach();
        brick.on_control(move |brick| {
            let stub = |size| {
                let loc = args.loc.duplicate();
                let reply = frame.ask::<Truncate>(TruncateArgs {
                    loc,
                    offset: size,
                    xdata: None,
                })?;
                Ok((reply.prebuf, reply.postbuf))
            };
            match resize(brick, &image, args.offset, stub) {
                Ok((prebuf, postbuf)) => {
                    frame.unwind(TruncateReply {
                        prebuf,
                        postbuf,
                        xdata: None,
                    });
                }
                Err(errno) => frame.fail(errno),
            }
        });
    });
}

/// As [`truncate`].
pub(crate) fn ftruncate(brick: &Arc<Brick>, call: Call<'_, Ftruncate>) {
    let fd = call.args.fd.share();
    let size = u64::try_from(call.args.offset).unwrap_or(0);
    plain::or_image_from(brick, call, &fd.inode(), size, ftruncate, |call, image| {
        let Call { frame, args } = call.detach();
        brick.on_control(move |brick| {
            let stub = |size| {
                let fd = args.fd.share();
                let reply = frame.ask::<Ftruncate>(FtruncateArgs {
                    fd,
                    offset: size,
                    xdata: None,
                })?;
                Ok((reply.prebuf, reply.postbuf))
            };
            match resize(brick, &image, args.offset, stub) {
                Ok((prebuf, postbuf)) => {
                    frame.unwind(FtruncateReply {
                        prebuf,
                        postbuf,
                        xdata: None,
                    });
                }
                Err(errno) => frame.fail(errno),
            }
        });
    });
}

/// Sets the size of an image whose stub `set_stub` truncates.
fn resize(
    brick: &Brick,
    image: &Arc<Image>,
    size: i64,
    set_stub: impl Fn(i64) -> Result<(Iatt, Iatt), Errno>,
) -> Result<(Iatt, Iatt), Errno> {
    let size = u64::try_from(size).map_err(|_| Errno::EINVAL)?;
    let mut attributes = None;
    let mut set_stub_size = |size: u64| {
        let size = i64::try_from(size).map_err(|_| libc::EFBIG)?;
        let change = image.changing();
        let (before, after) = set_stub(size).map_err(Errno::raw)?;
        change.told(after);
        attributes = Some((before, after));
        Ok(())
    };
    // The stub's own mtime counts from here on.
    image.times().overrule();
    let given_back = image
        .truncate(&brick.link, size, &mut set_stub_size)
        .map_err(|failure| {
            gf_error!(
                "cannot resize image <gfid:{}> to {size} bytes: {failure}",
                image.gfid()
            );
            Errno::new(failure.errno())
        })?;
    if let Err(failure) = given_back {
        gf_warn!(
            "image <gfid:{}> has {size} bytes now, but its LV keeps what was cut off: {failure}",
            image.gfid()
        );
    }
    image.refresh_allocated(&brick.link);
    let (mut prebuf, mut postbuf) = attributes.ok_or(Errno::EIO)?;
    let old = prebuf.size();
    brick.dress(image, &mut prebuf);
    prebuf.set_size(old);
    brick.dress(image, &mut postbuf);
    Ok((prebuf, postbuf))
}

/// Sets the size of the stub of an open image, within another fop.
pub(crate) fn stub<F: Fop>(
    frame: &Frame<F>,
    fd: &Fd<'_>,
    image: &Arc<Image>,
    size: u64,
) -> Result<(), i32> {
    let change = image.changing();
    let args = FtruncateArgs {
        fd: fd.share(),
        offset: i64::try_from(size).map_err(|_| libc::EFBIG)?,
        xdata: None,
    };
    let reply = frame.ask::<Ftruncate>(args);
    let reply = reply.map_err(|failure| failure.errno.raw())?;
    change.told(reply.postbuf);
    Ok(())
}

/// Truncates an image within another fop, as an open with `O_TRUNC` does.
pub(crate) fn to_nothing<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    loc: &glusterfs::Loc<'_>,
    image: &Arc<Image>,
) -> Result<(), Errno> {
    let stub = |size| {
        let loc = loc.duplicate();
        let reply = frame.ask::<Truncate>(TruncateArgs {
            loc,
            offset: size,
            xdata: None,
        })?;
        Ok((reply.prebuf, reply.postbuf))
    };
    resize(brick, image, 0, stub).map(|_| ())
}
