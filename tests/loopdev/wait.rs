//! Waiting for a state, never for a time.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Long enough for an emulated processor under load: reaching it means that it never comes.
const LIMIT: Duration = Duration::from_secs(120);

/// Polls until `ready` answers true; fails with `what` when it never does.
pub fn wait_for(what: &str, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(5);
    while !ready()? {
        if start.elapsed() > LIMIT {
            bail!("waited {} s in vain for {what}", LIMIT.as_secs());
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(200));
    }
    if std::env::var_os("GBT_TRACE").is_some() {
        println!(
            "measured: {:.2} s until {what}",
            start.elapsed().as_secs_f32()
        );
    }
    Ok(())
}
