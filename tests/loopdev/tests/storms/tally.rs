//! What the threads of a storm tell each other.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// How long a thread rests after a failure: it may fail again and again.
const REST: Duration = Duration::from_millis(20);

/// Counts, and whether to go on.
pub(super) struct Tally {
    stop: AtomicBool,
    /// Nothing was broken yet: each failure is one too many.
    calm: AtomicBool,
    writes: AtomicU64,
    operations: AtomicU64,
    failures: Mutex<BTreeMap<String, u64>>,
    wrong: Mutex<Vec<String>>,
    log: Mutex<File>,
    start: Instant,
}

impl Tally {
    pub(super) fn new(log: &Path) -> Result<Tally> {
        Ok(Tally {
            stop: AtomicBool::new(false),
            calm: AtomicBool::new(true),
            writes: AtomicU64::new(0),
            operations: AtomicU64::new(0),
            failures: Mutex::default(),
            wrong: Mutex::default(),
            log: Mutex::new(File::create(log)?),
            start: Instant::now(),
        })
    }

    pub(super) fn begin(&self) {
        self.stop.store(false, Ordering::SeqCst);
        self.calm.store(true, Ordering::SeqCst);
    }

    /// From now on there may be failures.
    pub(super) fn disturb(&self) {
        self.calm.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_disturbed(&self) -> bool {
        !self.calm.load(Ordering::SeqCst)
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    pub(super) fn wrote(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn did(&self) {
        self.operations.fetch_add(1, Ordering::Relaxed);
    }

    /// Something was not done, or nobody knows.
    pub(super) fn failed(&self, what: &str, error: &std::io::Error) {
        self.note(&format!("{what}: {error}"));
        if self.calm.load(Ordering::SeqCst) {
            self.wrong(format!("{what} failed before anything was broken: {error}"));
        }
        let mut failures = self.failures.lock().expect("no panic");
        *failures.entry(error.to_string()).or_default() += 1;
        drop(failures);
        thread::sleep(REST);
    }

    /// Something is wrong that nothing excuses.
    pub(super) fn wrong(&self, what: String) {
        self.note(&format!("WRONG: {what}"));
        self.wrong.lock().expect("no panic").push(what);
    }

    /// A line of the storm's own log, which is kept if the test fails.
    pub(super) fn note(&self, line: &str) {
        let at = self.start.elapsed().as_secs_f32();
        let mut log = self.log.lock().expect("no panic");
        drop(writeln!(log, "{at:9.3} {line}"));
    }

    pub(super) fn nothing_is_wrong(&self) -> Result<()> {
        let wrong = self.wrong.lock().expect("no panic");
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    }

    /// For the report: writes, operations, and failures by their kind.
    pub(super) fn figures(&self) -> String {
        let failures = self.failures.lock().expect("no panic");
        format!(
            "{} writes and {} operations acknowledged, refused meanwhile: {failures:?}",
            self.writes.load(Ordering::Relaxed),
            self.operations.load(Ordering::Relaxed),
        )
    }
}
