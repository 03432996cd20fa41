use std::sync::{Arc, PoisonError, TryLockError};

use bd_model::ImageKind;
use glusterfs::{Call, Errno, FileType, Fop, Frame, Inode};

use crate::Brick;
use crate::Image;
use crate::inode_state::{InodeState, Kind};
use crate::ops::convert;

/// Does to a plain file what a fop on data does, which `on_plain` ends before it returns, unless the
/// file is just becoming an image: then it waits, and `again` takes it from the start.
fn while_plain<'a, F: Fop>(
    brick: &Arc<Brick>,
    call: Call<'a, F>,
    node: &Arc<InodeState>,
    again: fn(&Arc<Brick>, Call<'_, F>),
    on_plain: impl FnOnce(Call<'a, F>),
) {
    let guard = match node.plain_io().try_read() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => {
            let (call, node) = (call.detach(), Arc::clone(node));
            return brick.on_control(move |brick| {
                drop(
                    node.plain_io()
                        .read()
                        .unwrap_or_else(PoisonError::into_inner),
                );
                again(brick, call);
            });
        }
    };
    if node.image().is_none() {
        // Posix answers before this returns, and so before the guard goes.
        return on_plain(call);
    }
    drop(guard);
    again(brick, call);
}

/// What a fop on data does: on an image `on_image`, on anything else what posix does. A copy
/// that is not finished is busy.
pub(crate) fn or_image<F: Fop>(
    brick: &Arc<Brick>,
    call: Call<'_, F>,
    inode: &Inode<'_>,
    again: fn(&Arc<Brick>, Call<'_, F>),
    on_image: impl FnOnce(Call<'_, F>, Arc<Image>),
) {
    either(brick, call, inode, again, on_image, Call::pass);
}

/// As [`or_image`], where `on_plain` is done to anything else, and must have ended when it returns.
pub(crate) fn either<'a, F: Fop>(
    brick: &Arc<Brick>,
    call: Call<'a, F>,
    inode: &Inode<'_>,
    again: fn(&Arc<Brick>, Call<'_, F>),
    on_image: impl FnOnce(Call<'a, F>, Arc<Image>),
    on_plain: impl FnOnce(Call<'a, F>),
) {
    match brick.kind_of(&call.frame, inode, inode.gfid()) {
        Ok(Kind::Image(image)) => on_image(call, image),
        Ok(Kind::Pending) => call.fail(Errno::EBUSY),
        Ok(Kind::Unknown | Kind::Plain) => {
            while_plain(brick, call, &brick.state_of(inode), again, on_plain);
        }
        Err(errno) => call.fail(errno),
    }
}

/// As [`or_image`] for a fop that makes a file at least `size` bytes long: where the directory
/// says that files become images at some size, it becomes one first.
pub(crate) fn or_image_from<'a, F: Fop>(
    brick: &Arc<Brick>,
    call: Call<'a, F>,
    inode: &Inode<'_>,
    size: u64,
    again: fn(&Arc<Brick>, Call<'_, F>),
    on_image: impl FnOnce(Call<'a, F>, Arc<Image>),
    on_plain: impl FnOnce(Call<'a, F>),
) {
    let (image, kind) = match becomes(brick, &call.frame, inode, size) {
        Ok(found) => found,
        Err(errno) => return call.fail(errno),
    };
    match (image, kind) {
        (Some(image), _) => on_image(call, image),
        (None, None) => while_plain(brick, call, &brick.state_of(inode), again, on_plain),
        (None, Some(kind)) => {
            let (call, inode) = (call.detach(), inode.share());
            brick.on_control(move |brick| {
                let name = brick.lv_name_of(&inode);
                match convert::to_image(brick, &call.frame, &inode, name, kind, None) {
                    Ok(()) => again(brick, call),
                    Err(errno) => call.fail(errno),
                }
            });
        }
    }
}

/// The image that a file is, or else the kind of image that it is to become.
fn becomes<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    inode: &Inode<'_>,
    size: u64,
) -> Result<(Option<Arc<Image>>, Option<ImageKind>), Errno> {
    match brick.kind_of(frame, inode, inode.gfid())? {
        Kind::Image(image) => return Ok((Some(image), None)),
        Kind::Pending => return Err(Errno::EBUSY),
        Kind::Unknown | Kind::Plain => {}
    }
    let Some(dir) = inode
        .parent()
        .filter(|_| inode.file_type() == FileType::Regular)
    else {
        return Ok((None, None));
    };
    let policy = brick.policy_of(frame, &dir, dir.gfid())?;
    let policy = policy.filter(|policy| policy.image_from.0 > 0 && size >= policy.image_from.0);
    Ok((None, policy.map(|policy| brick.kind_for(policy.kind))))
}
