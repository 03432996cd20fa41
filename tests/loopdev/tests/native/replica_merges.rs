//! Merges on replicas: all of them merge, or none does, whatever dies in the middle.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use loopdev::{Daemon, Rig, wait_for};

use super::bricks::{Bricks, TOP, on, replicas_agree, wait_for_size};
use super::hosts::on_hosts;
use crate::images::tools::{expect_at, expect_head, pattern, put, sh_in, size_of};

const OLD: usize = 400_000;
const NEW: usize = 300_000;

/// An image `m` with new bytes, and a snapshot of its old ones.
fn fill(bricks: &Bricks) -> Result<()> {
    fs::write(bricks.at("m"), pattern(1, NEW))?;
    sh_in(&bricks.mount.join(TOP), "ln -s m m-s")?;
    fs::write(bricks.at("m"), pattern(2, OLD))?;
    Ok(())
}

fn is_old(bricks: &Bricks) -> Result<()> {
    let size = u64::try_from(OLD)?;
    expect_head(&bricks.at("m"), size, size, &[(0, &pattern(2, OLD))])?;
    expect_at(&bricks.at("m-s"), 0, &pattern(1, NEW))
}

fn is_merged(bricks: &Bricks) -> Result<()> {
    let size = u64::try_from(NEW)?;
    wait_for_size(&bricks.at("m"), size)?;
    expect_head(&bricks.at("m"), size, size, &[(0, &pattern(1, NEW))])
}

/// The snapshot is gone, or is what it was.
fn snapshot_is_whole_or_gone(bricks: &Bricks) -> Result<()> {
    match bricks.at("m-s").exists() {
        true => expect_at(&bricks.at("m-s"), 0, &pattern(1, NEW)),
        false => Ok(()),
    }
}

/// Somebody has the snapshot open on one brick only.
fn open_on_one(rig: &mut Rig, bricks: &Bricks) -> Result<()> {
    fill(bricks)?;
    let one = rig.mount_brick(&bricks.volume, 2)?;
    let held = fs::File::open(one.join(TOP).join("m-s"))?;
    let mut byte = [0];
    held.read_exact_at(&mut byte, 0)?;
    let output = bricks.merge("m-s")?;
    ensure!(output.stderr.contains("busy"), "{output}");
    is_old(bricks)?;
    replicas_agree(bricks, 3)?;
    drop(held);
    rig.unmount(&one)?;
    // The others have been told that nothing comes.
    put(&bricks.at("m-s"), 0, &pattern(1, NEW))?;
    wait_for("the last close", || Ok(bricks.merge("m-s")?.code == 0))?;
    is_merged(bricks)?;
    ensure!(!bricks.at("m-s").exists(), "the snapshot is listed");
    replicas_agree(bricks, 3)?;
    bricks.healed(rig)
}

