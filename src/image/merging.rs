use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::image::{Image, lock};

/// Whether a merge gives the image other bytes just now, or takes it away.
#[derive(Debug, Default)]
pub(crate) struct Merging {
    state: Mutex<State>,
    over: Condvar,
    /// Its own bytes are about to be another image's, and its name goes with that.
    yields: AtomicBool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    None,
    UnderWay,
    /// Only gluster-bdd knows whether it was done.
    Unknown,
}

impl<A: Clone> Image<A> {
    /// A merge of or into this image begins.
    pub fn merge_begins(&self) {
        *lock(&self.merging.state) = State::UnderWay;
    }

    /// The merge is over, done or not; unless it `is_known`, that comes later.
    pub fn merge_ends(&self, is_known: bool) {
        *lock(&self.merging.state) = match is_known {
            true => State::None,
            false => State::Unknown,
        };
        self.merging.over.notify_all();
    }

    /// The image is the snapshot of a merge that begins: it gets no other name from now on, and none in the
    /// place of the one that it has. Call it with that name's turn and the image's
    /// [naming](Image::naming) in hand.
    pub fn fix_name(&self) {
        self.merging.yields.store(true, Ordering::Release);
    }

    /// It was not merged: it may have other names again.
    pub fn free_name(&self) {
        self.merging.yields.store(false, Ordering::Release);
    }

    /// Whether it keeps its name, because a merge takes that.
    pub fn has_fixed_name(&self) -> bool {
        self.merging.yields.load(Ordering::Acquire)
    }

    /// Whether a merge may be about to give the image other bytes, or to take it away.
    pub fn is_merging(&self) -> bool {
        *lock(&self.merging.state) != State::None
    }

    /// Waits until a merge that is under way is over; says whether its end is known.
    ///
    /// Only for threads that may wait.
    pub fn await_merge(&self) -> bool {
        let merging = &self.merging;
        let ended = merging
            .over
            .wait_while(lock(&merging.state), |state| *state == State::UnderWay)
            .unwrap_or_else(PoisonError::into_inner);
        *ended == State::None
    }
}

#[cfg(test)]
mod tests {
    use bd_model::{Gfid, ImageKind};

    use super::*;

    #[test]
    fn who_waits_learns_whether_the_end_is_known() {
        let image = Image::<()>::new(Gfid::random(), ImageKind::Thin, 1);
        assert!(image.await_merge());
        for is_known in [false, true] {
            image.merge_begins();
            std::thread::scope(|scope| {
                let waits = scope.spawn(|| image.await_merge());
                image.merge_ends(is_known);
                assert_eq!(waits.join().unwrap(), is_known);
            });
            assert_eq!(image.is_merging(), !is_known);
        }
    }
}
