use std::time::{Duration, Instant};

/// While clients read or write, work in the background rests this many times as long as it takes.
const YIELD: u32 = 4;
/// The longest rest for clients, so that it always goes on.
const LONGEST: Duration = Duration::from_millis(500);

/// How fast work in the background may go: at most at a rate, and with a fifth of the time where
/// clients are at work.
#[derive(Debug)]
pub struct Pace {
    rate: Option<u64>,
    begun: Instant,
    bytes: u64,
    /// I/O of clients, as it was counted last.
    traffic: u64,
}

impl Pace {
    /// Begins now, with `rate` bytes a second at most.
    pub fn new(rate: Option<u64>, traffic: u64, now: Instant) -> Pace {
        Pace {
            rate,
            begun: now,
            bytes: 0,
            traffic,
        }
    }

    /// How long to rest after a step of so many bytes that took a time, when clients have begun
    /// `traffic` reads and writes in all.
    pub fn rest(&mut self, bytes: u64, took: Duration, traffic: u64, now: Instant) -> Duration {
        self.bytes = self.bytes.saturating_add(bytes);
        let for_rate = self.rate.map_or(Duration::ZERO, |rate| {
            let due = u128::from(self.bytes) * 1_000_000 / u128::from(rate.max(1));
            let due = Duration::from_micros(u64::try_from(due).unwrap_or(u64::MAX));
            due.saturating_sub(now.duration_since(self.begun))
        });
        let for_clients = match self.traffic == traffic {
            true => Duration::ZERO,
            false => (took * YIELD).min(LONGEST),
        };
        self.traffic = traffic;
        for_rate.max(for_clients)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn it_yields_to_clients() {
        let now = Instant::now();
        let mut pace = Pace::new(None, 5, now);
        assert_eq!(pace.rest(1 << 16, MS(10), 5, now), Duration::ZERO);
        assert_eq!(pace.rest(1 << 16, MS(10), 6, now), MS(40));
        assert_eq!(pace.rest(1 << 16, MS(10), 6, now), Duration::ZERO);
        assert_eq!(pace.rest(1 << 16, MS(10_000), 9, now), LONGEST);
    }

    #[test]
    fn it_keeps_its_rate() {
        let now = Instant::now();
        let mut pace = Pace::new(Some(1000), 0, now);
        assert_eq!(pace.rest(100, MS(1), 0, now + MS(1)), MS(99));
        assert_eq!(pace.rest(100, MS(1), 0, now + MS(500)), Duration::ZERO);
        assert_eq!(pace.rest(400, MS(1), 0, now + MS(501)), MS(99));
        // The longer of both.
        assert_eq!(pace.rest(0, MS(50), 1, now + MS(501)), MS(200));
    }
}
