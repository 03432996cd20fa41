use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

type Gfid = [u8; 16];

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) parent: Gfid,
    pub(crate) name: Vec<u8>,
}

/// Which file a name that `link` made really has.
///
/// libgfapi does not look at the inode which a link answers, and binds the new name to the source.
/// The next lookup of that name comes with the source's inode, and md-cache would confirm it. The
/// links contradicts (`ESTALE`), and libgfapi looks the name up afresh. An entry stays until it
/// was not needed for a while: another thread may have bound the name in between. An entry that
/// never was needed stays, as the wrong binding may still be there.
#[derive(Debug)]
pub(crate) struct RecentLinks {
    entries: HashMap<Place, Entry>,
    order: VecDeque<(Place, u64)>,
    serial: u64,
    quiet: Duration,
    capacity: usize,
}

#[derive(Debug)]
struct Entry {
    gfid: Gfid,
    contradicted: Option<Instant>,
    serial: u64,
}

impl RecentLinks {
    /// A links that forgets an entry `quiet` after its last contradiction, and the oldest ones
    /// beyond `capacity`.
    pub(crate) fn new(quiet: Duration, capacity: usize) -> RecentLinks {
        RecentLinks {
            entries: HashMap::new(),
            order: VecDeque::new(),
            serial: 0,
            quiet,
            capacity,
        }
    }

    /// Remembers that `place` has the file `gfid`.
    pub(crate) fn insert(&mut self, place: Place, gfid: Gfid) {
        self.serial += 1;
        let serial = self.serial;
        self.order.push_back((place.clone(), serial));
        self.entries.insert(
            place,
            Entry {
                gfid,
                contradicted: None,
                serial,
            },
        );
        while self.order.len() > self.capacity {
            let Some((place, serial)) = self.order.pop_front() else {
                break;
            };
            if self
                .entries
                .get(&place)
                .is_some_and(|entry| entry.serial == serial)
            {
                self.entries.remove(&place);
            }
        }
    }

    /// Forgets a name: it was removed, or now has another file.
    pub(crate) fn remove(&mut self, place: &Place) {
        self.entries.remove(place);
    }

    /// Whether a lookup of `place`, bound to the file `believed`, must be contradicted.
    pub(crate) fn contradicts(&mut self, place: &Place, believed: Gfid, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(place) else {
            return false;
        };
        if believed != [0; 16] && believed != entry.gfid {
            let over = entry
                .contradicted
                .is_some_and(|last| now.duration_since(last) > self.quiet);
            if !over {
                entry.contradicted = Some(now);
                return true;
            }
            self.entries.remove(place);
        }
        false
    }

    /// True if there is nothing to watch.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Gfid = [1; 16];
    const COPY: Gfid = [2; 16];

    fn place(name: &str) -> Place {
        Place {
            parent: [9; 16],
            name: name.as_bytes().to_vec(),
        }
    }

    #[test]
    fn the_source_is_contradicted_and_the_copy_is_not() {
        let now = Instant::now();
        let mut links = RecentLinks::new(Duration::from_secs(10), 100);
        links.insert(place("b"), COPY);
        assert!(links.contradicts(&place("b"), SOURCE, now));
        assert!(!links.contradicts(&place("b"), COPY, now));
        assert!(
            !links.contradicts(&place("b"), [0; 16], now),
            "a fresh inode believes nothing"
        );
        assert!(
            !links.contradicts(&place("a"), SOURCE, now),
            "other names are not watched"
        );
    }

    #[test]
    fn an_entry_lasts_while_it_is_needed() {
        let start = Instant::now();
        let mut links = RecentLinks::new(Duration::from_secs(10), 100);
        links.insert(place("b"), COPY);
        let hour = start + Duration::from_secs(3600);
        assert!(
            links.contradicts(&place("b"), SOURCE, hour),
            "never needed: still there"
        );
        assert!(links.contradicts(&place("b"), SOURCE, hour + Duration::from_secs(9)));
        assert!(links.contradicts(&place("b"), SOURCE, hour + Duration::from_secs(18)));
        assert!(!links.contradicts(&place("b"), SOURCE, hour + Duration::from_secs(29)));
        assert!(links.is_empty());
    }

    #[test]
    fn removed_and_reused_names_are_not_watched() {
        let now = Instant::now();
        let mut links = RecentLinks::new(Duration::from_secs(10), 100);
        links.insert(place("b"), COPY);
        links.remove(&place("b"));
        assert!(!links.contradicts(&place("b"), SOURCE, now));
        links.insert(place("b"), SOURCE);
        assert!(links.contradicts(&place("b"), COPY, now));
    }

    #[test]
    fn the_oldest_entries_go_first_and_only_they() {
        let now = Instant::now();
        let mut links = RecentLinks::new(Duration::from_secs(10), 3);
        links.insert(place("0"), COPY);
        for name in ["1", "2", "0", "3"] {
            links.insert(place(name), COPY);
        }
        assert!(
            links.contradicts(&place("0"), SOURCE, now),
            "made again, so not the oldest"
        );
        assert!(!links.contradicts(&place("1"), SOURCE, now));
        for name in ["2", "3"] {
            assert!(links.contradicts(&place(name), SOURCE, now));
        }
    }
}
