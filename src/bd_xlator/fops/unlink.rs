use std::sync::Arc;

use bd_proto::Request;
use glusterfs::fops::{Stat, StatArgs, Unlink};
use glusterfs::{Call, Errno, Fop, Frame, Inode, Loc, gf_warn};

use super::merge;
use crate::Brick;
use crate::core::Image;

/// Removes a name; with an image's last name its LV goes, after the last close.
pub(crate) fn unlink(brick: &Arc<Brick>, call: Call<'_, Unlink>) {
    let Some(inode) = call.args.loc.inode().map(|inode| inode.share()) else {
        return call.pass();
    };
    match brick.image_of(&call.frame, &inode) {
        Ok(Some(image)) => {
            let call = call.detach();
            match merge::begin(brick, &call.args, &image) {
                Ok(None) => {
                    brick.on_control(move |brick| unlink_image(brick, call, &inode, &image));
                }
                Ok(Some(merge)) => {
                    brick.on_control(move |brick| merge::unlink(brick, call, &image, merge));
                }
                Err(errno) => call.fail(errno),
            }
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
    let change = image.changing();
    let (frame, answer) = call.ask();
    drop(change);
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
        (None, answer) => frame.answer(answer),
    }
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
        let gfid = self.image.gfid();
        let request = Request::Spare {
            brick: self.brick.link.id(),
            gfid,
        };
        if let Err(error) = self.brick.link.tell_in_the_end(request) {
            gf_warn!("image <gfid:{gfid}> stays marked for removal for now: {error}");
        }
    }
}
