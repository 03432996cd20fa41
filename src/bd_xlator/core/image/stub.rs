use std::sync::{Arc, MutexGuard};

use glusterfs::Iatt;

use super::{Image, lock};
use crate::core::times::{Times, Timestamp};

impl Image {
    /// The stub's attributes, from memory if they are known, else as `ask` tells them.
    pub(crate) fn stub<E>(&self, ask: impl FnOnce() -> Result<Iatt, E>) -> Result<Iatt, E> {
        self.stub.get_or_ask(ask)
    }

    /// The stub's attributes may change until the guard goes.
    pub(crate) fn changing(self: &Arc<Self>) -> Changing {
        self.stub.begin();
        Changing {
            image: Arc::clone(self),
            outcome: None,
        }
    }

    /// Notes when it was written; says whether it must be put on the list of those to save.
    pub(crate) fn note_write(&self, at: Timestamp) -> bool {
        lock(&self.times).note_write(at)
    }

    /// Nobody else sets the mtime of the stub until the guard goes. Only for the time that posix takes.
    pub(crate) fn dating(&self) -> MutexGuard<'_, ()> {
        lock(&self.dating)
    }

    /// Its times.
    pub(crate) fn times(&self) -> MutexGuard<'_, Times> {
        lock(&self.times)
    }
}

/// A change of a stub's attributes that is under way; over when dropped.
#[derive(Debug)]
pub(crate) struct Changing {
    image: Arc<Image>,
    outcome: Option<Iatt>,
}

impl Changing {
    /// The change is over, and this is how the stub is now.
    pub(crate) fn told(mut self, stub: Iatt) {
        self.outcome = Some(stub).filter(|stub| !stub.is_empty());
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        self.image.stub.end(self.outcome);
    }
}
