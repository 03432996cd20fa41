use std::sync::Arc;

use bd_model::Gfid;
use glusterfs::fops::Unlink;
use glusterfs::{Call, Errno};

use crate::Brick;
use crate::Image;
use crate::ops::name_removal::NameRemoval;
use crate::ops::named::{Named, name_of};
use crate::ops::removal::Attempt;
use crate::ops::{attributes, lv_name, merge};

/// Removes a name; with an image's last name its LV goes, after the last close.
pub(crate) fn unlink(brick: &Arc<Brick>, call: Call<'_, Unlink>) {
    match merge::is_asked(&call.args) {
        Ok(None) => {}
        Ok(Some(origin)) => {
            let call = call.detach();
            return brick.on_control(move |brick| unlink_merged(brick, call, origin));
        }
        Err(errno) => return call.fail(errno),
    }
    let named = match Named::as_asked(brick, &call.frame, &call.args.loc) {
        Ok(Some(named)) => named,
        Ok(None) => return call.pass(),
        Err(errno) => return call.fail(errno),
    };
    if named.image.is_none() {
        return unlink_plain(brick, call, named);
    }
    let call = call.detach();
    brick.on_control(move |brick| unlink_named(brick, call, named));
}

/// Removes the name of a snapshot by a merge into `origin`, or nothing: never what another client has put in
/// its place. What it leads to is looked up, as the brick's own memory of names may be behind.
fn unlink_merged(brick: &Arc<Brick>, mut call: Call<'static, Unlink>, origin: Gfid) {
    let named = match Named::as_is(brick, &call.frame, &call.args.loc) {
        Ok(Some(named)) => named,
        Ok(None) => return call.fail(Errno::ENOENT),
        Err(errno) => return call.fail(errno),
    };
    let Some(image) = &named.image else {
        return call.fail(Errno::ESTALE);
    };
    match merge::begin(brick, origin, image) {
        Ok(merge) => {
            named.put_into(&mut call.args.loc);
            merge::unlink(brick, call, image, merge);
        }
        Err(errno) => call.fail(errno),
    }
}

/// Removes the name of a file that is no image, without waiting for anybody.
fn unlink_plain(brick: &Arc<Brick>, call: Call<'_, Unlink>, named: Named) {
    let name = match name_of(&call.args.loc) {
        Ok(name) => name,
        // Posix says what is wrong with it.
        Err(_) => return call.pass(),
    };
    if let Some(_turn) = brick.names.at_once(&[name, named.turn()])
        && let Ok(true) = Named::is_at(Some(&named), &call.frame, &call.args.loc)
        && named.is_none_still(brick, &call.frame)
    {
        let (frame, answer) = call.ask();
        return frame.answer(answer);
    }
    let call = call.detach();
    brick.on_control(move |brick| unlink_named(brick, call, named));
}

/// Removes a name that leads to a file, or to what another client puts there meanwhile.
fn unlink_named(brick: &Arc<Brick>, mut call: Call<'static, Unlink>, mut named: Named) {
    loop {
        let failed = match attempt(brick, call, &named) {
            Attempt::Answered => return,
            Attempt::Again(back, failed) => {
                call = back;
                failed
            }
        };
        named = match Named::as_is(brick, &call.frame, &call.args.loc) {
            Ok(Some(found)) if failed.is_none() || !found.is(&named) => found,
            Ok(Some(_)) => {
                brick.note_kept(call.args.loc.parent_gfid());
                return call.fail(failed.unwrap_or(Errno::ESTALE));
            }
            Ok(None) => return call.fail(Errno::ENOENT),
            Err(errno) => return call.fail(errno),
        };
        named.put_into(&mut call.args.loc);
    }
}

fn attempt(brick: &Arc<Brick>, call: Call<'static, Unlink>, named: &Named) -> Attempt<Unlink> {
    let removal = match NameRemoval::begin(brick, &call.frame, Some(named)) {
        Ok(removal) => removal,
        Err(errno) => return Attempt::Again(call, Some(errno)),
    };
    let loc = call.args.loc.duplicate();
    let turn = name_of(&loc).map(|name| brick.names.wait(&[name, named.turn()]));
    let is_there = turn.and_then(|turn| {
        let is_at = Named::is_at(Some(named), &call.frame, &loc)?;
        Ok((turn, is_at && named.is_none_still(brick, &call.frame)))
    });
    let turn = match is_there {
        Ok((turn, true)) => turn,
        elsewhere => {
            let failed = elsewhere.err();
            removal.end(&call.frame, false);
            return Attempt::Again(call, failed);
        }
    };
    let change = named.image.as_ref().map(Image::changing);
    let (frame, answer) = call.ask();
    drop((change, turn));
    let is_gone = answer.is_ok();
    let goes = removal.end(&frame, is_gone);
    let Some(image) = &named.image else {
        frame.answer(answer);
        return Attempt::Answered;
    };
    if let Ok(reply) = &answer
        && let Some(told) = &reply.xdata
    {
        attributes::dress_told(brick, image, told);
    }
    if !goes && is_gone && brick.lv_name_at(&loc).is_some() {
        // It may have borne the name that is gone.
        lv_name::rename_lv(brick, image, None);
    }
    match is_gone.then(|| brick.make_name_last(&loc)) {
        Some(Err(errno)) => frame.fail(errno),
        Some(Ok(())) | None => frame.answer(answer),
    }
    if goes {
        // The client need not wait for LVM.
        brick.remove_if_orphan(image);
    }
    Attempt::Answered
}
