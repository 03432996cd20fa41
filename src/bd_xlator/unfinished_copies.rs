//! Stubs that wait for their LV: the destinations of clones and snapshots.
//!
//! A client makes the stub and then asks for the copy, at once. One that dies in between leaves a
//! stub that nobody will ask for; the brick removes it after a while. Where other bricks have the same
//! files, a copy that failed here may be there: then the stub waits for heal.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bd_model::Gfid;
use glusterfs::gf_warn;

/// How long a stub may wait to be asked for.
const LIFE: Duration = Duration::from_secs(120);

/// A stub that waits for its LV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnfinishedCopy {
    /// The directory it is in.
    pub(crate) parent: Gfid,
    /// Its name there.
    pub(crate) name: String,
    /// When the brick first saw it.
    since: Instant,
    /// Whether a copy is being made into it, however long that takes.
    busy: bool,
    /// Whether heal may make it an image.
    waits_for_heal: bool,
}

/// The stubs of a brick that wait.
#[derive(Debug)]
pub(crate) struct UnfinishedCopies {
    stubs: Mutex<HashMap<Gfid, UnfinishedCopy>>,
    heals: bool,
    /// The brick's directory.
    dir: PathBuf,
}

impl UnfinishedCopies {
    /// Of the brick in `dir`. `heals`: other bricks have the same files.
    pub(crate) fn new(dir: &Path, heals: bool) -> UnfinishedCopies {
        UnfinishedCopies {
            stubs: Mutex::default(),
            heals,
            dir: dir.to_owned(),
        }
    }

    /// Leaves word of a stub that is about to be made, so that the next start removes it if its copy is cut
    /// short. Nothing is synced: a journal keeps the order of the two files. Without that word the stub goes
    /// two minutes later.
    pub(crate) fn note(&self, gfid: Gfid) {
        let path = bd_proto::pending_path(&self.dir, gfid);
        if let Err(error) = File::create(&path) {
            gf_warn!("cannot make {}: {error}", path.display());
        }
    }

    /// Takes back that word: the stub is an image, or gone.
    pub(crate) fn forget(&self, gfid: Gfid) {
        let path = bd_proto::pending_path(&self.dir, gfid);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            gf_warn!("cannot remove {}: {error}", path.display());
        }
    }

    /// Remembers a stub that was made or seen; one that is known already waits since then.
    pub(crate) fn remember(&self, gfid: Gfid, parent: Gfid, name: &str, now: Instant) {
        self.lock().entry(gfid).or_insert_with(|| UnfinishedCopy {
            parent,
            name: name.to_owned(),
            since: now,
            busy: false,
            waits_for_heal: false,
        });
    }

    /// A copy into the stub begins; until the end of it, the stub is not abandoned.
    pub(crate) fn begin(&self, gfid: Gfid) -> Copying<'_> {
        let known = self.lock().get_mut(&gfid).map(|stub| {
            stub.busy = true;
            stub.clone()
        });
        Copying {
            pending: self,
            gfid,
            known,
        }
    }

    /// Takes out those that have waited too long.
    pub(crate) fn take_abandoned(&self, now: Instant) -> Vec<(Gfid, UnfinishedCopy)> {
        let waited = |stub: &UnfinishedCopy| now.saturating_duration_since(stub.since);
        let mut all = self.lock();
        let old: Vec<_> = all
            .iter()
            .filter(|(_, stub)| !stub.busy && !stub.waits_for_heal && waited(stub) > LIFE)
            .map(|(gfid, stub)| (*gfid, stub.clone()))
            .collect();
        for (gfid, _) in &old {
            all.remove(gfid);
        }
        old
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Gfid, UnfinishedCopy>> {
        self.stubs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a plain file may wait to become the copy that its owner wants.
const CONSENT: Duration = Duration::from_secs(60);

/// Plain files that may become copies, and of which images: their owners have said so, who may read
/// those.
#[derive(Debug, Default)]
pub(crate) struct Consents(Mutex<HashMap<Gfid, (Gfid, Instant)>>);

impl Consents {
    /// Notes that the file `dest` may become a copy of `source`, and of nothing else.
    pub(crate) fn give(&self, dest: Gfid, source: Gfid, now: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (_, since)| now.saturating_duration_since(*since) <= CONSENT);
        all.insert(dest, (source, now));
    }

    /// Whether the file `dest` may become a copy of `source`: once.
    pub(crate) fn take(&self, dest: Gfid, source: Gfid, now: Instant) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((of, since)) = all.get(&dest) else {
            return false;
        };
        let may = *of == source && now.saturating_duration_since(*since) <= CONSENT;
        if may {
            all.remove(&dest);
        }
        may
    }
}

