use std::sync::{Arc, MutexGuard};

use crate::image::{Image, lock};
use crate::times::{Times, Timestamp};

impl<A: Clone> Image<A> {
    /// The stub's attributes, from memory if they are known, else as `ask` tells them.
    pub fn stub<E>(&self, ask: impl FnOnce() -> Result<A, E>) -> Result<A, E> {
        self.stub.get_or_ask(ask)
    }

    /// The stub's attributes may change until the guard goes.
    pub fn changing(self: &Arc<Self>) -> Changing<A> {
        self.stub.begin();
        Changing {
            image: Arc::clone(self),
            outcome: None,
        }
    }

    /// Notes when it was written; says whether it must be put on the list of those to save.
    pub fn note_write(&self, at: Timestamp) -> bool {
        lock(&self.times).note_write(at)
    }

    /// Nobody else sets the mtime of the stub until the guard goes. Only for the time that posix takes.
    pub fn dating(&self) -> MutexGuard<'_, ()> {
        lock(&self.dating)
    }

    /// Its times.
    pub fn times(&self) -> MutexGuard<'_, Times> {
        lock(&self.times)
    }
}

/// A change of a stub's attributes that is under way; over when dropped.
#[derive(Debug)]
pub struct Changing<A: Clone> {
    image: Arc<Image<A>>,
    outcome: Option<A>,
}

impl<A: Clone> Changing<A> {
    /// The change is over, and this is how the stub is now, if it was told.
    pub fn told(mut self, stub: Option<A>) {
        self.outcome = stub;
    }
}

impl<A: Clone> Drop for Changing<A> {
    fn drop(&mut self) {
        self.image.stub.end(self.outcome.take());
    }
}
