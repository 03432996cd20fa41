//! Images that move from brick to brick while clients write to them.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use loopdev::{Place, Rig, Volume, run, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::fs::OFlags;

use super::bricks::{self, TOP, ended};
use crate::images::model::Random;
use crate::images::tools::size_of;

/// What is written at once: its own number, and how often it was written, again and again.
const BLOCK: usize = 4096;
/// Blocks of the file that moves.
const BLOCKS: usize = 16 << 8;
/// Who writes; each has every eighth block for itself.
const WRITERS: usize = 8;
/// How long the process that moves the file is held at a time, in every other round: clients come
/// between what it reads and what it writes.
const HELD: Duration = Duration::from_millis(60);

/// Files whose sizes change while they move.
const FILES: usize = 50;
/// Bytes that such a file has at least, and those that are more or fewer at times.
const LEAST: usize = 8 << 10;
const MORE: usize = 256 << 10;

/// Times that a file is moved: `GBT_REBALANCES`, or what fits a test run.
fn rounds() -> usize {
    let text = std::env::var("GBT_REBALANCES").ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(2)
}

fn block(number: usize, turn: u64) -> Vec<u8> {
    let pair = [number as u64, turn].map(u64::to_le_bytes).concat();
    pair.repeat(BLOCK / pair.len())
}

/// The files that writers write, and what they were told was written.
struct Register {
    written: Vec<AtomicU64>,
}

impl Register {
    fn make(path: &Path) -> Result<Register> {
        let bytes: Vec<u8> = (0..BLOCKS).flat_map(|number| block(number, 0)).collect();
        fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Register {
            written: (0..BLOCKS).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// Writes every eighth block, in an order of its own, until told to stop.
    fn write(&self, file: &File, writer: usize, stop: &AtomicBool) -> Result<()> {
        let mut at = writer;
        for turn in 1.. {
            for _ in 0..BLOCKS / WRITERS {
                if stop.load(Ordering::Acquire) {
                    return Ok(());
                }
                at = (at + 5 * WRITERS) % BLOCKS;
                file.write_all_at(&block(at, turn), (at * BLOCK) as u64)
                    .with_context(|| format!("block {at}, turn {turn}"))?;
                self.written[at].store(turn, Ordering::Release);
            }
        }
        Ok(())
    }

    /// Blocks that do not have what was written to them last.
    fn lost(&self, path: &Path) -> Result<Vec<usize>> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(bytes.len() == BLOCKS * BLOCK, "{} bytes", bytes.len());
        let found = bytes.chunks(BLOCK).enumerate();
        let lost = found.filter(|(number, found)| {
            let turn = self.written[*number].load(Ordering::Acquire);
            *found != block(*number, turn)
        });
        Ok(lost.map(|(number, _)| number).collect())
    }
}

/// The process that moves files.
fn mover(volume: &Volume) -> Result<Option<Pid>> {
    let folder = format!("/var/lib/glusterd/vols/{}/rebalance", volume.name());
    for entry in fs::read_dir(&folder).into_iter().flatten() {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "pid") {
            let text = fs::read_to_string(path)?;
            return Ok(text.trim().parse().ok().map(Pid::from_raw));
        }
    }
    Ok(None)
}

/// Gives a file names until one of them belongs on the other brick; says which.
pub(super) fn misplace(volume: &Volume, folder: &Path, name: &str) -> Result<String> {
    let mut name = name.to_owned();
    for turn in 0..64 {
        let at = |brick: &PathBuf| brick.join(TOP).join(&name);
        if volume.bricks().iter().all(|brick| at(brick).exists()) {
            return Ok(name);
        }
        let other = format!("{turn}-{name}");
        fs::rename(folder.join(&name), folder.join(&other))?;
        name = other;
    }
    Err(anyhow!("no name of {name} belongs on the other brick"))
}

/// Moves a file while it is written to. Answers how many writes there were, and whether it moved. `settled`
/// looks at the bricks when nobody has it open any more.
///
/// On any volume a client may keep a descriptor on the brick that a file was to move to, until the
/// client ends: so the writers have mounts of their own.
fn round(
    rig: &mut Rig,
    volume: &Volume,
    folder: &Path,
    number: usize,
    settled: &dyn Fn() -> Result<()>,
) -> Result<(u64, bool)> {
    let mounts = [rig.mount(volume, &[])?, rig.mount(volume, &[])?];
    let name = format!("r{number}");
    let register = Register::make(&folder.join(&name))?;
    let name = misplace(volume, folder, &name)?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| -> Result<()> {
        let (register, stop, name) = (&register, &stop, &name);
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let path = mounts[writer % mounts.len()].join(TOP).join(name);
            let file = File::options()
                .read(true)
                .write(true)
                .custom_flags(OFlags::DIRECT.bits().cast_signed())
                .open(&path)
                .with_context(|| format!("cannot open {}", path.display()))?;
            writers.push(scope.spawn(move || register.write(&file, writer, stop)));
        }
        let moved = (|| {
            let words = ["volume", "rebalance", volume.name()];
            let started = rig.gluster(&[&words[..], &["start", "force"]].concat())?;
            started.ok()?;
            if number % 2 == 1 {
                scope.spawn(move || {
                    while !stop.load(Ordering::Acquire) {
                        if let Ok(Some(pid)) = mover(volume) {
                            let _ended = kill(pid, Signal::SIGSTOP);
                            thread::sleep(HELD);
                            let _ended = kill(pid, Signal::SIGCONT);
                        }
                        thread::sleep(HELD / 10);
                    }
                });
            }
            ended(rig, volume)
        })();
        stop.store(true, Ordering::Release);
        for writer in writers {
            writer.join().map_err(|_| anyhow!("a writer panicked"))??;
        }
        moved
    })?;
    for mount in &mounts {
        rig.unmount(mount)?;
    }
    let fresh = rig.mount(volume, &[])?;
    let lost = register.lost(&fresh.join(TOP).join(&name))?;
    let writes: u64 = register
        .written
        .iter()
        .map(|turn| turn.load(Ordering::Acquire))
        .sum();
    ensure!(
        lost.is_empty(),
        "round {number}: {} blocks of {writes} writes are lost, such as {:?}",
        lost.len(),
        &lost[..lost.len().min(8)]
    );
    rig.unmount(&fresh)?;
    settled()?;
    let there = volume.bricks().iter();
    let moved = there
        .filter(|brick| brick.join(TOP).join(&name).exists())
        .count()
        == 1;
    fs::remove_file(folder.join(name))?;
    Ok((writes, moved))
}

