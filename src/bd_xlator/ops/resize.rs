//! The size of an image, and of its stub.

use std::sync::Arc;

use bd_model::ImageKind;
use glusterfs::fops::{Ftruncate, FtruncateArgs};
use glusterfs::{Errno, Fd, Fop, Frame, Iatt, Inode, Loc, Service, gf_error, gf_warn};

use crate::ops::{above, attributes, quota};
use crate::{Brick, Image, stub};

/// Attributes of a stub before and after a change.
pub(crate) type Attributes = Result<(Iatt, Iatt), Errno>;

/// Sets the size of an image whose stub `set_stub` truncates. A thick one has all of its bytes allocated,
/// which counts for quotas as if they were written.
pub(crate) fn resize<F: Fop>(
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

pub(crate) fn set_open<F: Fop>(frame: &Frame<F>, fd: &Fd<'_>, size: u64) -> Attributes {
    let reply = frame.ask::<Ftruncate>(FtruncateArgs {
        fd: fd.share(),
        offset: i64::try_from(size).map_err(|_| Errno::EFBIG)?,
        xdata: None,
    })?;
    Ok((reply.prebuf, reply.postbuf))
}
