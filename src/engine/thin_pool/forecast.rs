//! When a pool is full if it goes on as it does.

use bd_model::Bytes;

/// What growth is judged by first: the last hour, so that a sudden growth is seen soon.
const RECENT: u64 = 3600;
/// With less than this, in seconds, nothing is said.
const LEAST: u64 = 300;
/// What is farther away, in seconds, is not worth saying.
const MOST: u64 = 365 * 86_400;
/// A drop by more than this part of the size is a mass removal; less is ordinary coming and going.
const DROP: u64 = 50;
/// Points that slopes are taken between; there are half as many slopes as its square.
const POINTS: usize = 72;

/// What was in use at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// Seconds since 1970.
    pub(super) at: u64,
    /// Bytes in use.
    pub(super) used: Bytes,
    /// All bytes.
    pub(super) size: Bytes,
}

/// Bytes that are added in a second: the greater of the rates of the last hour and of all of
/// `points`, which are in the order of time. `None` if they tell too little or nothing grows.
///
/// A rate is about the median of the slopes between any two points (the estimator of Theil and
/// Sen), on which one step has little influence. What a mass removal has freed is taken off
/// everything before it, as if it had never been there.
pub(super) fn rate(points: &[Point]) -> Option<f64> {
    let points = without_drops(points);
    let last = points.last()?.0;
    let recent = points.partition_point(|(at, _)| at + RECENT < last);
    let rates = [&points[..], &points[recent..]].map(slope);
    rates.into_iter().flatten().reduce(f64::max)
}

/// Seconds until `capacity` is in use; zero if it is.
pub(super) fn full_in(points: &[Point], capacity: Bytes) -> Option<u64> {
    let free = capacity.0.saturating_sub(points.last()?.used.0);
    if free == 0 {
        return Some(0);
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "an estimate of seconds needs no more than 53 bits"
    )]
    let seconds = free as f64 / rate(points)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is above zero, and what is too large becomes the largest number"
    )]
    let seconds = seconds as u64;
    (seconds <= MOST).then_some(seconds)
}

/// Times, and bytes in use less what was freed in mass later.
fn without_drops(points: &[Point]) -> Vec<(u64, i128)> {
    let mut freed = 0;
    let mut adjusted = Vec::with_capacity(points.len());
    let mut later: Option<&Point> = None;
    for point in points.iter().rev() {
        if let Some(later) = later {
            let drop = point.used.0.saturating_sub(later.used.0);
            if drop > point.size.0 / DROP {
                freed += i128::from(drop);
            }
        }
        adjusted.push((point.at, i128::from(point.used.0) - freed));
        later = Some(point);
    }
    adjusted.reverse();
    adjusted
}

/// About the median of the slopes, in bytes a second; `None` unless it is above zero.
fn slope(points: &[(u64, i128)]) -> Option<f64> {
    let (first, last) = (points.first()?, points.last()?);
    if last.0 < first.0 + LEAST {
        return None;
    }
    // Evenly spaced, with the last one.
    let step = points.len().div_ceil(POINTS);
    let few: Vec<_> = points.iter().rev().step_by(step).collect();
    let mut slopes = Vec::with_capacity(few.len() * few.len() / 2);
    for (place, (at, used)) in few.iter().enumerate() {
        for (earlier, before) in &few[place + 1..] {
            if at > earlier {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "an estimate of a rate needs no more than 53 bits"
                )]
                slopes.push((used - before) as f64 / (at - earlier) as f64);
            }
        }
    }
    slopes.sort_unstable_by(f64::total_cmp);
    // A little below the middle: a step in the middle of the time changes half of the slopes.
    let middle = *slopes.get(slopes.len() * 9 / 20)?;
    (middle > 0.0).then_some(middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const DAY: u64 = 86_400;

    /// A point each half minute; `used` is told in MiB of 100000.
    fn points(count: u64, used: impl Fn(u64) -> u64) -> Vec<Point> {
        let point = |place| Point {
            at: 1_000_000 + place * 30,
            used: Bytes(used(place) * MIB),
            size: Bytes(100_000 * MIB),
        };
        (0..count).map(point).collect()
    }

    fn whole(points: &[Point]) -> Option<u64> {
        full_in(points, Bytes(100_000 * MIB))
    }

    #[test]
    fn a_steady_growth_is_continued() {
        // A MiB each half minute: 90000 MiB more at its end.
        let steady = points(1001, |place| 9_000 + place);
        assert_eq!(whole(&steady), Some(90_000 * 30));
        assert_eq!(full_in(&steady, Bytes(9_000 * MIB)), Some(0));
        assert_eq!(whole(&points(1001, |_| 5_000)), None);
        assert_eq!(whole(&points(1001, |place| 9_000 - place)), None);
        assert_eq!(whole(&points(10, |place| place)), None, "too short a time");
        assert_eq!(whole(&[]), None);
    }

    #[test]
    fn a_step_changes_little() {
        let step = |place| if place < 500 { 0 } else { 30_000 };
        // An import of a third of the pool, and before and after it nothing.
        assert_eq!(whole(&points(1001, step)), None);
        let imported = whole(&points(1001, |place| 10_000 + place + step(place))).unwrap();
        assert!((DAY..60_000 * 30).contains(&imported), "{imported}");
        // A mass removal; the growth goes on.
        let removed = whole(&points(1001, |place| 40_000 + place - step(place))).unwrap();
        assert_eq!(removed, (100_000 - 11_000) * 30);
    }

    #[test]
    fn ordinary_removals_count_against_growth() {
        let sawtooth = points(1440, |place| 10_000 + place % 20);
        assert!(whole(&sawtooth).is_none_or(|seconds| seconds > 30 * DAY));
    }

    #[test]
    fn a_sudden_growth_is_seen_within_the_hour() {
        let sudden = points(1440, |place| 10_000 + place.saturating_sub(1340) * 100);
        let seconds = whole(&sudden).unwrap();
        assert!((20_000..30_000).contains(&seconds), "{seconds}");
    }

    #[test]
    fn an_extension_is_no_growth() {
        let mut extended = points(1001, |_| 5_000);
        for point in &mut extended[600..] {
            point.size = Bytes(200_000 * MIB);
        }
        assert_eq!(full_in(&extended, Bytes(200_000 * MIB)), None);
    }
}