/// Moves files whose ends are cut off and put on again meanwhile, as holes. What happens to a file before
/// clients know of its move happens at its old place alone.
fn keep_sizes(rig: &mut Rig, volume: &Volume, folder: &Path) -> Result<()> {
    let name = |number: usize| format!("s{number}");
    let mut names = Vec::new();
    let head = block(1, 1);
    for number in 0..FILES {
        let file = File::create_new(folder.join(name(number)))?;
        file.write_all_at(&head, 0)?;
        file.set_len((LEAST + MORE) as u64)?;
        drop(file);
        names.push(misplace(volume, folder, &name(number))?);
    }
    let mount = rig.mount(volume, &["--attribute-timeout=0"])?;
    let words = ["volume", "rebalance", volume.name(), "start", "force"];
    rig.gluster(&words)?.ok()?;
    let stop = AtomicBool::new(false);
    let sizes = thread::scope(|scope| -> Result<Vec<usize>> {
        let (names, stop) = (&names, &stop);
        let top = mount.join(TOP);
        let resizer = scope.spawn(move || -> Result<Vec<usize>> {
            let mut random = Random::new(1);
            let mut sizes = vec![LEAST + MORE; FILES];
            while !stop.load(Ordering::Acquire) {
                for (name, size) in names.iter().zip(&mut sizes) {
                    let path = top.join(name);
                    // While DHT moves a file it answers the sum of both sizes, which caches keep.
                    let is_right = || Ok(size_of(&path)? == *size as u64);
                    wait_for(&format!("{name} to have {size} bytes"), is_right)?;
                    *size = LEAST + random.below(MORE);
                    let file = File::options().write(true).open(&path)?;
                    file.set_len(*size as u64)
                        .with_context(|| format!("cannot resize {name}"))?;
                }
            }
            Ok(sizes)
        });
        let ended = ended(rig, volume);
        stop.store(true, Ordering::Release);
        let sizes = resizer.join().map_err(|_| anyhow!("a thread panicked"))?;
        ended.and(sizes)
    })?;
    rig.unmount(&mount)?;
    let fresh = rig.mount(volume, &[])?;
    for (name, size) in names.iter().zip(sizes) {
        let bytes = fs::read(fresh.join(TOP).join(name))?;
        let is_right = bytes.len() == size && bytes[..BLOCK] == head;
        let is_right = is_right && bytes[BLOCK..].iter().all(|byte| *byte == 0);
        ensure!(is_right, "{name} has {} bytes, not {size}", bytes.len());
        fs::remove_file(folder.join(name))?;
    }
    rig.unmount(&fresh)
}

fn rounds_on(
    rig: &mut Rig,
    volume: &Volume,
    folder: &Path,
    what: &str,
    settled: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let (mut writes, mut moved) = (0, 0);
    for number in 0..rounds() {
        let (more, done) = round(rig, volume, folder, number, settled)?;
        writes += more;
        moved += usize::from(done);
    }
    println!(
        "measured: {what}: {} rounds, {moved} of them moved the file, {writes} writes, none lost",
        rounds()
    );
    Ok(())
}

#[test]
fn loses_no_write() {
    bricks::on("rebalance::loses_no_write", &[], 2, |rig, bricks| {
        let top = bricks.mount.join(TOP);
        keep_sizes(rig, &bricks.volume, &top)?;
        wait_for("the stores to be empty", || Ok(bricks.count()? == 0))?;
        // The link file of one that could not be moved has no volume.
        let settled = || wait_for("one volume of one file", || Ok(bricks.count()? == 1));
        rounds_on(rig, &bricks.volume, &top, "images", &settled)
    });
    if std::env::var_os("GBT_STOCK").is_some() {
        run("native::rebalance::stock", Place::Native, |rig| {
            let mut dirs = Vec::new();
            for number in 0..2 {
                dirs.push(rig.filesystem(&format!("disk{number}"), 512)?.join("b"));
            }
            let _glusterd = rig.glusterd()?;
            let volume = rig.volume("vol", &dirs)?;
            volume.start()?;
            let mount = rig.mount(&volume, &[])?;
            fs::create_dir(mount.join(TOP))?;
            rounds_on(rig, &volume, &mount.join(TOP), "stock", &|| Ok(()))?;
            keep_sizes(rig, &volume, &mount.join(TOP))
        });
    }
}
