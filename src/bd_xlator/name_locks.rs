use std::ffi::CStr;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

const LOCKS: usize = 64;

/// Turns to change what names lead to, a lock for each sixty-fourth of all names.
///
/// What a request removes is known by name alone, and posix removes whatever that leads to when it
/// comes to it. So who looks first holds the turn until posix has answered. The turn is the last
/// lock that a thread takes, and never held while gluster-bdd is asked.
#[derive(Debug)]
pub(crate) struct NameLocks {
    locks: [Mutex<()>; LOCKS],
    hasher: RandomState,
}

/// A name: the gfid of its directory, and itself.
pub(crate) type Name<'a> = ([u8; 16], &'a CStr);

/// What stands for a file itself among names: who makes it an image has its turn, and so has who removes a
/// name of it as that of a file which is none.
pub(crate) fn of_file(gfid: [u8; 16]) -> Name<'static> {
    (gfid, c"")
}

/// The turn to change some names.
#[must_use]
#[derive(Debug)]
pub(crate) struct NameTurn<'a> {
    _held: Vec<MutexGuard<'a, ()>>,
}

impl Default for NameLocks {
    fn default() -> NameLocks {
        NameLocks {
            locks: [const { Mutex::new(()) }; LOCKS],
            hasher: RandomState::new(),
        }
    }
}

impl NameLocks {
    /// Waits for the turn.
    pub(crate) fn wait(&self, names: &[Name<'_>]) -> NameTurn<'_> {
        let held = self
            .of(names)
            .map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner))
            .collect();
        NameTurn { _held: held }
    }

    /// The turn if nobody has it.
    pub(crate) fn at_once(&self, names: &[Name<'_>]) -> Option<NameTurn<'_>> {
        let held = self.of(names).map(|lock| match lock.try_lock() {
            Ok(held) => Some(held),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        held.collect::<Option<_>>()
            .map(|held| NameTurn { _held: held })
    }

    /// The locks of some names, in an order that all keep.
    fn of(&self, names: &[Name<'_>]) -> impl Iterator<Item = &Mutex<()>> {
        let number = |name| usize::try_from(self.hasher.hash_one(name) % LOCKS as u64);
        let mut numbers: Vec<usize> = names.iter().filter_map(|name| number(name).ok()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().map(|number| &self.locks[number])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_had_by_one() {
        let locks = NameLocks::default();
        let (a, b) = (([1; 16], c"a"), ([2; 16], c"b"));
        let turn = locks.wait(&[a, b, a]);
        assert!(locks.at_once(&[b]).is_none());
        assert!(locks.at_once(&[b, a]).is_none());
        drop(turn);
        let turn = locks.at_once(&[b, a]);
        assert!(turn.is_some());
        assert!(locks.at_once(&[a]).is_none());
    }
}
