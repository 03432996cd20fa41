//! Parts of a test.

use std::time::Instant;

use anyhow::{Context, Result};

/// Runs a part of a test. Tells how long it took, and its name if it fails.
pub fn step<T>(name: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let outcome = body();
    println!("measured: {name} {:.1} s", start.elapsed().as_secs_f32());
    outcome.with_context(|| name.to_owned())
}
