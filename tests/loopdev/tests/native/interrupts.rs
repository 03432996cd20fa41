//! Ctrl-C in the middle of each command that needs a server.
//!
//! gluster-bdd stops itself at a chosen point, so that the command waits; the signal comes then,
//! and after that gluster-bdd goes on. Commands that run programs of the host instead are tested
//! with the crate of the command line.

use std::fs;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use loopdev::{Daemon, Place, Rig, cmd, run, sh, wait_for};
use nix::sys::signal::Signal;

use crate::commands;
use crate::typed::{self, Bed};

/// What the signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The command waits for the step under way, undoes it, and says so.
    Undoes,
    /// It ends at once; the server does the step or not.
    AtOnce,
}
use End::{AtOnce, Undoes};

/// A command, with `DIR` for the brick directory and `NEW` for words that make one.
struct Case {
    line: &'static str,
    /// Where gluster-bdd stops; stopped from outside before the command if empty.
    at: &'static str,
    end: End,
    /// The images there may be afterwards: there were `a`, and its snapshot `s`.
    after: &'static [&'static str],
}

const fn case(
    line: &'static str,
    at: &'static str,
    end: End,
    after: &'static [&'static str],
) -> Case {
    Case {
        line,
        at,
        end,
        after,
    }
}

const SAME: &str = "/top/a /top/s";

const CASES: &[Case] = &[
    case("create vms:/top/x 8", "create.intended", Undoes, &[SAME]),
    case("create vms:/top/x 8", "create.made", Undoes, &[SAME]),
    case("create vms:/top/x 8", "resize.done", Undoes, &[SAME]),
    case("create vms:x 8 --thick", "create.made", Undoes, &[SAME]),
    case("create vms:x 8 --thick", "resize.done", Undoes, &[SAME]),
    case("clone vms:/top/a x", "copy.intended", Undoes, &[SAME]),
    case("clone vms:/top/a x", "copy.made", Undoes, &[SAME]),
    case("snapshot vms:/top/a x", "copy.made", Undoes, &[SAME]),
    case(
        "rename vms:/top/a x",
        "rename.done",
        AtOnce,
        &["/top/s /top/x"],
    ),
    case("resize vms:/top/a +8M", "resize.done", AtOnce, &[SAME]),
    case(
        "merge vms:/top/s --force",
        "merge.intended",
        AtOnce,
        &["/top/a"],
    ),
    case(
        "merge vms:/top/s --force",
        "merge.committed",
        AtOnce,
        &["/top/a"],
    ),
    case(
        "merge vms:/top/s --force",
        "merge.swapped",
        AtOnce,
        &["/top/a"],
    ),
    // What is condemned is deleted when the server runs again.
    case("delete vms:/top/s", "intent.placed", AtOnce, &["/top/a"]),
    case(
        "delete vms:/top/s vms:/top/a",
        "intent.placed",
        Undoes,
        &["/top/a"],
    ),
    case("info vms:/top/a", "", AtOnce, &[SAME]),
    case("tree vms", "", AtOnce, &[SAME]),
    case("brick init NEW", "init.configured", AtOnce, &[SAME]),
    case("brick init NEW", "init.claimed", AtOnce, &[SAME]),
    case("brick show DIR", "", AtOnce, &[SAME]),
    case("check DIR", "", AtOnce, &[SAME]),
];

#[test]
fn ctrl_c_leaves_nothing_behind() {
    run(
        "native::ctrl_c_leaves_nothing_behind",
        Place::Native,
        |rig| {
            let (bed, brick, server, _glusterd) = commands::bed(rig)?;
            server.stop()?;
            for case in CASES {
                one(rig, &bed, &brick.display().to_string(), case)
                    .with_context(|| format!("{} at {:?}", case.line, case.at))?;
            }
            println!("measured: {} commands and moments", CASES.len());
            Ok(())
        },
    );
}

