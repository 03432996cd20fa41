//! Names that heal makes, and LVs that it finds.
//!
//! Heal brings back a name that a brick missed by a mknod with the gfid of the file. If the brick has
//! that file, under another name or open without one, posix gives it the name. If the brick has lost
//! the file and kept its LV, the LV is used again.

use std::sync::Arc;

use bd_model::{Gfid, xattr};
use bd_proto::{ImageInfo, Reply, Request};
use glusterfs::fops::{Lookup, LookupArgs, Mknod};
use glusterfs::{Call, Dict, Errno, Fop, Frame, Inode, Loc, gf_error, gf_info, gf_warn};

use crate::Image;
use crate::inode_state::Kind;
use crate::ops::lv_name;
use crate::{Brick, names, stub};

/// Whether heal asks for a file: a translator does, and not in a client's name.
pub(crate) fn is_asked<F: Fop>(frame: &Frame<F>, xdata: Option<&Dict<'_>>) -> bool {
    frame.pid() < 0 && xdata.is_some_and(|xdata| xdata.contains(names::INTERNAL_FOP))
}

/// Lets posix give a name to a file that the brick has, if a mknod means that; else gives the call
/// back. Where the file has just gone, `again` takes the mknod from the start.
pub(crate) fn give_name<'a>(
    brick: &Arc<Brick>,
    call: Call<'a, Mknod>,
    again: fn(&Arc<Brick>, Call<'_, Mknod>),
) -> Option<Call<'a, Mknod>> {
    let xdata = call.args.xdata.as_ref();
    let internal = xdata.filter(|xdata| xdata.contains(names::INTERNAL_FOP));
    let gfid = internal.and_then(|xdata| xdata.get_gfid(names::GFID_REQ));
    let fresh = call.args.loc.inode().map(|inode| inode.fresh());
    let (Some(gfid), Some(fresh)) = (gfid, fresh) else {
        return Some(call);
    };
    let inode = fresh.find(gfid).unwrap_or(fresh);
    match brick.kind_of(&call.frame, &inode, gfid) {
        Err(Errno::ENOENT | Errno::ESTALE) => return Some(call),
        Err(errno) => call.fail(errno),
        Ok(Kind::Image(image)) => {
            let call = call.detach();
            brick.on_control(move |brick| name_image(brick, call, &inode, &image, again));
        }
        Ok(Kind::Plain | Kind::Pending) => call.pass(),
        // Its LV goes just now: heal comes again.
        Ok(Kind::Unknown) => call.fail(Errno::ESTALE),
    }
    None
}

fn name_image(
    brick: &Arc<Brick>,
    call: Call<'static, Mknod>,
    inode: &Inode<'_>,
    image: &Arc<Image>,
    again: fn(&Arc<Brick>, Call<'_, Mknod>),
) {
    // One without a name goes, unless somebody has it open: then it stays what it is.
    brick.remove_if_orphan(image);
    let naming = image.naming();
    if image.has_fixed_name() {
        // Heal comes again.
        return call.fail(Errno::EBUSY);
    }
    let revived = image.revive();
    if image.is_gone() {
        drop(naming);
        return again(brick, call);
    }
    let name = brick.lv_name_at(&call.args.loc);
    let change = image.changing();
    let (frame, answer) = call.ask();
    drop(change);
    if revived && answer.is_err() {
        image.mark_orphan();
    }
    if revived
        && answer.is_ok()
        && let Err(errno) = keep_stub(&frame, inode, image)
    {
        gf_error!("stub of <gfid:{}> lacks its mark: {errno}", image.gfid());
    }
    drop(naming);
    match (&answer, revived) {
        (Ok(_), true) => {
            cancel_removal(brick, image.gfid());
            gf_info!(
                "image <gfid:{}> was open and has a name again",
                image.gfid()
            );
        }
        (Err(_), true) => brick.remove_if_orphan(image),
        (_, false) => {}
    }
    // One that had lost its last name may bear that still.
    if answer.is_ok() && (name.is_some() || revived) {
        lv_name::rename_lv(brick, image, name);
    }
    frame.answer(answer);
}

/// Makes sure that the stub of an image that was open without a name has what an image's has: posix
/// makes a new file where it does not find the old one.
fn keep_stub<F: Fop>(frame: &Frame<F>, inode: &Inode<'_>, image: &Image) -> Result<(), Errno> {
    let loc = || Loc::by_gfid(inode, *image.gfid().as_bytes());
    let request = Dict::new();
    request.set_u32(xattr::IMAGE, 0)?;
    let found = frame.ask::<Lookup>(LookupArgs {
        loc: loc(),
        xdata: Some(request),
    })?;
    if found
        .xdata
        .is_some_and(|xdata| xdata.contains(xattr::IMAGE))
    {
        return Ok(());
    }
    stub::set_size(frame, loc(), image.size())?;
    stub::mark(frame, loc(), image.kind(), Dict::new())
}

/// Tells gluster-bdd that an image that was marked for removal stays.
pub(crate) fn cancel_removal(brick: &Brick, gfid: Gfid) {
    let request = Request::Spare {
        brick: brick.server.id(),
        gfid,
    };
    if let Err(error) = brick.server.tell_in_the_end(request) {
        gf_warn!("image <gfid:{gfid}> stays marked for removal for now: {error}");
    }
}

/// Takes the LV again of an image whose names this brick has lost; `None` if there is none.
pub(crate) fn retake(
    brick: &Brick,
    gfid: Gfid,
    name: Option<String>,
) -> Result<Option<ImageInfo>, Errno> {
    let request = Request::Retake {
        brick: brick.server.id(),
        gfid,
        name,
    };
    match brick.server.ask(&request) {
        Ok(Reply::Image(known)) => {
            gf_warn!(
                "image <gfid:{gfid}> has its LV {} again, which heal compares with the others",
                known.lv
            );
            Ok(Some(known))
        }
        Ok(_) => Err(Errno::EPROTO),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(brick.told("take again", gfid, &error)),
    }
}
