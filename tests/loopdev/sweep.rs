//! Clears what an earlier test left when it was killed. Only in a machine of the rig's own.

use std::fs;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon::alive;
use crate::disk::loops_below;
use crate::mounts;
use crate::network;
use crate::node::elsewhere;
use crate::place;
use crate::sh::cmd;
use crate::wait::wait_for;

/// Programs which only the rig starts in its machine.
const SERVERS: [&str; 5] = [
    "glusterd",
    "glusterfsd",
    "glusterfs",
    "gluster-bdd",
    "gluster",
];

/// Processes with one of the servers' names. The process table is the rig's own: `Place::check`
/// has made sure that this is a sandbox or a guest.
pub(crate) fn servers() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            *pid != 1 && SERVERS.contains(&name.trim_end()) && alive(*pid)
        })
        .collect()
}

/// Whether a process is a command line: hooks of glusterd start some, which wait for it in vain
/// for minutes when it is gone.
pub(crate) fn is_hook(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "gluster")
}

/// Ends the command lines of hooks.
pub(crate) fn end_hooks() -> Result<()> {
    for pid in servers().into_iter().filter(|pid| is_hook(*pid)) {
        end_process(pid, Signal::SIGKILL)?;
    }
    Ok(())
}

/// Ends a process and waits until it is gone; no error where it is gone already.
pub(crate) fn end_process(pid: i32, signal: Signal) -> Result<()> {
    if alive(pid) && kill(Pid::from_raw(pid), signal).is_ok() {
        wait_for(&format!("the end of process {pid}"), || Ok(!alive(pid)))?;
    }
    Ok(())
}

/// Takes down everything of earlier rigs and empties glusterd's state.
pub(crate) fn sweep() -> Result<()> {
    let scratch = place::scratch()?;
    for pid in servers().into_iter().chain(elsewhere()?) {
        end_process(pid, Signal::SIGKILL)?;
    }
    network::sweep()?;
    for mount in mounts::below(&scratch)?
        .iter()
        .rev()
        .filter(|mount| **mount != scratch)
    {
        mounts::unmount(mount)?;
    }
    for lv in mapped() {
        // Each try frees those below; what stays is reported by the next test's own checks.
        cmd("dmsetup", &["remove", "--retry", &lv])?;
    }
    for device in loops_below(&scratch) {
        cmd("losetup", &["-d".as_ref(), device.as_os_str()])?.ok()?;
    }
    for entry in fs::read_dir(&scratch)
        .context("cannot read the scratch folder")?
        .flatten()
    {
        if entry.file_name().to_string_lossy().starts_with("gbt_") {
            fs::remove_dir_all(entry.path())?;
        }
    }
    forget_volumes()
}

/// Mapped devices of rigs, those with the most parts in their name (thin LVs) first.
fn mapped() -> Vec<String> {
    if !place::device_mapper() {
        return Vec::new();
    }
    let Ok(output) = cmd("dmsetup", &["ls"]) else {
        return Vec::new();
    };
    let mut names: Vec<String> = output
        .lines()
        .iter()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.starts_with("gbt_"))
        .map(str::to_owned)
        .collect();
    names.sort_by_key(|name| {
        ["_tdata", "_tmeta", "-tpool"]
            .iter()
            .position(|end| name.ends_with(end))
            .map_or(0, |p| 3 - p)
    });
    names
}

/// Hooks and option groups are glusterd's programs; everything else there is state.
fn forget_volumes() -> Result<()> {
    for entry in fs::read_dir("/var/lib/glusterd").context("is glusterfs-server installed?")? {
        let entry = entry?;
        if entry.file_name() == "hooks" || entry.file_name() == "groups" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
