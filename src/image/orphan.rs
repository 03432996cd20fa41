//! An image whose last name is gone, or about to go.

use std::sync::atomic::Ordering;

use crate::Image;

impl<A: Clone> Image<A> {
    /// gluster-bdd is asked to condemn it, because its last name is about to go.
    pub fn begin_removal(&self) {
        self.removals.fetch_add(1, Ordering::AcqRel);
    }

    /// It is known what became of the name; says whether nobody else is about to remove one.
    pub fn end_removal(&self) -> bool {
        self.removals.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// The last name is gone.
    pub fn mark_orphan(&self) {
        self.orphan.store(true, Ordering::Release);
    }

    /// Whether the last name is gone.
    pub fn is_orphan(&self) -> bool {
        self.orphan.load(Ordering::Acquire)
    }

    /// Says once whether the LV can go: the last name is gone and nobody has it open.
    pub fn take_orphan(&self) -> bool {
        let goes = !self.is_open() && self.orphan.swap(false, Ordering::AcqRel);
        if goes {
            self.gone.store(true, Ordering::Release);
        }
        goes
    }

    /// The file gets a name again; says whether the last one was gone, and the LV was to go.
    pub fn revive(&self) -> bool {
        self.orphan.swap(false, Ordering::AcqRel)
    }

    /// Whether the LV is gone, or goes. A file that has the gfid is another one.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Whether its last name is gone, so that its LV is or goes, or goes at this moment by a merge.
    pub fn is_leaving(&self) -> bool {
        self.is_orphan() || self.is_gone() || self.has_fixed_name()
    }
}
