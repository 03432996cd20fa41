use std::sync::Arc;

use bd_proto::Request;
use glusterfs::fops::Rename;
use glusterfs::{Call, Errno, Inode, Loc, gf_warn};

use super::unlink::Condemned;
use crate::Brick;
use crate::core::Image;

/// Renames a file; an image's LV follows, and an image that is replaced is removed.
pub(crate) fn rename(brick: &Arc<Brick>, call: Call<'_, Rename>) {
    let find = |loc: &Loc<'_>| match loc.inode() {
        Some(inode) if inode.gfid() != [0; 16] => brick.image_of(&call.frame, &inode),
        _ => Ok(None),
    };
    let moved = match find(&call.args.oldloc) {
        Ok(moved) => moved,
        Err(errno) => return call.fail(errno),
    };
    if moved.is_some() && call.args.newloc.is_elsewhere() {
        // Trash would move it; at this answer it has it removed.
        return call.fail(Errno::ENOTDIR);
    }
    let replaced = match find(&call.args.newloc) {
        Ok(replaced) => replaced,
        Err(errno) => return call.fail(errno),
    };
    if moved.is_none() && replaced.is_none() {
        return call.pass();
    }
    let call = call.detach();
    brick.on_control(move |brick| rename_image(brick, call, moved.as_ref(), replaced.as_ref()));
}

fn rename_image(
    brick: &Arc<Brick>,
    call: Call<'static, Rename>,
    moved: Option<&Arc<Image>>,
    replaced: Option<&Arc<Image>>,
) {
    let same_file = match (moved, replaced) {
        (Some(moved), Some(replaced)) => moved.gfid() == replaced.gfid(),
        _ => false,
    };
    let victim = replaced.filter(|_| !same_file);
    let target: Option<Inode<'static>> = call.args.newloc.inode().map(|inode| inode.share());
    let condemned = match (victim, &target) {
        (Some(image), Some(inode)) => match Condemned::if_last(brick, &call.frame, inode, image) {
            Ok(condemned) => condemned,
            Err(errno) => return call.fail(errno),
        },
        _ => None,
    };
    let was_in_top = brick.lv_name_at(&call.args.oldloc).is_some();
    let new_name = brick.lv_name_at(&call.args.newloc);
    let naming = victim.map(|victim| victim.naming());
    let changes = [moved, replaced].map(|image| image.map(Image::changing));
    let (frame, answer) = call.ask();
    drop(changes);
    let goes = match (&condemned, &target) {
        (Some(condemned), Some(inode)) => answer.is_ok() && condemned.doom(&frame, inode),
        _ => false,
    };
    drop(naming);
    if let Some(condemned) = condemned.filter(|_| !goes) {
        condemned.spare();
    }
    if answer.is_ok() {
        if let Some(victim) = victim {
            // First, as the LV's name becomes free by it.
            brick.remove_if_doomed(victim);
        }
        if let Some(image) = moved.filter(|_| !same_file && (was_in_top || new_name.is_some())) {
            rename_lv(brick, image, new_name);
        }
    }
    frame.answer(answer);
}

/// Lets an LV bear its file's name; `name` is the one that the file has just got in the top image
/// directory, if it has. It may fail: the name is for people only.
pub(crate) fn rename_lv(brick: &Brick, image: &Image, name: Option<String>) {
    let gfid = image.gfid();
    let request = Request::Rename {
        brick: brick.link.id(),
        gfid,
        name,
    };
    if let Err(error) = brick.link.tell_in_the_end(request)
        && !error.is_not_found()
    {
        gf_warn!("LV of renamed image <gfid:{gfid}> keeps its old name for now: {error}");
    }
}
