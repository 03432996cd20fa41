//! Moments at which the power goes, and what is then in the disks' caches.

use anyhow::{Result, ensure};
use loopdev::{Fate, Kind, Record, Replay};

use crate::images::model::Random;

/// A moment: before the record with that number, and what becomes of the caches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) before: usize,
    seed: u64,
    how: How,
}

/// What becomes of what is in a cache.
#[derive(Clone, Copy, Debug)]
enum How {
    /// All of it is lost.
    Lost,
    /// All of it lasts.
    Kept,
    /// Each write is lost, lasts or is torn.
    Mixed,
}

impl Moment {
    /// So many moments between two records, the earliest first.
    ///
    /// Each is right before the end of a flush or of a write with FUA: at any other moment the caches hold a
    /// part of what they hold then. Half of the flushes are those that follow a mark, when an operation was
    /// told done or is about to begin.
    pub(super) fn choose(
        records: &[Record],
        from: usize,
        to: usize,
        count: usize,
        seed: u64,
    ) -> Result<Vec<Moment>> {
        let (mut of_marks, mut others, mut is_marked) = (Vec::new(), Vec::new(), true);
        for place in from + 1..to {
            match records[place].kind {
                Kind::Mark(_) => is_marked = true,
                Kind::Flush if is_marked => {
                    of_marks.push(place);
                    is_marked = false;
                }
                // Others find the caches empty.
                Kind::Flush if records[place - 1].kind != (Kind::Write { through: false }) => {}
                Kind::Flush | Kind::Write { through: true } => others.push(place),
                Kind::Write { through: false } | Kind::Discard => {}
            }
        }
        ensure!(
            !of_marks.is_empty() && !others.is_empty(),
            "nothing was recorded"
        );
        let mut random = Random::new(seed);
        let mut moments: Vec<Moment> = (0..count)
            .map(|number| {
                let how = match random.below(4) {
                    0 => How::Kept,
                    1 => How::Lost,
                    _ => How::Mixed,
                };
                let before = match number % 2 {
                    0 => of_marks[random.below(of_marks.len())],
                    _ => others[random.below(others.len())],
                };
                Moment {
                    before,
                    seed: random.below(1 << 30) as u64,
                    how,
                }
            })
            .collect();
        moments.sort_by_key(|moment| moment.before);
        Ok(moments)
    }

    /// What becomes of the writes in caches, and of a write with FUA that has not ended.
    pub(super) fn fates(&self, replay: &Replay) -> Vec<(usize, Fate)> {
        let mut random = Random::new(self.seed);
        let mut under_way = replay.cached();
        let next = replay.records().get(self.before);
        if next.is_some_and(|record| matches!(record.kind, Kind::Write { through: true })) {
            under_way.push(self.before);
        }
        let fate = |number: usize| {
            let fate = match (self.how, random.below(3)) {
                (How::Lost, _) | (How::Mixed, 0) => Fate::Lost,
                (How::Kept, _) | (How::Mixed, 1) => Fate::Whole,
                (How::Mixed, _) => {
                    let sectors = replay.records()[number].len / 512;
                    Fate::Torn((0..sectors).map(|_| random.below(2) == 0).collect())
                }
            };
            (number, fate)
        };
        under_way.into_iter().map(fate).collect()
    }
}
