/// A point in time as inodes hold it: seconds and nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanoseconds: u32,
}

/// When an image was last written, as far as its stub does not know yet.
///
/// Writes never touch the stub; its mtime follows at most once a second and at fsync, flush
/// and release.
#[derive(Debug, Default)]
pub struct Times {
    written: Option<Timestamp>,
    unsaved: bool,
    /// The latest change of the file that was noted or answered.
    changed: Option<Timestamp>,
}

impl Times {
    /// Notes a write. Says whether the stub was in step before it, so that the caller can
    /// put the image on the list of those to save.
    pub fn note_write(&mut self, at: Timestamp) -> bool {
        if self.written.is_none_or(|written| at > written) {
            self.written = Some(at);
        }
        self.changed = self.changed.max(Some(at));
        !std::mem::replace(&mut self.unsaved, true)
    }

    /// The mtime to answer where the stub says `stub`.
    pub fn modified(&self, stub: Timestamp) -> Timestamp {
        self.written.map_or(stub, |written| written.max(stub))
    }

    /// The ctime to answer where the stub says `stub`: never behind one that was answered before.
    pub fn changed(&mut self, stub: Timestamp) -> Timestamp {
        *self
            .changed
            .insert(self.changed.map_or(stub, |before| before.max(stub)))
    }

    /// What must be saved now; the stub counts as in step from here on.
    pub fn take_unsaved(&mut self) -> Option<Timestamp> {
        std::mem::take(&mut self.unsaved)
            .then_some(self.written)
            .flatten()
    }

    /// Saving failed: it must be tried again.
    pub fn put_back(&mut self) {
        self.unsaved = self.written.is_some();
    }

    /// Somebody set the stub's mtime: earlier writes no longer count.
    pub fn overrule(&mut self) {
        self.written = None;
        self.unsaved = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp {
            seconds,
            nanoseconds: 0,
        }
    }

    #[test]
    fn the_newest_write_is_answered_and_saved_once() {
        let mut times = Times::default();
        assert_eq!(times.modified(at(5)), at(5));
        assert!(times.note_write(at(10)));
        assert!(!times.note_write(at(9)));
        assert_eq!(times.modified(at(5)), at(10));
        assert_eq!(times.take_unsaved(), Some(at(10)));
        assert_eq!(times.take_unsaved(), None);
        times.put_back();
        assert_eq!(times.take_unsaved(), Some(at(10)));
    }

    #[test]
    fn setting_the_time_overrules_earlier_writes() {
        let mut times = Times::default();
        times.note_write(at(10));
        times.overrule();
        assert_eq!(times.modified(at(3)), at(3));
        assert_eq!(times.take_unsaved(), None);
        assert_eq!(times.changed(at(3)), at(10));
    }

    #[test]
    fn the_ctime_never_goes_back() {
        let mut times = Times::default();
        assert_eq!(times.changed(at(5)), at(5));
        assert_eq!(times.changed(at(3)), at(5));
        times.note_write(at(4));
        assert_eq!(times.changed(at(3)), at(5));
        times.note_write(at(8));
        assert_eq!(times.changed(at(6)), at(8));
        times.overrule();
        assert_eq!(times.changed(at(6)), at(8));
    }
}
