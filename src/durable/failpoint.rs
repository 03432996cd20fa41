//! Points at which a test can kill the server, to see what the next start makes of it.
//!
//! The environment variable `GLUSTER_BDD_FAILPOINT` names one of [`NAMES`]; the server kills
//! itself with SIGKILL when it comes there. `NAME:stop` lets it stop itself with SIGSTOP the first
//! time, so that a test can do something meanwhile, and SIGCONT lets it go on. Without the variable
//! a point costs one comparison.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Signal, getpid, kill_process};

/// The variable that chooses a point.
pub const VARIABLE: &str = "GLUSTER_BDD_FAILPOINT";

/// All points: before or after which step the server dies.
pub const NAMES: [&str; 22] = [
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
    "old.tagged",
    "old.sized",
];

/// What happens at the chosen point.
struct Chosen {
    name: String,
    stops: bool,
    stopped: AtomicBool,
}

impl Chosen {
    fn read(text: &str) -> Chosen {
        let (name, stops) = match text.strip_suffix(":stop") {
            Some(name) => (name, true),
            None => (text, false),
        };
        Chosen {
            name: name.to_owned(),
            stops,
            stopped: AtomicBool::new(false),
        }
    }

    /// The signal that the server sends itself at `point`.
    fn signal(&self, point: &str) -> Option<Signal> {
        match (self.name == point, self.stops) {
            (false, _) => None,
            (true, false) => Some(Signal::KILL),
            (true, true) => {
                let first = !self.stopped.swap(true, Ordering::SeqCst);
                first.then_some(Signal::STOP)
            }
        }
    }
}

/// Dies or stops here if the point `name` was chosen.
pub fn reach(name: &str) {
    static CHOSEN: OnceLock<Option<Chosen>> = OnceLock::new();
    debug_assert!(NAMES.contains(&name), "{name} is not listed");
    let chosen = CHOSEN.get_or_init(|| {
        let text = std::env::var(VARIABLE).ok()?;
        Some(Chosen::read(&text))
    });
    let done = match chosen.as_ref().and_then(|chosen| chosen.signal(name)) {
        None => Ok(()),
        // To this thread: a signal to the process may take a while, and this one would go on.
        Some(Signal::STOP) => signal_hook::low_level::raise(Signal::STOP.as_raw()),
        Some(signal) => kill_process(getpid(), signal).map_err(Into::into),
    };
    if let Err(error) = done {
        tracing::error!("cannot die or stop at {name}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_kills_or_stops_once() {
        let kills = Chosen::read("copy.made");
        assert_eq!(kills.signal("copy.made"), Some(Signal::KILL));
        assert_eq!(kills.signal("copy.intended"), None);
        let stops = Chosen::read("copy.made:stop");
        assert_eq!(stops.signal("copy.intended"), None);
        assert_eq!(stops.signal("copy.made"), Some(Signal::STOP));
        assert_eq!(stops.signal("copy.made"), None);
    }
}
