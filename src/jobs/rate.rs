use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Progress that is older says nothing of the present rate.
const WINDOW: Duration = Duration::from_secs(10);

/// How fast something goes.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// When how many bytes were done.
    steps: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// Some bytes were done.
    pub(super) fn add(&mut self, at: Instant, bytes: u64) {
        while self
            .steps
            .front()
            .is_some_and(|(then, _)| at.duration_since(*then) > WINDOW)
        {
            self.steps.pop_front();
        }
        self.steps.push_back((at, bytes));
    }

    /// Bytes a second lately; zero while too little is known.
    pub(super) fn at(&self, at: Instant) -> u64 {
        let mut lately = self
            .steps
            .iter()
            .filter(|(then, _)| at.duration_since(*then) <= WINDOW);
        // What was done up to the first moment took a time that is not known.
        let Some((first, _)) = lately.next() else {
            return 0;
        };
        let bytes: u64 = lately.map(|(_, bytes)| bytes).sum();
        let millis = at.duration_since(*first).as_millis().max(1);
        u64::try_from(u128::from(bytes) * 1000 / millis).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut rate = Rate::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(rate.at(at(0)), 0);
        rate.add(at(0), 1_000_000);
        assert_eq!(rate.at(at(1)), 0);
        for second in 1..=20 {
            rate.add(at(second), 100);
        }
        assert_eq!(rate.at(at(20)), 100);
        assert_eq!(rate.at(at(22)), 80, "it stands still");
        assert_eq!(rate.at(at(31)), 0);
    }
}
