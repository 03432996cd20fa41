/// A range of bytes on a device: from `start` up to and without `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u64,
    /// The byte behind the last one.
    pub end: u64,
}

impl Span {
    /// The span of `len` bytes at `start`; ends at `u64::MAX` if it would go past it.
    pub fn at(start: u64, len: u64) -> Span {
        Span {
            start,
            end: start.saturating_add(len),
        }
    }

    /// How many bytes it has.
    pub fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it has no byte.
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// Whether both have a byte in common.
    pub fn overlaps(self, other: Span) -> bool {
        !self.is_empty() && !other.is_empty() && self.start < other.end && other.start < self.end
    }

    /// The smallest span of whole `unit`s (a power of two) that holds it.
    pub fn outward(self, unit: u64) -> Span {
        Span {
            start: self.start & !(unit - 1),
            end: self.end.saturating_add(unit - 1) & !(unit - 1),
        }
    }

    /// The largest span of whole `unit`s inside it; empty, at its start, if there is none.
    pub fn inward(self, unit: u64) -> Span {
        let start = self.start.div_ceil(unit).saturating_mul(unit);
        let end = self.end / unit * unit;
        if start < end {
            Span { start, end }
        } else {
            Span {
                start: self.start,
                end: self.start,
            }
        }
    }

    /// Whether both ends lie on a multiple of `unit` (a power of two).
    pub fn is_aligned(self, unit: u64) -> bool {
        (self.start | self.end) & (unit - 1) == 0
    }

    /// Its parts of at most `step` bytes, cut at multiples of `step`.
    pub fn slices(self, step: u64) -> impl Iterator<Item = Span> {
        let mut at = self.start;
        std::iter::from_fn(move || {
            (at < self.end).then(|| {
                let end = (at / step)
                    .saturating_add(1)
                    .saturating_mul(step)
                    .min(self.end);
                Span {
                    start: std::mem::replace(&mut at, end),
                    end,
                }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_align_outward_and_inward() {
        let span = Span::at(700, 3000);
        assert_eq!(
            span.outward(512),
            Span {
                start: 512,
                end: 4096
            }
        );
        assert_eq!(
            span.inward(512),
            Span {
                start: 1024,
                end: 3584
            }
        );
        assert!(Span::at(700, 100).inward(512).is_empty());
        assert!(Span::at(512, 1024).is_aligned(512));
        assert!(!Span::at(512, 1000).is_aligned(512));
    }

    #[test]
    fn slices_cover_the_span_and_cut_at_the_step() {
        let parts: Vec<_> = Span { start: 5, end: 25 }.slices(10).collect();
        assert_eq!(
            parts,
            [
                Span { start: 5, end: 10 },
                Span { start: 10, end: 20 },
                Span { start: 20, end: 25 }
            ]
        );
        assert_eq!(Span::at(3, 0).slices(10).count(), 0);
    }

    #[test]
    fn empty_spans_overlap_nothing() {
        assert!(!Span::at(5, 0).overlaps(Span::at(0, 10)));
        assert!(Span::at(5, 1).overlaps(Span::at(0, 10)));
        assert!(!Span::at(10, 1).overlaps(Span::at(0, 10)));
    }
}