fn one(rig: &mut Rig, bed: &Bed, brick: &str, case: &Case) -> Result<()> {
    let server = rig.bdd()?;
    for line in ["create vms:/top/a 4", "snapshot vms:/top/a s"] {
        typed::expect(bed, line, 0, "")?;
    }
    // A directory on the brick's file system, and a store beside it.
    let new = format!("{brick}-new");
    let store = format!("{new}-store");
    sh(&format!("rm -rf {new} {store} && mkdir {new} {store}"))?;
    server.stop()?;

    let point = format!("GLUSTER_BDD_FAILPOINT={}:stop", case.at);
    let args = [point.as_str(), "gluster-bdd"];
    let server = rig.daemon("gluster-bdd", "env", &args, "gluster-bdd: ready")?;
    if case.at.is_empty() {
        server.signal(Signal::SIGSTOP)?;
        wait_stopped(&server)?;
    }
    let line = case
        .line
        .replace("DIR", brick)
        .replace("NEW", &format!("{new} --engine file --store {store}"))
        .replace("vms", bed.volume.name());
    let mut child = Command::new("gluster-bd")
        .args(line.split(' '))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let ended = interrupt(&mut child, &server, case);
    server.signal(Signal::SIGCONT)?;
    if ended.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    ended?;
    let mut said = String::new();
    let stderr = child.stderr.as_mut().context("it has one")?;
    stderr.read_to_string(&mut said)?;
    match case.end {
        AtOnce => ensure!(
            status.signal() == Some(Signal::SIGINT as i32) && said.is_empty(),
            "{status}: {said}"
        ),
        Undoes => ensure!(
            status.signal() == Some(Signal::SIGINT as i32)
                && said.starts_with("gluster-bd: interrupted; "),
            "{status}: {said}"
        ),
    }
    settled(bed, brick, case, &new)?;
    server.stop().map(drop)
}

/// Sends the signal once the command waits for the server, and waits for what must come of it
/// while the server stands still.
fn interrupt(child: &mut Child, server: &Daemon, case: &Case) -> Result<()> {
    wait_stopped(server)?;
    if case.at.is_empty() {
        // Nothing tells that it waits, but that it does nothing.
        wait_for("the command to wait", || idle(child.id()))?;
    }
    let pid = child.id().to_string();
    cmd("kill", &["-INT", &pid])?.ok()?;
    match case.end {
        Undoes => wait_for("the signal to arrive", || {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let pending = status.lines().find_map(|l| l.strip_prefix("ShdPnd:"));
            let pending = u64::from_str_radix(pending.context("no ShdPnd")?.trim(), 16)?;
            Ok(pending & (1 << (Signal::SIGINT as u64 - 1)) == 0)
        }),
        AtOnce => wait_for("the end of the command", || Ok(child.try_wait()?.is_some())),
    }
}

/// Waits until the server has stopped itself.
fn wait_stopped(server: &Daemon) -> Result<()> {
    let stat = format!("/proc/{}/stat", server.pid()?);
    wait_for("the server to stop", || {
        let text = fs::read_to_string(&stat)?;
        let state = text.rsplit(')').next().unwrap_or_default();
        Ok(state.trim_start().starts_with('T'))
    })
}

/// Whether a process has used no time of a processor for a while.
fn idle(pid: u32) -> Result<bool> {
    let used = || -> Result<String> {
        let mut all = String::new();
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let stat = fs::read_to_string(thread?.path().join("schedstat"))?;
            all.push_str(&stat);
        }
        Ok(all)
    };
    let before = used()?;
    std::thread::sleep(std::time::Duration::from_millis(300));
    Ok(before == used()?)
}

/// The images are as the case says, nothing else is there, and the volume is empty at the end.
fn settled(bed: &Bed, brick: &str, case: &Case, new: &str) -> Result<()> {
    wait_for("a clean brick", || {
        Ok(cmd("gluster-bd", &["check", brick])?.code == 0
            && case.after.contains(&typed::listed(bed)?.as_str()))
    })
    .with_context(|| {
        format!(
            "{:?}, {:?}",
            typed::listed(bed),
            cmd("gluster-bd", &["check", brick])
        )
    })?;
    let hidden = sh(&format!("ls -A {brick}"))?;
    ensure!(
        hidden.lines() == [".glusterfs", bed.top.as_str()],
        "{hidden}"
    );
    if case.line.contains("NEW") {
        // Done or not, it can be asked for again, and taken back.
        let store = format!("{new}-store");
        let again = ["brick", "init", new, "--engine", "file", "--store", &store];
        cmd("gluster-bd", &again)?.ok()?;
        cmd("gluster-bd", &["brick", "remove", new])?.ok()?;
    }
    let all = typed::listed(bed)?;
    let mut delete = "delete".to_owned();
    for path in all.split(' ').rev() {
        delete.push_str(&format!(" vms:{path}"));
    }
    typed::expect(bed, &delete, 0, "deleted")
}
