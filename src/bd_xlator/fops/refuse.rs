//! Fops on data that images do not have yet.

use std::sync::Arc;

use glusterfs::fops::{CopyFileRange, Discard, Fallocate, Put, Rchecksum, Zerofill};
use glusterfs::{Call, Errno};

use super::plain;
use crate::Brick;

/// Refused on images.
pub(crate) fn fallocate(brick: &Arc<Brick>, call: Call<'_, Fallocate>) {
    let fd = call.args.fd.share();
    plain::or_image(brick, call, &fd.inode(), fallocate, |call, _| {
        plain::refuse(call)
    });
}

/// Refused on images.
pub(crate) fn discard(brick: &Arc<Brick>, call: Call<'_, Discard>) {
    let fd = call.args.fd.share();
    plain::or_image(brick, call, &fd.inode(), discard, |call, _| {
        plain::refuse(call)
    });
}

/// Refused on images.
pub(crate) fn zerofill(brick: &Arc<Brick>, call: Call<'_, Zerofill>) {
    let fd = call.args.fd.share();
    plain::or_image(brick, call, &fd.inode(), zerofill, |call, _| {
        plain::refuse(call)
    });
}

/// Refused on images.
pub(crate) fn rchecksum(brick: &Arc<Brick>, call: Call<'_, Rchecksum>) {
    let fd = call.args.fd.share();
    plain::or_image(brick, call, &fd.inode(), rchecksum, |call, _| {
        plain::refuse(call)
    });
}

/// Refused if either end is an image.
pub(crate) fn copy_file_range(brick: &Arc<Brick>, call: Call<'_, CopyFileRange>) {
    let image = brick.image_of(&call.frame, &call.args.fd_in.inode());
    match image {
        Ok(Some(_)) => plain::refuse(call),
        Ok(None) => {
            let fd = call.args.fd_out.share();
            plain::or_image(brick, call, &fd.inode(), copy_file_range, |call, _| {
                plain::refuse(call);
            });
        }
        Err(errno) => call.fail(errno),
    }
}

/// Refused in image directories, where it would make a plain file in place of an image.
pub(crate) fn put(brick: &Arc<Brick>, call: Call<'_, Put>) {
    match brick.policy_at(&call.frame, &call.args.loc) {
        Ok(Some(_)) => call.fail(Errno::EOPNOTSUPP),
        Ok(None) => call.pass(),
        Err(errno) => call.fail(errno),
    }
}
