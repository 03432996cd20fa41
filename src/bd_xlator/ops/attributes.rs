//! Attributes of images, where their stubs' are told.

use glusterfs::fops::{Fstat, FstatArgs};
use glusterfs::{Dict, Errno, Failure, Fd, Fop, Frame, Iatt};

use crate::{Brick, Image, names};

/// Attributes that posix has told, unless it told none.
pub(crate) fn known(told: Iatt) -> Option<Iatt> {
    Some(told).filter(|told| !told.is_empty())
}

/// Replaces the attributes of a stub that posix has told along with another answer.
pub(crate) fn dress_told(brick: &Brick, image: &Image, told: &Dict<'_>) {
    for name in [names::PRESTAT, names::POSTSTAT] {
        if let Some(mut iatt) = told.get_iatt(name) {
            brick.dress(image, &mut iatt);
            if told.set_iatt(name, &iatt).is_err() {
                told.remove(name);
            }
        }
    }
    if told.contains(names::BLOCK_COUNT) {
        let blocks = image.allocated_lately().div_ceil(bd_model::SECTOR);
        if told.set_u64(names::BLOCK_COUNT, blocks).is_err() {
            told.remove(names::BLOCK_COUNT);
        }
    }
}

/// The attributes of an open image, for answers of other fops.
pub(crate) fn of_fd<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    fd: &Fd<'_>,
    image: &Image,
) -> Result<Iatt, Errno> {
    let mut iatt = image.stub(|| {
        let reply = frame.ask::<Fstat>(FstatArgs {
            fd: fd.share(),
            xdata: None,
        });
        reply
            .map(|reply| reply.buf)
            .map_err(|failure: Failure<'_>| failure.errno)
    })?;
    brick.dress(image, &mut iatt);
    Ok(iatt)
}
