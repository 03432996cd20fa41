use std::sync::PoisonError;

use super::Image;

impl Image {
    /// Does `note`, after which no write of a process that moves the file here may be done any
    /// more, while none is: one that was looked at before is over when this returns.
    pub(crate) fn stop_moves<T>(&self, note: impl FnOnce() -> T) -> T {
        let _alone = self.moving.write().unwrap_or_else(PoisonError::into_inner);
        note()
    }

    /// Does a write of a process that moves the file here, which looks first whether it may. It must
    /// not grow the file.
    pub(crate) fn move_here<T>(&self, write: impl FnOnce() -> T) -> T {
        let _shared = self.moving.read().unwrap_or_else(PoisonError::into_inner);
        write()
    }
}
