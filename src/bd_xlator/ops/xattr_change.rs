//! Changes of attributes that posix makes.

use std::sync::Arc;

use bd_model::xattr;
use glusterfs::fops::Xdata;
use glusterfs::{Call, Dict, Fop, Inode};

use crate::Brick;
use crate::ops::attributes;

/// Lets posix change attributes of a file, which changes its ctime too. Posix has answered when
/// this returns.
pub(crate) fn pass_change<F: Fop>(brick: &Brick, call: Call<'_, F>, inode: &Inode<'_>) {
    let _change = brick.changing(inode);
    call.pass();
}

/// As [`pass_change`] for a fop whose answer tells the attributes of the file, which `xdata` finds:
/// those of an image must not be its stub's.
pub(crate) fn pass_dressed<F: Fop>(
    brick: &Arc<Brick>,
    call: Call<'_, F>,
    inode: &Inode<'_>,
    xdata: impl for<'r> Fn(&F::Reply<'r>) -> Xdata<'static> + Send + 'static,
) {
    let Ok(Some(image)) = brick.image_of(&call.frame, inode) else {
        return call.pass();
    };
    let change = image.changing();
    let brick = Arc::clone(brick);
    call.wind(move |frame, answer| {
        drop(change);
        if let Ok(reply) = &answer
            && let Some(told) = xdata(reply)
        {
            attributes::dress_told(&brick, &image, &told);
        }
        frame.answer(answer);
    });
}

pub(crate) fn share(xdata: &Xdata<'_>) -> Xdata<'static> {
    xdata.as_ref().map(Dict::share)
}

/// Whether nothing is to be changed: bd-client asks first where an arbiter would refuse nothing.
pub(crate) fn is_question(xdata: Option<&Dict<'_>>) -> bool {
    xdata.is_some_and(|xdata| xdata.contains(xattr::ONLY_ASK))
}
