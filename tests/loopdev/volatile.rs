//! Disks with a cache that a power cut empties.

use std::ops::Range;

use crate::write_log::{Kind, Record};

/// What of the writes of some disks lasts, as their records are told one after the other.
#[derive(Debug)]
pub(crate) struct Volatile {
    /// The bytes of the log's device that are a disk each.
    disks: Vec<Range<u64>>,
    /// Writes that are in a cache, by their numbers, and the bytes that they are about.
    cached: Vec<(usize, Range<u64>)>,
}

impl Volatile {
    /// Disks which are those parts of the device.
    pub(crate) fn new(disks: Vec<Range<u64>>) -> Volatile {
        Volatile {
            disks,
            cached: Vec::new(),
        }
    }

    /// Takes the next record. Gives the numbers of those that last now and did not before.
    pub(crate) fn take(&mut self, number: usize, record: &Record) -> Vec<usize> {
        match record.kind {
            Kind::Mark(_) => Vec::new(),
            Kind::Flush => {
                let disk = self.disks.iter().find(|disk| disk.contains(&record.at));
                let disk = disk.cloned().unwrap_or_default();
                self.leave(|range| disk.contains(&range.start))
            }
            Kind::Write { through: true } => {
                // What is older must not come over it later.
                let own = record.range();
                let mut last = self.leave(|range| range.start < own.end && own.start < range.end);
                last.push(number);
                last
            }
            Kind::Write { through: false } | Kind::Discard => {
                self.cached.push((number, record.range()));
                Vec::new()
            }
        }
    }

    /// The numbers of the records of which a power cut now would take any.
    pub(crate) fn cached(&self) -> Vec<usize> {
        self.cached.iter().map(|(number, _)| *number).collect()
    }

    fn leave(&mut self, lasts: impl Fn(&Range<u64>) -> bool) -> Vec<usize> {
        let (last, cached) = self.cached.drain(..).partition(|(_, range)| lasts(range));
        self.cached = cached;
        let last: Vec<(usize, Range<u64>)> = last;
        last.into_iter().map(|(number, _)| number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_log::tests::of;

    #[test]
    fn a_flush_is_of_one_disk() {
        let mut disks = Volatile::new(vec![0..1000, 1000..2000]);
        let write = |through| Kind::Write { through };
        let mut take = |number, at, len, kind| disks.take(number, &of(at, len, kind));
        assert!(take(0, 0, 100, write(false)).is_empty());
        assert!(take(1, 1000, 100, write(false)).is_empty());
        assert!(take(2, 200, 100, Kind::Discard).is_empty());
        assert!(take(3, 0, 0, Kind::Mark("m".to_owned())).is_empty());
        // With FUA, a write takes those along that it covers.
        assert_eq!(take(4, 50, 100, write(true)), [0, 4]);
        assert_eq!(take(5, 1000, 0, Kind::Flush), [1]);
        assert_eq!(take(6, 10, 0, Kind::Flush), [2]);
        assert!(take(7, 1500, 1, write(false)).is_empty());
        assert_eq!(disks.cached(), [7]);
    }
}
