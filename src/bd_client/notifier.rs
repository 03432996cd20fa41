use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use glusterfs::{gf_info, run_first};

/// FUSE's thread that tells the kernel which names to forget.
///
/// The notice about a phantom must reach the kernel before anybody asks for the name. It waits
/// there for the directory's lock, which symlink(2) holds until its answer has come; so the
/// answer is held back until the thread stands before the lock. The rest is a race between the
/// thread and the program that called symlink(2): the thread wins it when the kernel runs it
/// first.
#[derive(Debug)]
pub(crate) struct Notifier {
    stat: String,
}

/// The longest time an answer is held back for the thread.
const PATIENCE: Duration = Duration::from_millis(20);

impl Notifier {
    /// Finds the thread and makes it a prompt one; `None` in a process without FUSE.
    pub(crate) fn find() -> Option<Notifier> {
        let threads = fs::read_dir("/proc/self/task").ok()?.flatten();
        let thread = threads
            .map(|thread| thread.path())
            .find(|path| is_notifier(path))?;
        let number = thread.file_name()?.to_str()?.parse().ok()?;
        if let Err(errno) = run_first(number) {
            gf_info!(
                "a snapshot may be shown as a symbolic link for a second ({errno}); \
                 mount with entry-timeout=0 if that matters"
            );
        }
        Some(Notifier {
            stat: thread.join("stat").to_string_lossy().into_owned(),
        })
    }

    /// Waits until the thread stands before a lock inside the kernel. Gives up after a short
    /// time.
    pub(crate) fn wait_until_blocked(&self) {
        self.wait_for('D');
    }

    /// Waits until the thread has told the kernel all that it was given before: it runs from the moment
    /// when something is given to it, and sleeps when nothing is left. Gives up after a short time.
    pub(crate) fn wait_until_idle(&self) {
        self.wait_for('S');
    }

    /// Waits until the kernel tells that state of the thread (proc(5)), for a short time.
    fn wait_for(&self, state: char) {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && !self.is_in_state(state) {
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    fn is_in_state(&self, state: char) -> bool {
        let stat = fs::read_to_string(&self.stat).unwrap_or_default();
        // PID (NAME) STATE ...
        stat.rsplit_once(')')
            .is_some_and(|(_, rest)| rest.trim_start().starts_with(state))
    }
}

fn is_notifier(thread: &Path) -> bool {
    // GlusterFS calls it fusenoti, with a prefix; the kernel cuts names to 15 bytes.
    fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.contains("fusenoti"))
}
