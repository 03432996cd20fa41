//! The stock command line, with patience.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::storage::{ProgramError, run};

/// How long another transaction may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a line of `gluster` without questions. glusterd refuses what comes while another transaction is
/// under way, such as that of the hook which brings volfiles into step; then it is asked again.
pub(crate) fn gluster(args: &[&str]) -> Result<String, ProgramError> {
    let all = [&["--mode=script"], args].concat();
    let start = Instant::now();
    loop {
        match run("gluster", &all) {
            Err(ProgramError::Failed { said, .. })
                if is_busy(&said) && start.elapsed() < PATIENCE =>
            {
                sleep(Duration::from_millis(200));
            }
            answer => return answer,
        }
    }
}

/// What glusterd says then, on this host and on others.
fn is_busy(said: &str) -> bool {
    said.contains("Another transaction is in progress") || said.contains("Locking failed on")
}
