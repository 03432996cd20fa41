use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use bd_model::BrickId;

use super::{Service, lock};

/// What the service knows of a connection.
#[derive(Debug)]
pub struct Caller {
    /// When it was opened or attached a brick last, in the count of the service's attaches.
    pub(super) epoch: AtomicU64,
    /// Says, as long as the connection lives, that the brick it has attached is served.
    pub(super) serves: Mutex<Option<Arc<()>>>,
    /// Nobody waits for answers any more.
    pub(super) gone: AtomicBool,
}

impl Service {
    /// A new connection.
    pub fn caller(&self) -> Caller {
        Caller {
            epoch: AtomicU64::new(self.epoch.load(Ordering::SeqCst)),
            serves: Mutex::default(),
            gone: AtomicBool::new(false),
        }
    }

    /// Whether a caller is the process of a brick.
    pub(crate) fn is_brick(caller: &Caller) -> bool {
        lock(&caller.serves).is_some()
    }

    /// Whether a process of the brick has a connection.
    pub(super) fn is_served(&self, brick: BrickId) -> bool {
        lock(&self.served)
            .get(&brick)
            .is_some_and(|token| token.strong_count() > 0)
    }

    /// What a connection holds that serves the brick.
    pub(super) fn token(&self, brick: BrickId) -> Arc<()> {
        let mut served = lock(&self.served);
        if let Some(token) = served.get(&brick).and_then(Weak::upgrade) {
            return token;
        }
        let token = Arc::new(());
        served.insert(brick, Arc::downgrade(&token));
        token
    }
}
