//! The end of a name, and with an image's last one the end of the image.

use std::sync::{Arc, MutexGuard};

use glusterfs::fops::{Stat, StatArgs};
use glusterfs::{Errno, Fop, Frame, Loc};

use crate::Brick;
use crate::Image;
use crate::ops::healed;
use crate::ops::named::Named;

/// A name that is about to go. If it is an image's, the image gets and loses no other name until this
/// has ended.
#[must_use]
pub(crate) struct NameRemoval<'a> {
    of_image: Option<OfImage<'a>>,
}

struct OfImage<'a> {
    brick: &'a Brick,
    named: &'a Named,
    image: &'a Arc<Image>,
    turn: MutexGuard<'a, ()>,
    /// It was the last name, and gluster-bdd knows that the image may go.
    marked: bool,
}

impl<'a> NameRemoval<'a> {
    /// Begins before posix is asked; an image is marked if it has one name left. Of no file, it is
    /// the removal of nothing.
    ///
    /// Only for threads that may wait, where it is an image.
    pub(crate) fn begin<F: Fop>(
        brick: &'a Brick,
        frame: &Frame<F>,
        named: Option<&'a Named>,
    ) -> Result<Self, Errno> {
        let Some((named, image)) = named.and_then(|named| Some((named, named.image.as_ref()?)))
        else {
            return Ok(NameRemoval { of_image: None });
        };
        let removal = |turn, marked| NameRemoval {
            of_image: Some(OfImage {
                brick,
                named,
                image,
                turn,
                marked,
            }),
        };
        let turn = image.naming();
        if names(frame, named, image)? > 1 {
            return Ok(removal(turn, false));
        }
        // gluster-bdd is not asked with the turn in hand.
        drop(turn);
        image.begin_removal();
        let marked = match brick.server.mark_for_removal(image.gfid()) {
            Ok(()) => true,
            // A name whose LV is gone already can go too.
            Err(error) if error.is_not_found() => false,
            Err(error) => {
                image.end_removal();
                return Err(brick.told("remove", image.gfid(), &error));
            }
        };
        if !marked {
            image.end_removal();
        }
        Ok(removal(image.naming(), marked))
    }

    /// Ends when posix has answered; `is_gone` says whether the name is gone. Says whether an image
    /// goes with it: it does not if it has got another name meanwhile.
    pub(crate) fn end<F: Fop>(self, frame: &Frame<F>, is_gone: bool) -> bool {
        match self.of_image {
            Some(it) if it.marked => it.end(frame, is_gone),
            _ => false,
        }
    }
}

impl OfImage<'_> {
    fn end<F: Fop>(self, frame: &Frame<F>, is_gone: bool) -> bool {
        let image = self.image;
        // One that is open is found without a name.
        let goes = is_gone && names(frame, self.named, image).unwrap_or(0) == 0;
        if goes {
            image.mark_orphan();
        }
        // Who removes the same name at the same time has marked the image as well, and needs that.
        let is_needed = !image.end_removal() || image.is_orphan() || image.is_gone();
        drop(self.turn);
        if !goes && !is_needed {
            healed::cancel_removal(self.brick, image.gfid());
        }
        goes
    }
}

/// How many names an image has.
fn names<F: Fop>(frame: &Frame<F>, named: &Named, image: &Image) -> Result<u32, Errno> {
    let loc = Loc::by_gfid(&named.inode, *image.gfid().as_bytes());
    let stub = frame.ask::<Stat>(StatArgs { loc, xdata: None })?;
    Ok(stub.buf.nlink())
}
