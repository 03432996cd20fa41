//! Bricks of several volumes in one process (`cluster.brick-multiplex`), which come and go.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use loopdev::{Backing, Bed, Volume, gluster_bd, sh, wait_for};

use crate::images::tools::{expect_at, open, pattern, put, sh_in};
use crate::images::{SIZE, run_steps_on};

/// How often the second volume goes and comes.
const ROUNDS: u64 = 6;
const BLOCK: usize = 4096;
/// Blocks of an image that is written to all the time.
const BLOCKS: u64 = 256;

/// A second volume beside that of the bed, whose brick is in the same process.
struct Second {
    volume: Volume,
    brick: PathBuf,
    mount: PathBuf,
    top: &'static str,
}

impl Second {
    fn make(bed: &mut Bed<'_>) -> Result<Second> {
        let top = "second";
        let store = bed.rig.store(top, Backing::File, 512)?;
        let brick = bed.rig.filesystem("brick2", 320)?.join("b");
        fs::create_dir(&brick)?;
        gluster_bd(&store.init(&brick))?.ok()?;
        let volume = bed.rig.volume("two", std::slice::from_ref(&brick))?;
        volume.serve_images()?;
        volume.start()?;
        let mount = bed.rig.mount(&volume, &[])?;
        Ok(Second {
            volume,
            brick,
            mount,
            top,
        })
    }

    fn images(&self) -> PathBuf {
        self.mount.join(self.top)
    }

    fn stop(&self, bed: &Bed<'_>) -> Result<()> {
        self.volume.stop()?;
        bed.rig.unmount(&self.mount)
    }

    /// How often the process has ended this brick.
    fn ends(&self) -> Result<usize> {
        let said = sh(&format!(
            "cat /var/log/glusterfs/bricks/*.log | grep -c 'Start call fini for brick {}' || true",
            self.brick.display()
        ))?;
        Ok(said.stdout.parse()?)
    }

    fn start(&mut self, bed: &mut Bed<'_>) -> Result<()> {
        self.volume.start()?;
        self.mount = bed.rig.mount(&self.volume, &[])?;
        Ok(())
    }
}

/// Writes block after block, each with the number of the turn, until told to stop or until it fails;
/// `done` counts what was acknowledged.
fn write_on(path: &Path, first: u64, stop: &AtomicBool, done: &AtomicU64) -> Result<()> {
    let file = open(path)?;
    let mut turn = first;
    while !stop.load(Ordering::Acquire) {
        let at = turn % BLOCKS * BLOCK as u64;
        file.write_all_at(&pattern(turn, BLOCK), at)?;
        file.sync_data()?;
        turn += 1;
        done.store(turn, Ordering::Release);
    }
    Ok(())
}

/// All that was acknowledged up to `turn`, and not written again since.
fn expect_turns(path: &Path, turn: u64) -> Result<()> {
    for written in turn.saturating_sub(BLOCKS - 1)..turn {
        expect_at(
            path,
            written % BLOCKS * BLOCK as u64,
            &pattern(written, BLOCK),
        )
        .with_context(|| format!("turn {written} of {turn}"))?;
    }
    Ok(())
}

/// One goes while programs use it, and its neighbour hears nothing of it.
fn come_and_go(bed: &mut Bed<'_>) -> Result<()> {
    let mut second = Second::make(bed)?;
    let process = bed.volume.brick_pids()?;
    ensure!(
        process == second.volume.brick_pids()?,
        "the bricks have processes of their own"
    );
    File::create(bed.at("steady"))?;
    let (stop, steady) = (AtomicBool::new(false), AtomicU64::new(0));
    let path = bed.at("steady");
    thread::scope(|scope| -> Result<()> {
        let neighbour = scope.spawn(|| write_on(&path, 0, &stop, &steady));
        let outcome = rounds(bed, &mut second);
        stop.store(true, Ordering::Release);
        let written = neighbour
            .join()
            .map_err(|_| anyhow!("the writer panicked"))?;
        outcome?;
        written.context("the neighbour's writer")
    })?;
    ensure!(
        bed.volume.brick_pids()? == process,
        "the bricks' process was started anew"
    );
    bed.remount()?;
    expect_turns(&bed.at("steady"), steady.load(Ordering::Acquire))?;
    second.stop(bed)?;
    // gluster-bdd lets go of a brick's folders when it ends.
    bed.restart_server()
}

fn rounds(bed: &mut Bed<'_>, second: &mut Second) -> Result<()> {
    File::create(second.images().join("busy"))?;
    fs::write(second.images().join("gone"), pattern(7, 100_000))?;
    let mut turn = 0;
    for round in 0..ROUNDS {
        let name = format!("round{round}");
        let at = second.images().join(&name);
        // Its time is still in the brick's memory when that goes.
        fs::write(&at, pattern(round, 50_000))?;
        put(&at, 0, b"later")?;
        let times = fs::metadata(&at)?;
        sh_in(
            &second.images(),
            &format!("ln {name} c{round}; ln -s {name} s{round}"),
        )?;
        // A removed image that is open goes with its last close: that of the brick.
        let removed = open(&second.images().join("gone"))?;
        removed.write_all_at(b"still", 0)?;
        fs::remove_file(second.images().join("gone"))?;

        let ends = second.ends()?;
        let (stop, done) = (AtomicBool::new(false), AtomicU64::new(turn));
        let busy = second.images().join("busy");
        thread::scope(|scope| -> Result<()> {
            let writer = scope.spawn(|| write_on(&busy, turn, &stop, &done));
            let before = done.load(Ordering::Acquire);
            wait_for("some writes", || {
                Ok(done.load(Ordering::Acquire) > before + 20)
            })?;
            second.volume.stop()?;
            stop.store(true, Ordering::Release);
            // It fails when the brick is gone.
            let _ended = writer.join().map_err(|_| anyhow!("the writer panicked"))?;
            Ok(())
        })?;
        turn = done.load(Ordering::Acquire);
        drop(removed);
        bed.rig.unmount(&second.mount)?;
        // GlusterFS knows bricks by their paths: when one goes down after it was started anew, clients find
        // the new one down for good.
        wait_for("the end of the brick", || Ok(second.ends()? > ends))?;
        second.start(bed)?;
        let at = second.images().join(&name);
        expect_at(&at, 5, &pattern(round, 50_000)[5..])?;
        expect_at(&at, 0, b"later")?;
        let found = fs::metadata(&at)?;
        ensure!(
            (found.mtime(), found.mtime_nsec()) == (times.mtime(), times.mtime_nsec()),
            "round {round}: the time of the last write was not kept"
        );
        expect_turns(&second.images().join("busy"), turn)?;
        wait_for("a clean check of the second brick", || {
            Ok(gluster_bd(&["check", &second.brick.to_string_lossy()])?.code == 0)
        })?;
        fs::write(second.images().join("gone"), pattern(7, 100_000))?;
    }
    println!("measured: {ROUNDS} rounds, {turn} writes to the brick that went");
    Ok(())
}

#[test]
fn bricks_share_a_process() {
    run_steps_on(
        "multiplex::bricks_share_a_process",
        |rig| {
            let mut bed = rig.bed(Backing::File, SIZE)?;
            let all = ["volume", "set", "all", "cluster.brick-multiplex", "on"];
            bed.rig.gluster(&all)?.ok()?;
            bed.volume.stop()?;
            bed.volume.start()?;
            bed.remount()?;
            Ok(bed)
        },
        &[&[("multiplex::come_and_go", come_and_go)]],
    );
}
