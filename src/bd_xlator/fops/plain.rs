use std::sync::{Arc, PoisonError, TryLockError};

use glusterfs::{Call, Errno, Fop, Inode};

use crate::Brick;
use crate::core::Node;

/// Passes a fop on a plain file's data to posix, unless the file is just becoming an image: then
/// it waits, and `again` takes it from the start.
pub(crate) fn pass<F: Fop>(
    brick: &Arc<Brick>,
    call: Call<'_, F>,
    node: &Arc<Node>,
    again: fn(&Arc<Brick>, Call<'_, F>),
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
        return call.pass();
    }
    drop(guard);
    again(brick, call);
}

/// What a fop on data does: on an image `on_image`, on anything else what posix does.
pub(crate) fn or_image<F: Fop>(
    brick: &Arc<Brick>,
    call: Call<'_, F>,
    inode: &Inode<'_>,
    again: fn(&Arc<Brick>, Call<'_, F>),
    on_image: impl FnOnce(Call<'_, F>, Arc<crate::core::Image>),
) {
    match brick.image_of(&call.frame, inode) {
        Ok(Some(image)) => on_image(call, image),
        Ok(None) => pass(brick, call, &brick.node(inode), again),
        Err(errno) => call.fail(errno),
    }
}

/// Refuses a fop that images do not have (yet): the stub must never answer in their place.
pub(crate) fn refuse<F: Fop>(call: Call<'_, F>) {
    call.fail(Errno::EOPNOTSUPP);
}
