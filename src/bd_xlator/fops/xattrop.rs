use std::sync::Arc;

use bd_model::xattr;
use glusterfs::fops::{Fxattrop, Xattrop};
use glusterfs::{Call, Dict, Errno};

use crate::Brick;
use crate::ops::xattr_change::pass_change;

/// Numbers inside attributes, as AFR and EC keep them: posix changes them.
pub(crate) fn xattrop(brick: &Arc<Brick>, call: Call<'_, Xattrop>) {
    if has_ours(&call.args.xattr) {
        return call.fail(Errno::EPERM);
    }
    match call.args.loc.inode().map(|inode| inode.share()) {
        Some(inode) => pass_change(brick, call, &inode),
        None => call.pass(),
    }
}

/// As [`xattrop`].
pub(crate) fn fxattrop(brick: &Arc<Brick>, call: Call<'_, Fxattrop>) {
    if has_ours(&call.args.xattr) {
        return call.fail(Errno::EPERM);
    }
    let inode = call.args.fd.inode().share();
    pass_change(brick, call, &inode);
}

/// What is in our attributes are no numbers, and nobody counts in them.
pub(crate) fn has_ours(dict: &Dict<'_>) -> bool {
    dict.keys().iter().any(|key| xattr::is_ours(key))
}
