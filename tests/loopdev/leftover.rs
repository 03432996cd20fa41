//! Finds what a test has left behind.

use std::path::Path;

use crate::disk::loops_below;
use crate::mounts;
use crate::place;
use crate::sh::cmd;
use crate::sweep::servers;
use crate::wait::wait_for;

/// One line for each thing that is still there.
pub(crate) fn find(prefix: &str, dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for mount in mounts::below(dir).unwrap_or_default() {
        found.push(format!("still mounted: {}", mount.display()));
    }
    for device in loops_below(dir) {
        found.push(format!("still attached: {}", device.display()));
    }
    // glusterd's hooks run the command line in the background, after a volume was deleted.
    let commands = || servers().into_iter().filter(|pid| is_command(*pid)).count();
    if let Err(error) = wait_for("the end of glusterd's hooks", || Ok(commands() == 0)) {
        found.push(format!("{error:#}"));
    }
    for pid in servers() {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        found.push(format!("still running: {pid} {}", line.replace('\0', " ")));
    }
    if place::device_mapper() {
        for (program, args) in [
            ("dmsetup", &["ls"][..]),
            ("vgs", &["--noheadings", "-o", "vg_name"][..]),
        ] {
            match cmd(program, args).and_then(crate::Output::ok) {
                Ok(output) => found.extend(
                    output
                        .lines()
                        .iter()
                        .filter(|line| line.starts_with(prefix))
                        .map(|line| format!("still known to {program}: {line}")),
                ),
                Err(error) => found.push(format!("cannot look for leftovers: {error:#}")),
            }
        }
    }
    found
}

/// Whether a process is the command line, which ends by itself, and no server.
fn is_command(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .is_ok_and(|name| name.trim_end() == "gluster")
}
