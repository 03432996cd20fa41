use std::ffi::CStr;
use std::sync::Arc;

use glusterfs::fops::{Stat, StatArgs, Unlink, UnlinkArgs};
use glusterfs::{Call, Errno, Fop, Frame, Inode, Loc};

use super::{attributes, healed, rename};
use crate::Brick;
use crate::core::{Image, Kind};

/// Removes a name; with an image's last name its LV goes, after the last close.
pub(crate) fn unlink(brick: &Arc<Brick>, call: Call<'_, Unlink>) {
    let Some(inode) = call.args.loc.inode().map(|inode| inode.share()) else {
        return call.pass();
    };
    match brick.image_of(&call.frame, &inode) {
        Ok(Some(image)) => {
            let call = call.detach();
            brick.on_control(move |brick| unlink_image(brick, call, &inode, &image));
        }
        Ok(None) => call.pass(),
        Err(errno) => call.fail(errno),
    }
}

fn unlink_image(
    brick: &Arc<Brick>,
    call: Call<'static, Unlink>,
    inode: &Inode<'_>,
    image: &Arc<Image>,
) {
    let condemned = match Condemned::if_last(brick, &call.frame, inode, image) {
        Ok(condemned) => condemned,
        Err(errno) => return call.fail(errno),
    };
    let in_top = brick.lv_name_at(&call.args.loc).is_some();
    let change = image.changing();
    let (frame, answer) = call.ask();
    drop(change);
    if let Ok(reply) = &answer
        && let Some(told) = &reply.xdata
    {
        attributes::dress_told(brick, image, told);
    }
    match (condemned, answer) {
        (Some(condemned), Ok(reply)) => {
            condemned.execute();
            frame.unwind(reply);
            // The client need not wait for LVM.
            brick.remove_if_doomed(image);
        }
        (Some(condemned), Err(failure)) => {
            condemned.spare();
            frame.answer(Err(failure));
        }
        (None, answer) => {
            if answer.is_ok() && in_top {
                // It may have borne the name that is gone.
                rename::rename_lv(brick, image, None);
            }
            frame.answer(answer);
        }
    }
}

/// Removes a name that is below a directory which goes as a whole; done if there is no such image.
///
/// Only for threads that may wait.
pub(super) fn below<F: Fop>(
    brick: &Arc<Brick>,
    frame: &Frame<F>,
    dir: &Inode<'_>,
    name: &CStr,
    gfid: [u8; 16],
) -> Result<(), Errno> {
    let inode = dir.find(gfid).unwrap_or_else(|| dir.fresh());
    let Kind::Image(image) = brick.kind_of(frame, &inode, gfid)? else {
        return Ok(());
    };
    let condemned = Condemned::if_last(brick, frame, &inode, &image)?;
    let change = image.changing();
    let answer = frame.ask::<Unlink>(UnlinkArgs {
        loc: Loc::by_name(dir, name, &inode),
        xflags: 0,
        xdata: None,
    });
    drop(change);
    match (condemned, answer) {
        (Some(condemned), Ok(_)) => condemned.execute(),
        (Some(condemned), Err(failure)) => {
            condemned.spare();
            return Err(failure.errno);
        }
        (None, answer) => {
            answer?;
        }
    }
    inode.unlink(dir, name);
    brick.on_control(move |brick| brick.remove_if_doomed(&image));
    Ok(())
}

/// An image whose last name is about to go, as gluster-bdd knows too.
pub(crate) struct Condemned<'a> {
    brick: &'a Brick,
    image: &'a Arc<Image>,
}

impl<'a> Condemned<'a> {
    /// Condemns an image if it has one name left; else there is nothing to condemn.
    pub(crate) fn if_last<F: Fop>(
        brick: &'a Brick,
        frame: &Frame<F>,
        inode: &Inode<'_>,
        image: &'a Arc<Image>,
    ) -> Result<Option<Condemned<'a>>, Errno> {
        let loc = Loc::by_gfid(inode, *image.gfid().as_bytes());
        let stub = frame.ask::<Stat>(StatArgs { loc, xdata: None })?;
        if stub.buf.nlink() > 1 {
            return Ok(None);
        }
        match brick.link.condemn(image.gfid()) {
            Ok(()) => Ok(Some(Condemned { brick, image })),
            // A name whose LV is gone already can go too.
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(brick.told("remove", image.gfid(), &error)),
        }
    }

    /// The name is gone.
    pub(crate) fn execute(self) {
        self.image.doom();
    }

    /// The name is still there.
    pub(crate) fn spare(self) {
        healed::spare(self.brick, self.image.gfid());
    }
}
