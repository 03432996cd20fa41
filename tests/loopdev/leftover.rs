//! Finds what a test has left behind.

use std::path::Path;

use crate::disk::loops_below;
use crate::mounts;
use crate::node::elsewhere;
use crate::place;
use crate::sh::cmd;
use crate::sweep::{end_hooks, is_hook, servers};

/// One line for each thing that is still there.
pub(crate) fn find(prefix: &str, dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for mount in mounts::below(dir).unwrap_or_default() {
        found.push(format!("still mounted: {}", mount.display()));
    }
    for device in loops_below(dir) {
        found.push(format!("still attached: {}", device.display()));
    }
    if let Err(error) = end_hooks() {
        found.push(format!("hooks of glusterd do not end: {error:#}"));
    }
    let elsewhere = elsewhere().unwrap_or_default().into_iter();
    for pid in servers()
        .into_iter()
        .filter(|pid| !is_hook(*pid))
        .chain(elsewhere)
    {
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
