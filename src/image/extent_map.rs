use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use blockdev::Span;

/// How long a mapping is used after it was read: whoever maps a file asks many times.
const LIFE: Duration = Duration::from_secs(5);

/// The spans of an image that may hold data; all else reads as zeros.
///
/// It is read once, and what is written from then on is added. What is freed stays in it: a hole
/// may be called data, never the other way round.
#[derive(Debug)]
pub(crate) struct ExtentMap {
    /// The end of each span by its start; they neither overlap nor touch.
    spans: BTreeMap<u64, u64>,
    /// When it was read; not yet, while only writes are noted.
    read_at: Option<Instant>,
}

impl ExtentMap {
    /// A mapping that is about to be read.
    pub(crate) fn begun() -> ExtentMap {
        ExtentMap {
            spans: BTreeMap::new(),
            read_at: None,
        }
    }

    /// It was read, and these are the spans.
    pub(crate) fn finish(&mut self, spans: impl IntoIterator<Item = Span>) {
        for span in spans {
            self.add(span);
        }
        self.read_at = Some(Instant::now());
    }

    /// Whether it can be used.
    pub(crate) fn is_usable(&self) -> bool {
        self.read_at.is_some_and(|at| at.elapsed() < LIFE)
    }

    /// Whether nobody will use it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.read_at.is_some_and(|at| at.elapsed() >= LIFE)
    }

    /// Something is about to be written.
    pub(crate) fn add(&mut self, span: Span) {
        if span.is_empty() {
            return;
        }
        let Span { mut start, mut end } = span;
        while let Some((&first, &last)) = self.spans.range(..=end).next_back() {
            if last < start {
                break;
            }
            self.spans.remove(&first);
            start = start.min(first);
            end = end.max(last);
        }
        self.spans.insert(start, end);
    }

    /// The first byte at or behind `from` that may hold data.
    pub(crate) fn next_data(&self, from: u64) -> Option<u64> {
        match self.around(from) {
            Some(_) => Some(from),
            None => self.spans.range(from..).next().map(|(start, _)| *start),
        }
    }

    /// The first byte at or behind `from` that holds none.
    pub(crate) fn next_hole(&self, from: u64) -> u64 {
        self.around(from).unwrap_or(from)
    }

    /// The end of the span that holds a byte.
    fn around(&self, at: u64) -> Option<u64> {
        let (_, end) = self.spans.range(..=at).next_back()?;
        Some(*end).filter(|end| *end > at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(spans: &[(u64, u64)]) -> ExtentMap {
        let mut mapping = ExtentMap::begun();
        mapping.finish(spans.iter().map(|&(start, end)| Span { start, end }));
        mapping
    }

    #[test]
    fn data_and_holes_follow_each_other() {
        let mapping = mapping(&[(10, 20), (30, 40)]);
        assert!(mapping.is_usable());
        let data = [0, 10, 19, 20, 39, 40].map(|from| mapping.next_data(from));
        let wanted = [Some(10), Some(10), Some(19), Some(30), Some(39), None];
        assert_eq!(data, wanted);
        let holes = [0, 10, 19, 20, 30, 50].map(|from| mapping.next_hole(from));
        assert_eq!(holes, [0, 20, 20, 20, 40, 50]);
    }

    #[test]
    fn writes_join_what_they_touch() {
        let mut mapping = mapping(&[(10, 20), (30, 40), (60, 70)]);
        mapping.add(Span { start: 20, end: 30 });
        assert_eq!(mapping.next_hole(10), 40);
        mapping.add(Span { start: 5, end: 65 });
        assert_eq!((mapping.next_data(0), mapping.next_hole(5)), (Some(5), 70));
        mapping.add(Span { start: 7, end: 7 });
        mapping.add(Span { start: 6, end: 8 });
        assert_eq!(mapping.spans.len(), 1);
    }

    #[test]
    fn a_bitmap_agrees() {
        let mut mapping = ExtentMap::begun();
        let mut bytes = [false; 300];
        let mut seed = 3_usize;
        for _ in 0..60 {
            seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12345) & 0xFFFF_FFFF;
            let start = (seed >> 8) % 290;
            let end = start + (seed >> 20) % 10;
            mapping.add(Span {
                start: start as u64,
                end: end as u64,
            });
            bytes[start..end].fill(true);
            for from in 0..300 {
                let data = bytes[from..]
                    .iter()
                    .position(|b| *b)
                    .map(|n| (from + n) as u64);
                assert_eq!(mapping.next_data(from as u64), data);
                let hole = bytes[from..].iter().position(|b| !*b);
                let hole = hole.map_or(300, |n| from + n);
                assert_eq!(mapping.next_hole(from as u64), hole as u64);
            }
        }
    }
}
