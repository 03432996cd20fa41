//! Points at which a test can kill the server, to see what the next start makes of it.
//!
//! The environment variable `GLUSTER_BDD_FAILPOINT` names one of [`NAMES`]; the server kills
//! itself with SIGKILL when it comes there. Without the variable a point costs one comparison.

use std::sync::OnceLock;

use rustix::process::{Signal, getpid, kill_process};

/// The variable that chooses a point.
pub const VARIABLE: &str = "GLUSTER_BDD_FAILPOINT";

/// All points: before or after which step the server dies.
pub const NAMES: [&str; 20] = [
    "init.configured",
    "init.claimed",
    "intent.written",
    "intent.placed",
    "intent.dropping",
    "intent.dropped",
    "create.intended",
    "create.made",
    "copy.intended",
    "copy.made",
    "merge.intended",
    "merge.committed",
    "merge.swapped",
    "abort.removed",
    "remove.begun",
    "remove.removed",
    "resize.done",
    "rename.done",
    "adopt.done",
    "release.released",
];

/// Dies here if the point `name` was chosen.
pub(crate) fn reach(name: &str) {
    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    debug_assert!(NAMES.contains(&name), "{name} is not listed");
    let chosen = CHOSEN.get_or_init(|| std::env::var(VARIABLE).ok());
    if chosen.as_deref() == Some(name)
        && let Err(errno) = kill_process(getpid(), Signal::KILL)
    {
        tracing::error!("cannot die at {name}: {errno}");
    }
}