/// A brick was away when the snapshot was made: heal has made it there.
fn of_a_healed_snapshot(rig: &mut Rig, bricks: &Bricks) -> Result<()> {
    for away in [0, 2] {
        fs::write(bricks.at("m"), pattern(1, NEW))?;
        rig.kill9(bricks.volume.brick_pids()?[away])?;
        fill(bricks)?;
        bricks.volume.start()?;
        bricks.healed(rig)?;
        wait_for("all bricks to be back", || {
            Ok(bricks.merge("m-s")?.code == 0)
        })?;
        is_merged(bricks)?;
        replicas_agree(bricks, 3)?;
        bricks.check()?;
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Victim {
    Brick(usize),
    Client,
    Server,
    /// The server, and before it is back the origin is removed.
    Origin,
}

/// A client merges the snapshot, until each of these servers stops itself.
fn merge_stops(bricks: &Bricks, servers: &[&Daemon]) -> Result<Child> {
    let snapshot = format!("{}:/{TOP}/m-s", bricks.volume.name());
    let mut client = Command::new("gluster-bd")
        .args(["merge", &snapshot, "--force"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    for server in servers {
        let stat = format!("/proc/{}/stat", server.pid()?);
        wait_for("the server to stop itself", || {
            if let Some(status) = client.try_wait()? {
                bail!("the merge has ended before: {status}");
            }
            Ok(fs::read_to_string(&stat)?.contains(") T "))
        })?;
    }
    Ok(client)
}

/// Somebody dies while the first brick that merges is at `point`.
fn cut_off(rig: &mut Rig, bricks: &Bricks, point: &str, victim: Victim) -> Result<()> {
    fill(bricks)?;
    bricks.server(0).borrow().stop()?;
    let stops = format!("GLUSTER_BDD_FAILPOINT={point}:stop");
    let words = [stops.as_str(), "gluster-bdd"];
    let server = rig.daemon("gluster-bdd-stopping", "env", &words, "gluster-bdd: ready")?;
    let mut client = merge_stops(bricks, &[&server])?;
    match victim {
        Victim::Brick(number) => rig.kill9(bricks.volume.brick_pids()?[number])?,
        Victim::Client => client.kill()?,
        Victim::Server | Victim::Origin => {}
    }
    let origin_goes = matches!(victim, Victim::Origin);
    if matches!(victim, Victim::Server | Victim::Origin) {
        server.kill9()?;
        if origin_goes {
            client.wait()?;
            fs::remove_file(bricks.at("m"))?;
        }
        *bricks.server(0).borrow_mut() = rig.bdd()?;
    } else {
        server.signal(nix::sys::signal::Signal::SIGCONT)?;
    }
    client.wait()?;
    if !matches!(victim, Victim::Server | Victim::Origin) {
        server.stop()?;
        *bricks.server(0).borrow_mut() = rig.bdd()?;
    }
    bricks.volume.start()?;
    let mut merged = false;
    let mut last = Ok(());
    let settled = wait_for("one state on all replicas", || {
        // What was cut off is at its end first, and heal begins with that.
        last = bricks.check();
        if last.is_err() {
            return Ok(false);
        }
        bricks.healed(rig)?;
        last = if origin_goes {
            ensure!(!bricks.at("m").exists(), "the origin is back");
            Ok(())
        } else {
            merged = size_of(&bricks.at("m"))? == u64::try_from(NEW)?;
            if merged {
                is_merged(bricks)
            } else {
                is_old(bricks)
            }
        }
        .and_then(|()| snapshot_is_whole_or_gone(bricks))
        .and_then(|()| replicas_agree(bricks, 3));
        Ok(last.is_ok())
    });
    settled.with_context(|| format!("{last:?}"))?;
    println!("measured: {victim:?} at {point}: merged: {merged}");
    // All goes on.
    match origin_goes {
        true => fs::write(bricks.at("m"), b"on")?,
        false => put(&bricks.at("m"), 100, b"on")?,
    }
    sh_in(&bricks.mount.join(TOP), "rm -f ./*")?;
    wait_for("the stores to be empty", || Ok(bricks.count()? == 0))
}

#[test]
fn all_or_none() {
    on("all_or_none", &["replica", "3"], 3, |rig, bricks| {
        // AFR has noted nothing of the directory yet.
        cut_off(rig, bricks, "merge.committed", Victim::Origin).context("the origin goes")?;
        open_on_one(rig, bricks)?;
        of_a_healed_snapshot(rig, bricks)?;
        sh_in(&bricks.mount.join(TOP), "rm -f ./*")?;
        for (number, point) in ["merge.intended", "merge.committed", "merge.swapped"]
            .into_iter()
            .enumerate()
        {
            for victim in [Victim::Brick(number), Victim::Client, Victim::Server] {
                cut_off(rig, bricks, point, victim)
                    .with_context(|| format!("{victim:?} at {point}"))?;
            }
        }
        Ok(())
    });
}

/// All bricks merge, and hear of it one after the other: heal, which comes in between, does not bring back the
/// snapshot's name from those that do not know yet.
#[test]
fn late_on_all() {
    on_hosts("late_merges", &["replica", "3"], |rig, bricks| {
        fill(bricks)?;
        let mut stopping = Vec::new();
        for brick in 0..3 {
            bricks.server(brick).borrow().stop()?;
            stopping.push(bricks.host(brick).start_stopping(rig, "merge.committed")?);
        }
        let servers: Vec<&Daemon> = stopping.iter().collect();
        let mut client = merge_stops(bricks, &servers)?;
        client.kill()?;
        client.wait()?;
        for server in servers {
            server.kill9()?;
        }
        let names = || -> Vec<bool> {
            let dirs = bricks.volume.bricks().iter();
            dirs.map(|dir| dir.join(TOP).join("m-s").exists()).collect()
        };
        for brick in 0..3 {
            let server = bricks.host(brick).start(rig)?;
            bricks.server(brick).replace(server);
            wait_for("the brick to hear of its merge", || Ok(!names()[brick]))?;
            // A lookup heals names, before it is answered.
            let mount = rig.mount(&bricks.volume, &[])?;
            let _found = fs::metadata(mount.join(TOP).join("m-s"));
            rig.unmount(&mount)?;
            rig.gluster(&["volume", "heal", bricks.volume.name()])?;
            ensure!(
                !names()[brick],
                "brick {brick} has the name again: {:?}",
                names()
            );
        }
        bricks.healed(rig)?;
        is_merged(bricks)?;
        replicas_agree(bricks, 3)?;
        ensure!(!bricks.at("m-s").exists(), "the snapshot is listed");
        bricks.check()
    });
}