/// A copy that is being made into a stub. When it ends without success, the stub waits again.
#[derive(Debug)]
pub(crate) struct Copying<'a> {
    pending: &'a UnfinishedCopies,
    gfid: Gfid,
    known: Option<UnfinishedCopy>,
}

impl Copying<'_> {
    /// The name of the stub, if it is in the directory `parent`.
    pub(crate) fn name_in(&self, parent: Gfid) -> Option<String> {
        let known = self.known.as_ref().filter(|stub| stub.parent == parent);
        known.map(|stub| stub.name.clone())
    }

    /// The stub is an image now.
    pub(crate) fn done(self) {
        self.pending.lock().remove(&self.gfid);
        self.pending.forget(self.gfid);
    }
}

impl Drop for Copying<'_> {
    fn drop(&mut self) {
        if let Some(stub) = self.pending.lock().get_mut(&self.gfid) {
            stub.busy = false;
            stub.since = Instant::now();
            stub.waits_for_heal = self.pending.heals;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top() -> Gfid {
        Gfid::from_bytes([1; 16])
    }

    /// Where no word can be left.
    fn no_brick() -> PathBuf {
        PathBuf::from("/nonexistent")
    }

    fn names(abandoned: Vec<(Gfid, UnfinishedCopy)>) -> Vec<String> {
        let mut names: Vec<String> = abandoned.into_iter().map(|(_, stub)| stub.name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_stub_whose_client_has_died_is_abandoned_after_a_while() {
        let (pending, start) = (UnfinishedCopies::new(&no_brick(), false), Instant::now());
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        pending.remember(Gfid::from_bytes([2; 16]), top(), "first", start);
        pending.remember(Gfid::from_bytes([3; 16]), top(), "second", start + minute);
        // Seen again, it is no younger.
        pending.remember(Gfid::from_bytes([2; 16]), top(), "first", start + minute);
        assert!(pending.take_abandoned(start).is_empty());
        assert!(pending.take_abandoned(start + LIFE).is_empty());
        let at = |now| names(pending.take_abandoned(now));
        assert_eq!(at(start + LIFE + second), ["first"]);
        assert_eq!(at(start + minute + LIFE + second), ["second"]);
        assert!(at(start + LIFE * 9).is_empty());
    }

    #[test]
    fn a_file_becomes_the_copy_that_its_owner_wants_and_no_other() {
        let (consents, start) = (Consents::default(), Instant::now());
        let [file, image, other] = [1, 2, 3].map(|byte| Gfid::from_bytes([byte; 16]));
        assert!(!consents.take(file, image, start));
        consents.give(file, image, start);
        assert!(!consents.take(file, other, start));
        assert!(!consents.take(image, file, start));
        assert!(consents.take(file, image, start + CONSENT));
        assert!(!consents.take(file, image, start), "only once");
        consents.give(file, image, start);
        let late = start + CONSENT + Duration::from_secs(1);
        assert!(!consents.take(file, image, late));
        consents.give(other, image, late);
        assert_eq!(consents.0.lock().unwrap().len(), 1, "old ones go");
    }

    #[test]
    fn a_stub_is_kept_while_a_copy_is_made_into_it() {
        let pending = UnfinishedCopies::new(&no_brick(), false);
        let (gfid, start) = (Gfid::from_bytes([2; 16]), Instant::now());
        pending.remember(gfid, top(), "clone", start);
        let late = || Instant::now() + LIFE - Duration::from_secs(1);
        let copying = pending.begin(gfid);
        assert_eq!(copying.name_in(top()).as_deref(), Some("clone"));
        assert_eq!(copying.name_in(gfid), None);
        assert!(pending.take_abandoned(start + LIFE * 9).is_empty());
        // It has failed: whoever asked may ask again.
        drop(copying);
        assert!(pending.take_abandoned(late()).is_empty());
        assert_eq!(names(pending.take_abandoned(start + LIFE * 9)), ["clone"]);

        pending.remember(gfid, top(), "clone", start);
        pending.begin(gfid).done();
        assert!(pending.take_abandoned(start + LIFE * 9).is_empty());
        // A plain file that becomes a copy was never pending.
        assert_eq!(pending.begin(gfid).name_in(top()), None);
    }

    #[test]
    fn a_stub_whose_copy_failed_waits_for_heal_where_there_is_some() {
        let (pending, gfid, start) = (
            UnfinishedCopies::new(&no_brick(), true),
            Gfid::from_bytes([2; 16]),
            Instant::now(),
        );
        pending.remember(gfid, top(), "clone", start);
        drop(pending.begin(gfid));
        assert!(pending.take_abandoned(start + LIFE * 9).is_empty());
        pending.remember(Gfid::from_bytes([3; 16]), top(), "never asked for", start);
        assert_eq!(
            names(pending.take_abandoned(start + LIFE * 9)),
            ["never asked for"]
        );
    }
}
