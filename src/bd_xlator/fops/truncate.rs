use std::sync::Arc;

use bd_model::ImageKind;
use glusterfs::fops::{Ftruncate, FtruncateArgs, FtruncateReply, Truncate, TruncateReply};
use glusterfs::{Call, Errno, Fd, Fop, Frame, Iatt, Inode, Loc, Service, gf_error, gf_warn};

use super::{above, attributes, mode, plain, quota};
use crate::Image;
use crate::{Brick, stub};

/// Sets an image's size; the LV follows.
pub(crate) fn truncate(brick: &Arc<Brick>, call: Call<'_, Truncate>) {
    let Some(inode) = call.args.loc.inode().map(|inode| inode.share()) else {
        return call.pass();
    };
    let how = How::<Truncate> {
        may: Ok(()),
        size: call.args.offset,
        again: truncate,
        set_stub: |frame, args, size| stub::set_size(frame, args.loc.duplicate(), size),
        reply: |prebuf, postbuf| TruncateReply {
            prebuf,
            postbuf,
            xdata: None,
        },
    };
    sized(brick, call, &inode, how);
}

/// As [`truncate`].
pub(crate) fn ftruncate(brick: &Arc<Brick>, call: Call<'_, Ftruncate>) {
    let fd = call.args.fd.share();
    let how = How::<Ftruncate> {
        // As the kernel says it.
        may: mode::writes(brick, &fd).map_err(|_| Errno::EINVAL),
        size: call.args.offset,
        again: ftruncate,
        set_stub: |frame, args, size| set_open(frame, &args.fd, size),
        reply: |prebuf, postbuf| FtruncateReply {
            prebuf,
            postbuf,
            xdata: None,
        },
    };
    sized(brick, call, &fd.inode(), how);
}

/// Attributes of a stub before and after a change.
type Attributes = Result<(Iatt, Iatt), Errno>;

/// How one of the two fops sets a size.
struct How<F: Fop> {
    /// Whether the descriptor allows it.
    may: Result<(), Errno>,
    size: i64,
    again: fn(&Arc<Brick>, Call<'_, F>),
    /// Sets the size of the stub; answers its attributes before and after.
    set_stub: fn(&Frame<F>, &F::Args<'static>, u64) -> Attributes,
    reply: fn(Iatt, Iatt) -> F::Reply<'static>,
}

fn sized<F: Fop>(brick: &Arc<Brick>, call: Call<'_, F>, inode: &Inode<'_>, how: How<F>) {
    let size = u64::try_from(how.size).unwrap_or(0);
    let image_inode = inode.share();
    let on_image = move |call: Call<'_, F>, image| {
        if let Err(errno) = how.may {
            return call.fail(errno);
        }
        let Call { frame, args } = call.detach();
        brick.on_control(move |brick| {
            let Ok(size) = u64::try_from(how.size) else {
                return frame.fail(Errno::EINVAL);
            };
            let done = resize(brick, &frame, &image_inode, &image, size, |size| {
                (how.set_stub)(&frame, &args, size)
            });
            match done {
                Ok((prebuf, postbuf)) => frame.unwind((how.reply)(prebuf, postbuf)),
                Err(errno) => frame.fail(errno),
            }
        });
    };
    plain::or_image_from(brick, call, inode, size, how.again, on_image, Call::pass);
}

/// Sets the size of an image whose stub `set_stub` truncates. A thick one has all of its bytes allocated,
/// which counts for quotas as if they were written.
fn resize<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    inode: &Inode<'_>,
    image: &Arc<Image>,
    size: u64,
    set_stub: impl Fn(u64) -> Attributes,
) -> Attributes {
    if size == 0 && frame.service() == Some(Service::Rebalance) {
        image.set_elsewhere(true);
    }
    let allocates = image.kind() == ImageKind::Thick && size > image.size();
    if allocates {
        quota::check_growth(frame, inode, size)?;
    }
    let mut attributes = None;
    let mut set_stub_size = |size: u64| {
        let _dating = image.dating();
        let change = image.changing();
        let (before, after) = set_stub(size).map_err(Errno::raw)?;
        change.told(attributes::known(after));
        attributes = Some((before, after));
        // Before anything of what is cut off goes.
        brick.make_last(image.gfid()).map_err(Errno::raw)
    };
    // The stub's own mtime counts from here on.
    image.times().overrule();
    let given_back = image
        .truncate(&brick.server, size, &mut set_stub_size)
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
    image.refresh_allocated(&brick.server);
    if allocates && let Err(errno) = above::count(frame, inode) {
        gf_warn!(
            "image <gfid:{}> is not counted for quotas yet: {errno}",
            image.gfid()
        );
    }
    let (mut prebuf, mut postbuf) = attributes.ok_or(Errno::EIO)?;
    let old = prebuf.size();
    brick.dress(image, &mut prebuf);
    prebuf.set_size(old);
    brick.dress(image, &mut postbuf);
    Ok((prebuf, postbuf))
}

/// Sets the size of the stub of an open image, within another fop.
pub(crate) fn stub_of<F: Fop>(
    frame: &Frame<F>,
    fd: &Fd<'_>,
    image: &Arc<Image>,
    size: u64,
) -> Result<(), i32> {
    let change = image.changing();
    let (_, after) = set_open(frame, fd, size).map_err(Errno::raw)?;
    change.told(attributes::known(after));
    Ok(())
}

pub(super) fn set_open<F: Fop>(frame: &Frame<F>, fd: &Fd<'_>, size: u64) -> Attributes {
    let reply = frame.ask::<Ftruncate>(FtruncateArgs {
        fd: fd.share(),
        offset: i64::try_from(size).map_err(|_| Errno::EFBIG)?,
        xdata: None,
    })?;
    Ok((reply.prebuf, reply.postbuf))
}

/// Sets the size of an image within another fop, as an open with `O_TRUNC` does.
pub(crate) fn to<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    loc: &Loc<'_>,
    image: &Arc<Image>,
    size: u64,
) -> Result<(), Errno> {
    let set_stub = |size| stub::set_size(frame, loc.duplicate(), size);
    let inode = loc.inode().ok_or(Errno::EINVAL)?;
    resize(brick, frame, &inode, image, size, set_stub).map(|_| ())
}
