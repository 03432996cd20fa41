//! A power cut takes what no file system has brought to its disk.

use std::fs;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use loopdev::{Backing, Bed, Place, Store, alive, cmd, device_of, run, wait_for};

use crate::images::SIZE;
use crate::images::tools::{open, pattern, sh_in};

/// The volume of an image goes only when the end of its name is on the disk: else the cut brings the name
/// back, and its bytes are gone.
#[test]
fn brings_no_removed_name_back() {
    run(
        "native::power::brings_no_removed_name_back",
        Place::Native,
        |rig| {
            let mut bed = rig.bed(Backing::File, SIZE)?;
            for (number, line) in ["rm b", "mv a b", "rm d/b", "rm -r d"].iter().enumerate() {
                cut_at(&mut bed, line, number).context(*line)?;
            }
            Ok(())
        },
    );
}

fn cut_at(bed: &mut Bed<'_>, line: &str, number: usize) -> Result<()> {
    fs::create_dir(bed.at("d"))?;
    for (seed, name) in (0..).zip(["a", "b", "d/b"]) {
        fs::write(bed.at(name), pattern(seed, 50_000))?;
    }
    // All that was is on the disk.
    cmd("sync", &["-f".as_ref(), bed.brick().as_os_str()])?.ok()?;
    bed.server().stop()?;
    let words = ["GLUSTER_BDD_FAILPOINT=remove.removed", "gluster-bdd"];
    let name = format!("gluster-bdd-dying{number}");
    let dying = bed.rig.daemon(&name, "env", &words, "gluster-bdd: ready")?;
    let done = sh_in(&bed.images(), line)?;
    wait_for("the volume of the image to be gone", || {
        Ok(!dying.running()?)
    })?;
    let names = bed.brick().parent().context("its file system")?.to_owned();
    let cut = bed.rig.disk_of(&names)?;
    bed.rig.unmount(bed.root())?;
    bed.volume.stop()?;
    cut.mount()?;
    bed.start_server()?;
    bed.volume.start()?;
    bed.remount()?;
    // What was acknowledged is true, and what is there can be read.
    let gone: &[&str] = match line {
        "rm b" => &["b"],
        "mv a b" => &["a"],
        _ => &["d/b"],
    };
    for (seed, name) in (0..).zip(["a", "b", "d/b"]) {
        let seed = if line == "mv a b" && name == "b" {
            0
        } else {
            seed
        };
        if gone.contains(&name) {
            ensure!(
                !bed.at(name).try_exists()?,
                "{name} is back, after {done:?}"
            );
        } else {
            let bytes = fs::read(bed.at(name)).with_context(|| format!("reading {name}"))?;
            ensure!(bytes == pattern(seed, 50_000), "{name} has other bytes");
        }
    }
    wait_for("a clean check", || Ok(bed.check().is_ok()))
        .with_context(|| format!("{:?}", bed.check()))?;
    fs::remove_dir_all(bed.at("d")).or_else(|e| {
        (e.kind() == std::io::ErrorKind::NotFound)
            .then_some(())
            .ok_or(e)
    })?;
    bed.clear()
}

/// What was told done of names and sizes lasts, without an fsync of anybody.
#[test]
fn takes_back_nothing_that_was_told() {
    run(
        "native::power::takes_back_nothing_that_was_told",
        Place::Native,
        |rig| {
            let mut bed = rig.bed(Backing::File, SIZE)?;
            for (line, left) in [
                ("mv d/a d/c", "b 50000 c 50000"),
                ("mv d/a d/b", "b 50000"),
                ("mv d/a c", "b 50000"),
                ("rm d/a", "b 50000"),
                ("truncate -s 7 d/a", "a 7 b 50000"),
                ("truncate -s 70000 d/a", "a 70000 b 50000"),
                ("ln d/a d/c", "a 50000 b 50000 c 50000"),
                ("ln -s a d/c", "a 50000 b 50000 c 50000"),
                ("touch d/c", "a 50000 b 50000 c 0"),
            ] {
                lasts(&mut bed, line, left).context(line)?;
            }
            Ok(())
        },
    );
}

