//! Stubs that waited for their LV too long: the client that made them has died.

use std::ffi::CString;
use std::time::Instant;

use bd_model::{Gfid, ImageMark};
use glusterfs::fops::LookupReply;
use glusterfs::{Credentials, Errno, Inode, Stack, gf_info, gf_warn};

use crate::{Brick, stub};

/// Removes stubs that waited for their LV too long: the client that made them has died.
pub(crate) fn remove_abandoned(brick: &Brick) {
    let Some(root) = brick.xl.node().root_inode() else {
        return;
    };
    let old = brick.unfinished_copies().take_abandoned(Instant::now());
    if old.is_empty() {
        return;
    }
    let stack = Stack::new(brick.xl.node(), &Credentials::root());
    for (gfid, waits) in old {
        match remove_stub(brick, &stack, &root, gfid, waits.parent, &waits.name) {
            Ok(true) => {
                brick.unfinished_copies().forget(gfid);
                gf_info!("removed {}, whose copy was never asked for", waits.name);
            }
            Ok(false) => {}
            Err(errno) => gf_warn!("cannot remove abandoned {}: {errno}", waits.name),
        }
    }
}

/// Removes a stub if it still is what it was: that name, that gfid, still pending.
pub(crate) fn remove_stub(
    brick: &Brick,
    stack: &Stack,
    root: &Inode<'_>,
    gfid: Gfid,
    parent: Gfid,
    name: &str,
) -> Result<bool, Errno> {
    let Some(parent) = root.find(*parent.as_bytes()) else {
        return Ok(false);
    };
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    let is_pending = |found: &LookupReply<'_>| {
        matches!(stub::mark_in(found), Ok(Some(ImageMark::Pending { .. })))
    };
    stub::unlink_if(brick, stack, &parent, &name, *gfid.as_bytes(), is_pending)
}
