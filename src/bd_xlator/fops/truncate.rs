use std::sync::Arc;

use glusterfs::fops::{Ftruncate, FtruncateReply, Truncate, TruncateReply};
use glusterfs::{Call, Errno, Fop, Frame, Iatt, Inode};

use crate::ops::{dispatch, mode, resize};
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
        set_stub: |frame, args, size| resize::set_open(frame, &args.fd, size),
        reply: |prebuf, postbuf| FtruncateReply {
            prebuf,
            postbuf,
            xdata: None,
        },
    };
    sized(brick, call, &fd.inode(), how);
}

/// How one of the two fops sets a size.
struct How<F: Fop> {
    /// Whether the descriptor allows it.
    may: Result<(), Errno>,
    size: i64,
    again: fn(&Arc<Brick>, Call<'_, F>),
    /// Sets the size of the stub; answers its attributes before and after.
    set_stub: fn(&Frame<F>, &F::Args<'static>, u64) -> resize::Attributes,
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
            let done = resize::resize(brick, &frame, &image_inode, &image, size, |size| {
                (how.set_stub)(&frame, &args, size)
            });
            match done {
                Ok((prebuf, postbuf)) => frame.unwind((how.reply)(prebuf, postbuf)),
                Err(errno) => frame.fail(errno),
            }
        });
    };
    dispatch::or_image_from(brick, call, inode, size, how.again, on_image, Call::pass);
}