fn lasts(bed: &mut Bed<'_>, line: &str, left: &str) -> Result<()> {
    fs::create_dir(bed.at("d"))?;
    for name in ["d/a", "d/b"] {
        fs::write(bed.at(name), pattern(1, 50_000))?;
    }
    cmd("sync", &["-f".as_ref(), bed.brick().as_os_str()])?.ok()?;
    sh_in(&bed.images(), line)?;
    let names = bed.brick().parent().context("its file system")?.to_owned();
    let cut = bed.rig.disk_of(&names)?;
    bed.rig.unmount(bed.root())?;
    bed.volume.stop()?;
    bed.server().stop()?;
    cut.mount()?;
    bed.start_server()?;
    bed.volume.start()?;
    bed.remount()?;
    let found = sh_in(&bed.at("d"), "stat -c '%n %s' * | paste -sd ' '")?.stdout;
    ensure!(found == left, "{found}, expected {left}");
    bed.clear()
}

/// What a crash leaves of a copy and of a rename is brought in order at the start, and not minutes later.
#[test]
fn leaves_nothing_half_done() {
    run(
        "native::power::leaves_nothing_half_done",
        Place::Native,
        |rig| {
            let mut bed = rig.bed(Backing::File, SIZE)?;
            fs::write(bed.at("a"), pattern(1, 50_000))?;
            // The copy has its intent, or not yet.
            for point in ["copy.intended", "intent.written"] {
                bed.server().stop()?;
                let variable = format!("GLUSTER_BDD_FAILPOINT={point}:stop");
                let words = [&variable, "gluster-bdd"];
                let dying = bed.rig.daemon(point, "env", &words, "gluster-bdd: ready")?;
                let (from, to) = (bed.at("a"), bed.at("b"));
                let copying = thread::spawn(move || fs::hard_link(from, to));
                let stat = format!("/proc/{}/stat", dying.pid()?);
                wait_for("the server to stop", || {
                    Ok(fs::read_to_string(&stat)?.contains(") T "))
                })?;
                // First, so that the client cannot tidy up.
                bed.kill_brick()?;
                let copied = copying.join().ok().context("a panic")?;
                ensure!(copied.is_err(), "the copy was made");
                dying.kill9()?;
                restart(&mut bed)?;
                ensure!(!bed.at("b").try_exists()?, "b is there after {point}");
                ensure!(bed.store.names()? == ["a"], "{:?}", bed.store.names()?);
                bed.check()?;
            }
            // The volume of a renamed image.
            bed.server().kill9()?;
            fs::rename(bed.at("a"), bed.at("c"))?;
            restart(&mut bed)?;
            ensure!(bed.store.names()? == ["c"], "{:?}", bed.store.names()?);
            bed.check()
        },
    );
}

fn restart(bed: &mut Bed<'_>) -> Result<()> {
    if bed.volume.brick_pids()?.into_iter().any(alive) {
        bed.kill_brick()?;
    }
    bed.start_server()?;
    bed.start_brick()?;
    bed.remount()
}

/// An fsync brings to the disk what was written, also by a process of the brick that has ended.
#[test]
fn an_fsync_is_about_all_writes() {
    run(
        "native::power::an_fsync_is_about_all_writes",
        Place::Native,
        |rig| {
            let mut bed = rig.bed(Backing::File, SIZE)?;
            fs::write(bed.at("a"), pattern(1, 1 << 20))?;
            let Store::Folder(store) = &bed.store else {
                bail!("not a folder: {:?}", bed.store);
            };
            let disk = store.parent().context("its file system")?.to_owned();
            let flushes = || flushes_of(&disk);
            bed.kill_brick()?;
            bed.start_brick()?;
            bed.remount()?;
            let file = open(&bed.at("a"))?;
            // All of before is on the disk, but the brick cannot know.
            cmd("sync", &["-f".as_ref(), disk.as_os_str()])?.ok()?;
            let before = flushes()?;
            file.sync_all()?;
            ensure!(flushes()? > before, "the disk was not flushed");
            // Now it knows.
            let before = flushes()?;
            file.sync_all()?;
            ensure!(flushes()? == before, "the disk was flushed for nothing");
            Ok(())
        },
    );
}

/// How often the disk of a file system was flushed (Linux, Documentation/block/stat.rst).
fn flushes_of(filesystem: &Path) -> Result<u64> {
    let device = device_of(filesystem)?;
    let device = device.file_name().context("a device")?;
    let stat = fs::read_to_string(Path::new("/sys/block").join(device).join("stat"))?;
    let flushes = stat
        .split_whitespace()
        .nth(15)
        .context("a kernel that counts flushes")?;
    Ok(flushes.parse()?)
}
