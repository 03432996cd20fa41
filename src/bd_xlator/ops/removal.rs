//! Steps of the removal of a name.

use std::sync::Arc;

use glusterfs::fops::{Unlink, UnlinkArgs};
use glusterfs::{Call, Errno, Fop, Frame, Inode, Loc};

use crate::ops::name_removal::NameRemoval;
use crate::ops::named::Named;
use crate::{Brick, Image};

/// What came of a try to change names.
pub(crate) enum Attempt<F: Fop> {
    Answered,
    /// A name leads elsewhere, or the file has failed with an errno, perhaps because it is gone.
    Again(Call<'static, F>, Option<Errno>),
}

/// Removes the name of an image which is below a directory that goes as a whole.
///
/// Only for threads that may wait.
pub(crate) fn below<F: Fop>(
    brick: &Arc<Brick>,
    frame: &Frame<F>,
    place: Loc<'static>,
    inode: Inode<'static>,
    image: Arc<Image>,
) -> Result<(), Errno> {
    let named = Named::image(inode, Arc::clone(&image));
    let removal = NameRemoval::begin(brick, frame, Some(&named))?;
    let change = image.changing();
    let answer = frame.ask::<Unlink>(UnlinkArgs {
        loc: place,
        xflags: 0,
        xdata: None,
    });
    drop(change);
    if removal.end(frame, answer.is_ok()) {
        brick.on_control(move |brick| brick.remove_if_orphan(&image));
    }
    answer?;
    Ok(())
}
