use std::ffi::CStr;
use std::sync::Arc;

use bd_model::{LinkMeans, xattr};
use glusterfs::fops::{Link, Symlink};
use glusterfs::{Call, Dict, Errno, Fop, Frame, Loc, gf_warn};

use crate::ops::lv_name;
use crate::{Brick, names};

/// Makes a second name where that is meant, and refuses one that means a clone: `bd-client` asks
/// for clones in another way, and a client without it would bind the new name to the old file.
pub(crate) fn link(brick: &Arc<Brick>, call: Call<'_, Link>) {
    let Some(inode) = call.args.oldloc.inode().map(|inode| inode.share()) else {
        return call.pass();
    };
    let image = match brick.image_of(&call.frame, &inode) {
        Ok(Some(image)) => image,
        Ok(None) => return call.pass(),
        Err(errno) => return call.fail(errno),
    };
    let is_too_long = |name: &CStr| name.count_bytes() > NAME_MAX;
    if call.args.newloc.name().is_some_and(is_too_long) {
        // Posix refuses it; bd-client asks with such a name whether the file may be changed.
        return call.pass();
    }
    match means_copy(
        brick,
        &call.frame,
        &call.args.newloc,
        call.args.xdata.as_ref(),
    ) {
        Ok(true) => refuse(call, "ln"),
        Ok(false) => {
            let name = brick.lv_name_at(&call.args.newloc);
            let call = call.detach();
            brick.on_control(move |brick| {
                let naming = image.naming();
                if image.has_fixed_name() {
                    return call.fail(Errno::EBUSY);
                }
                let change = image.changing();
                let (frame, answer) = call.ask();
                drop(change);
                drop(naming);
                if answer.is_ok() && name.is_some() {
                    lv_name::rename_lv(brick, &image, name);
                }
                frame.answer(answer);
            });
        }
        Err(errno) => call.fail(errno),
    }
}

/// Bytes of the longest name of a file, `NAME_MAX` of limits.h.
const NAME_MAX: usize = 255;

/// Makes a symbolic link where that is meant, and refuses one that may mean a snapshot.
pub(crate) fn symlink(brick: &Arc<Brick>, mut call: Call<'_, Symlink>) {
    match means_copy(brick, &call.frame, &call.args.loc, call.args.xdata.as_ref()) {
        Ok(true) => refuse(call, "ln -s"),
        Ok(false) => {
            if let Some(xdata) = call.args.xdata.take() {
                // Posix would keep it as an attribute of the link.
                let rest = xdata.duplicate();
                rest.remove(xattr::PLAIN);
                call.args.xdata = Some(rest);
            }
            call.pass();
        }
        Err(errno) => call.fail(errno),
    }
}

fn means_copy<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    new: &Loc<'_>,
    xdata: Option<&Dict<'_>>,
) -> Result<bool, Errno> {
    if is_internal(frame, xdata) || xdata.is_some_and(|xdata| xdata.contains(xattr::PLAIN)) {
        return Ok(false);
    }
    let policy = brick.policy_at(frame, new)?;
    Ok(policy.is_some_and(|policy| policy.link == LinkMeans::Clone))
}

/// Whether a translator asks and not a user: heal and rebalance have negative pids.
fn is_internal<F: Fop>(frame: &Frame<F>, xdata: Option<&Dict<'_>>) -> bool {
    frame.pid() < 0 || xdata.is_some_and(|xdata| xdata.contains(names::INTERNAL_FOP))
}

fn refuse<F: Fop>(call: Call<'_, F>, what: &str) {
    gf_warn!(
        "{what} in an image directory came without the translator features/bd-client: {call:?}; \
         install it on that client, then mount again"
    );
    call.fail(Errno::EOPNOTSUPP);
}
