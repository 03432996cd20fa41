//! Fops that images do not have: the stub must never answer in their place.

use std::sync::Arc;

use bd_model::xattr;
use glusterfs::fops::{CopyFileRange, Put};
use glusterfs::{Call, Dict, Errno};

use crate::Brick;
use crate::ops::dispatch;

/// Refused if either end is an image; clients then read and write.
pub(crate) fn copy_file_range(brick: &Arc<Brick>, call: Call<'_, CopyFileRange>) {
    let image = brick.image_of(&call.frame, &call.args.fd_in.inode());
    match image {
        Ok(Some(_)) => call.fail(Errno::EOPNOTSUPP),
        Ok(None) => {
            let fd = call.args.fd_out.share();
            dispatch::or_image(brick, call, &fd.inode(), copy_file_range, |call, _| {
                call.fail(Errno::EOPNOTSUPP);
            });
        }
        Err(errno) => call.fail(errno),
    }
}

/// Refused in image directories, where it would make a plain file in place of an image, and with
/// attributes of ours, which posix would keep unseen.
pub(crate) fn put(brick: &Arc<Brick>, call: Call<'_, Put>) {
    let has_ours = |dict: &Dict<'_>| dict.keys().iter().any(|key| xattr::is_ours(key));
    let args = &call.args;
    if args.xattr.as_ref().is_some_and(has_ours) || args.xdata.as_ref().is_some_and(has_ours) {
        return call.fail(Errno::EOPNOTSUPP);
    }
    match brick.policy_at(&call.frame, &call.args.loc) {
        Ok(Some(_)) => call.fail(Errno::EOPNOTSUPP),
        Ok(None) => call.pass(),
        Err(errno) => call.fail(errno),
    }
}
