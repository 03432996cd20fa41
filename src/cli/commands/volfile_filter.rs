use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use crate::{CliError, Exit, volfile};

/// glusterd waits for the filter, and does nothing else meanwhile. A brick's directory that the filter looks at
/// may be on a disk that does not answer.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct VolfileFilter {
    /// The volfile, in the folder of its volume; changed in place
    path: PathBuf,
    /// Without a limit of time
    #[arg(long, hide = true)]
    unlimited: bool,
}

impl VolfileFilter {
    pub(super) fn run(self) -> Result<Exit, CliError> {
        if !self.unlimited {
            return self.run_in_time();
        }
        volfile::filter(&self.path)?;
        for brick in volfile::idle_bricks(&self.path)? {
            // The volfile is right, whoever hears of that.
            if let Err(error) = brick.warn() {
                eprintln!("gluster-bd: {error}");
            }
        }
        Ok(Exit::Done)
    }

    /// Has a process of its own do it, which is left alone when its time is over: one that waits for a disk
    /// cannot be ended, nor can its threads.
    fn run_in_time(&self) -> Result<Exit, CliError> {
        let child = Command::new("/proc/self/exe")
            .args(["volfile-filter", "--unlimited"])
            .arg(&self.path)
            .stdin(Stdio::null())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => {
                eprintln!("gluster-bd: cannot start the volfile filter: {error}");
                return Ok(Exit::Failed);
            }
        };
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let (ended, end) = mpsc::channel();
        thread::spawn(move || ended.send(child.wait()));
        match end.recv_timeout(LIMIT) {
            Ok(Ok(status)) if status.success() => Ok(Exit::Done),
            Ok(_) => Ok(Exit::Failed),
            Err(_) => {
                // It goes when the disk answers, and changes nothing any more.
                if let Some(pid) = pid
                    && let Err(error) = kill_process(pid, Signal::KILL)
                {
                    eprintln!(
                        "gluster-bd: cannot end process {}: {error}",
                        pid.as_raw_nonzero()
                    );
                }
                eprintln!(
                    "gluster-bd: {} is left as it is: a directory that it names does not answer within {} s; \
                     see to its disk",
                    self.path.display(),
                    LIMIT.as_secs()
                );
                Ok(Exit::Unreachable)
            }
        }
    }
}
