//! Attributes of images, and when they were written.

use std::sync::Arc;

use bd_image::Timestamp;
use bd_model::Gfid;
use glusterfs::fops::Discard;
use glusterfs::{Fop, Frame, Iatt, Inode, Moment};

use super::{Brick, lock};
use crate::{Changing, Image};

impl Brick {
    /// Notes what a fop has written, so that the stub's mtime follows.
    pub(crate) fn note_change<F: Fop>(
        &self,
        frame: &Frame<F>,
        inode: &Inode<'_>,
        image: &Arc<Image>,
    ) {
        // GlusterFS gives no time to a discard (`features/utime`), and each brick would take its own. On
        // a stock brick it leaves none.
        let timeless = F::index() == Discard::index() && frame.time_flags() == 0;
        if frame.leaves_time() && !(timeless && self.times_by_clients) {
            self.note_write(inode, image, frame.ctime());
        }
    }

    /// Notes a write, so that the stub's mtime follows.
    pub(crate) fn note_write(&self, inode: &Inode<'_>, image: &Arc<Image>, at: Option<Moment>) {
        let at = at.unwrap_or_else(Moment::now);
        if image.note_write(timestamp(at)) {
            self.save_later(inode, image);
        }
    }

    /// Puts an image on the list of those whose stubs do not know when they were written.
    pub(crate) fn save_later(&self, inode: &Inode<'_>, image: &Arc<Image>) {
        lock(&self.unsaved).push((inode.share(), Arc::clone(image)));
    }

    /// Whether posix keeps the times that clients give to fops.
    pub(crate) fn keeps_times_of_clients(&self) -> bool {
        self.times_by_clients
    }

    /// Takes the list of images whose stubs do not know when they were written.
    pub(crate) fn take_unsaved(&self) -> Vec<(Inode<'static>, Arc<Image>)> {
        std::mem::take(&mut *lock(&self.unsaved))
    }

    /// Answers an image's attributes instead of its stub's.
    pub(crate) fn dress(&self, image: &Image, iatt: &mut Iatt) {
        if iatt.is_empty() {
            return;
        }
        iatt.set_size(image.size());
        iatt.set_blocks(image.allocated_lately().div_ceil(bd_model::SECTOR));
        let mut times = image.times();
        iatt.set_mtime(moment(times.modified(timestamp(iatt.mtime()))));
        // Never behind a ctime that was answered before: md-cache would take the answer for an
        // old one that comes late.
        iatt.set_ctime(moment(times.changed(timestamp(iatt.ctime()))));
    }

    /// Says that the stub of an inode may change, if an image is known there that remembers it.
    pub(crate) fn changing(&self, inode: &Inode<'_>) -> Option<Changing> {
        let image = self.state_of(inode).image();
        let image = image.or_else(|| self.images.find(Gfid::from_bytes(inode.gfid())));
        image.map(|image| image.changing())
    }
}

pub(crate) fn timestamp(moment: Moment) -> Timestamp {
    Timestamp {
        seconds: moment.sec,
        nanoseconds: moment.nsec,
    }
}

pub(crate) fn moment(timestamp: Timestamp) -> Moment {
    Moment {
        sec: timestamp.seconds,
        nsec: timestamp.nanoseconds,
    }
}
