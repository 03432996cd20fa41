use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Brings all that was changed in a file system to its disk. Who comes while that is under way shares the
/// next turn with all others who wait.
#[derive(Debug, Default)]
pub struct SharedSync {
    turns: Mutex<Turns>,
    ended: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Turns {
    begun: u64,
    ended: u64,
    /// The latest that ended well.
    succeeded: u64,
}

impl SharedSync {
    /// Returns when what was changed before is on the disk. `sync` does it, and is called by one at a time.
    ///
    /// # Errors
    /// That of `sync`, for who has called it; for who has waited for that, `EIO`.
    pub fn run(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let turns = self.turns();
        // One that is under way may have passed over what this caller has changed.
        let wanted = turns.begun + 1;
        let others_work = |turns: &mut Turns| turns.ended < wanted && turns.begun > turns.ended;
        let waited = self.ended.wait_while(turns, others_work);
        let mut turns = waited.unwrap_or_else(PoisonError::into_inner);
        if turns.ended >= wanted {
            return match turns.succeeded >= wanted {
                true => Ok(()),
                false => Err(rustix::io::Errno::IO.into()),
            };
        }
        turns.begun += 1;
        let own = turns.begun;
        drop(turns);
        let synced = sync();
        let mut turns = self.turns();
        turns.ended = own;
        if synced.is_ok() {
            turns.succeeded = own;
        }
        self.ended.notify_all();
        synced
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_sync_is_shared_by_those_who_came_before_it() {
        let shared = SharedSync::default();
        let (changed, syncs) = (AtomicU64::new(0), AtomicU64::new(0));
        let on_disk = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let own = changed.fetch_add(1, Ordering::SeqCst) + 1;
                        let sync = || {
                            syncs.fetch_add(1, Ordering::SeqCst);
                            let seen = changed.load(Ordering::SeqCst);
                            thread::sleep(Duration::from_micros(200));
                            on_disk.fetch_max(seen, Ordering::SeqCst);
                            Ok(())
                        };
                        shared.run(sync).unwrap();
                        assert!(on_disk.load(Ordering::SeqCst) >= own);
                    }
                });
            }
        });
        assert!(syncs.into_inner() < 320, "each had one of its own");
        let failed = shared.run(|| Err(io::Error::other("a bad disk")));
        assert!(failed.is_err());
        assert!(shared.run(|| Ok(())).is_ok());
    }
}
