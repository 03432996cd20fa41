use std::sync::Arc;

use glusterfs::fops::{Stat, StatArgs, Unlink, UnlinkArgs};
use glusterfs::{Call, Errno, Fop, Frame, Inode, Loc};

use super::{attributes, healed, merge, rename};
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
        Err(errno) => {
            brick.note_kept(call.args.loc.parent_gfid());
            return call.fail(errno);
        }
    };
    let in_top = brick.lv_name_at(&call.args.loc).is_some();
    let naming = image.naming();
    let change = image.changing();
    let (frame, answer) = call.ask();
    drop(change);
    if let Ok(reply) = &answer
        && let Some(told) = &reply.xdata
    {
        attributes::dress_told(brick, image, told);
    }
    let is_gone = answer.is_ok();
    let goes = is_gone && condemned.as_ref().is_some_and(|it| it.doom(&frame, inode));
    drop(naming);
    match condemned {
        Some(_) if goes => {
            frame.answer(answer);
            // The client need not wait for LVM.
            return brick.remove_if_doomed(image);
        }
        Some(condemned) => condemned.spare(),
        None => {}
    }
    if is_gone && in_top {
        // It may have borne the name that is gone.
        rename::rename_lv(brick, image, None);
    }
    frame.answer(answer);
}

/// Removes the name of an image which is below a directory that goes as a whole.
///
/// Only for threads that may wait.
pub(super) fn below<F: Fop>(
    brick: &Arc<Brick>,
    frame: &Frame<F>,
    place: Loc<'static>,
    inode: &Inode<'_>,
    image: Arc<Image>,
) -> Result<(), Errno> {
    let condemned = Condemned::if_last(brick, frame, inode, &image)?;
    let naming = image.naming();
    let change = image.changing();
    let answer = frame.ask::<Unlink>(UnlinkArgs {
        loc: place,
        xflags: 0,
        xdata: None,
    });
    drop(change);
    let goes = answer.is_ok() && condemned.as_ref().is_some_and(|it| it.doom(frame, inode));
    drop(naming);
    match condemned {
        Some(_) if goes => brick.on_control(move |brick| brick.remove_if_doomed(&image)),
        Some(condemned) => condemned.spare(),
        None => {}
    }
    answer?;
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

    /// The name is gone: the image goes, unless it has got another name meanwhile. Says whether it
    /// does. Its turn must be held ([`Image::naming`]).
    pub(crate) fn doom<F: Fop>(&self, frame: &Frame<F>, inode: &Inode<'_>) -> bool {
        let loc = Loc::by_gfid(inode, *self.image.gfid().as_bytes());
        let stub = frame.ask::<Stat>(StatArgs { loc, xdata: None });
        // One that is open is found without a name.
        let goes = stub.map_or(true, |stub| stub.buf.nlink() == 0);
        if goes {
            self.image.doom();
        }
        goes
    }

    /// It has a name still, or another.
    pub(crate) fn spare(self) {
        healed::spare(self.brick, self.image.gfid());
    }
}
