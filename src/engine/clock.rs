//! The time of day, for what is told to people and kept over restarts.

use std::time::SystemTime;

/// Seconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed();
    since.map_or(0, |since| since.as_secs())
}
