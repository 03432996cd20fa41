//! What happens when nobody has an image open any more.

use std::sync::Arc;

use glusterfs::{Errno, Inode, gf_warn};

use crate::ops::{flush, migration};
use crate::{Brick, Image};

/// Runs `open`, which binds a descriptor to the image unless it fails. Meanwhile the image counts
/// as open, so that no last close takes its device or its LV away.
pub(crate) fn held(brick: &Arc<Brick>, inode: &Inode<'_>, image: &Arc<Image>, open: impl FnOnce()) {
    image.opened();
    open();
    if image.released() {
        closed(brick, inode, image);
    }
}

/// Nobody has the image open any more.
pub(crate) fn closed(brick: &Arc<Brick>, inode: &Inode<'_>, image: &Arc<Image>) {
    if image.is_orphan() {
        return brick.remove_if_orphan(image);
    }
    flush::save_times(brick, inode, image);
    if let Err(error) = image.trim(&brick.server) {
        // It is larger than it has to be, until it is resized the next time.
        gf_warn!(
            "LV of image <gfid:{}> is not trimmed: {error}",
            image.gfid()
        );
    }
    match image.flush(&brick.server) {
        Ok(()) => image.close_idle_device(),
        // What is not flushed yet must be flushed by a later fsync on the same device.
        Err(errno) => gf_warn!(
            "device of image <gfid:{}> stays open: {}",
            image.gfid(),
            Errno::new(errno)
        ),
    }
    migration::leave(brick, inode, image);
}
