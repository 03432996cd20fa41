use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use crate::image::{Image, SetStubSize, lock};
use crate::{Failure, Server};

/// What clients did to the size of a file while it was moved here: the end of what they wrote, until one
/// of them sets the size.
pub(crate) type Arrival = Option<u64>;

impl<A: Clone> Image<A> {
    /// Does `note`, after which no write of a process that moves the file here may be done any
    /// more, while none is: one that was looked at before is over when this returns.
    pub fn stop_moves<T>(&self, note: impl FnOnce() -> T) -> T {
        let _alone = self.moving.write().unwrap_or_else(PoisonError::into_inner);
        note()
    }

    /// Does a write of a process that moves the file here, which looks first whether it may. It must
    /// not grow the file.
    pub fn move_here<T>(&self, write: impl FnOnce() -> T) -> T {
        let _shared = self.moving.read().unwrap_or_else(PoisonError::into_inner);
        write()
    }

    /// A process begins to move the file here. From now on clients that change it change it here, too.
    pub fn begin_arrival(&self) {
        *lock(&self.arrival) = Some(0);
        self.set_elsewhere(false);
    }

    /// Whether a process that moves files has emptied this one last, because it is, or stays, on another
    /// brick. Clients that do not know may have written to it since.
    pub fn seems_elsewhere(&self) -> bool {
        self.elsewhere.load(Ordering::Acquire)
    }

    /// See [`Image::seems_elsewhere`].
    pub fn set_elsewhere(&self, is_so: bool) {
        self.elsewhere.store(is_so, Ordering::Release);
    }

    /// Whether a process moves the file here, and no client has set its size since.
    pub fn arrives(&self) -> bool {
        lock(&self.arrival).is_some()
    }

    /// A client has written up to there.
    pub fn note_written_here(&self, end: u64) {
        if let Some(furthest) = &mut *lock(&self.arrival) {
            *furthest = end.max(*furthest);
        }
    }

    /// The size was set, and is right whatever was known before.
    pub(crate) fn note_size_set(&self) {
        *lock(&self.arrival) = None;
    }

    /// All bytes are here of a file which had `size` bytes at its old place, after clients had begun to
    /// change it here. What they did to its size before that they did at the old place alone.
    pub fn arrive(
        &self,
        server: &dyn Server,
        size: u64,
        set_stub_size: SetStubSize<'_>,
    ) -> Result<(), Failure> {
        let mut growth = self.growth();
        let Some(written) = lock(&self.arrival).take() else {
            return Ok(());
        };
        let size = size.max(written);
        if size == self.size() {
            return Ok(());
        }
        // An LV that could give nothing back is as long as before, and its file as long as it should be.
        self.set_size_held(server, &mut growth, size, set_stub_size)
            .map(drop)
    }
}
