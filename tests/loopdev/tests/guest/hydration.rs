//! A clone becomes independent of its source in the background, whatever happens meanwhile.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bd_proto::{JobInfo, JobState};
use loopdev::{Backing, Bed, POOL, Place, cmd, gluster_bd, jobs, run, wait_for};
use nix::sys::signal::Signal;

const MIB: usize = 1 << 20;
const POLICY: &str = "/etc/gluster-bd/policy.toml";
/// Of each so many bytes, all but the last few are written at first.
const PERIOD: usize = 16 * MIB;
const WRITTEN: usize = 10 * MIB;
/// No kill, with the start after it, takes so many seconds on a machine at rest.
const KILL: usize = 40;

/// A number from the environment, or else `usual`.
fn number(variable: &str, usual: usize) -> usize {
    let text = std::env::var(variable).ok();
    text.and_then(|text| text.parse().ok())
        .unwrap_or(usual)
        .max(1)
}

/// How often something is killed.
fn kills() -> usize {
    number("GBT_KILLS", 2)
}

/// Bytes of the image, whole periods.
fn size() -> usize {
    (number("GBT_MIB", 128) * MIB).next_multiple_of(PERIOD)
}

/// Slow enough to be killed in the middle so often.
fn slow() -> String {
    let mapped = size() / PERIOD * WRITTEN;
    let kib = (mapped / (kills() * KILL)) >> 10;
    format!("hydrate_rate = \"{kib}K\"")
}

#[test]
fn clones_become_independent() {
    run(
        "guest::hydration::clones_become_independent",
        Place::Guest,
        |rig| {
            rig.on_teardown("the policy", || Ok(fs::remove_file(POLICY)?));
            fs::create_dir_all("/etc/gluster-bd")?;
            fs::write(POLICY, format!("[default]\n{}\n", slow()))?;
            // Source, clone and a snapshot may share nothing in the end.
            let more = 4 * (size() / MIB).saturating_sub(128);
            let mut bed = rig.bed(Backing::Thin, 1600 + more as u64)?;
            hydrate(&mut bed)
        },
    );
}

/// An image, what it should hold, and what a failed write leaves open.
struct Side {
    name: &'static str,
    model: Vec<u8>,
    seed: u64,
    /// Writes since the last sync: each is done again if that fails.
    open: Vec<(usize, Vec<u8>)>,
    written: usize,
}

impl Side {
    fn new(name: &'static str, model: Vec<u8>, seed: u64) -> Side {
        Side {
            name,
            model,
            seed,
            open: Vec::new(),
            written: 0,
        }
    }

    fn random(&mut self, below: usize) -> usize {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.seed >> 33).unwrap_or(0) % below
    }

    /// Writes here and there, until told to stop or until it fails.
    fn work(&mut self, path: &Path, stop: &AtomicBool, batches: &AtomicUsize) {
        while !stop.load(Ordering::Acquire) && self.batch(path).is_ok() {
            batches.fetch_add(1, Ordering::AcqRel);
            // The others want the processor, too.
            sleep(Duration::from_millis(50));
        }
    }

    /// Some writes and a sync: afterwards they are acknowledged.
    fn batch(&mut self, path: &Path) -> Result<()> {
        if self.open.is_empty() {
            for _ in 0..4 {
                // Neither fits blocks or chunks.
                let len = 1 + self.random(100_000);
                let at = self.random(self.model.len() - len);
                let byte = u8::try_from(self.random(256))?;
                self.open.push((at, vec![byte; len]));
            }
        }
        let file = open(path)?;
        for (at, bytes) in &self.open {
            file.write_all_at(bytes, *at as u64)?;
        }
        file.sync_all()?;
        for (at, bytes) in self.open.drain(..) {
            self.model[at..at + bytes.len()].copy_from_slice(&bytes);
            self.written += 1;
        }
        Ok(())
    }

    fn verify(&self, bed: &Bed<'_>) -> Result<()> {
        same(&bed.at(self.name), &self.model)
    }
}

fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.with_context(|| path.display().to_string())
}

fn same(path: &Path, model: &[u8]) -> Result<()> {
    let file = File::open(path)?;
    ensure!(file.metadata()?.len() == model.len() as u64, "its size");
    let mut bytes = vec![0; 4 * MIB];
    for (number, wanted) in model.chunks(bytes.len()).enumerate() {
        let at = number * bytes.len();
        let found = &mut bytes[..wanted.len()];
        file.read_exact_at(found, at as u64)?;
        // As a whole first: byte by byte takes minutes under emulation.
        if found != wanted {
            let wrong = found.iter().zip(wanted).position(|(a, b)| a != b);
            let byte = at + wrong.unwrap_or(0);
            bail!("{}: byte {byte} differs", path.display());
        }
    }
    Ok(())
}

/// The job of an image: the server's list may hold others of earlier bricks.
fn job(bed: &Bed<'_>, image: &str) -> Result<JobInfo> {
    let name = format!("/{}/{image}", bed.store.vg()?.name());
    let found = jobs()?.into_iter().find(|job| job.name == name);
    found.with_context(|| format!("the job of {name}"))
}

fn policy(bed: &Bed<'_>, text: &str) -> Result<()> {
    fs::write(POLICY, format!("[default]\n{text}\n"))?;
    bed.server().signal(Signal::SIGHUP)
}

fn hydrate(bed: &mut Bed<'_>) -> Result<()> {
    let model = first_bytes();
    let path = bed.at("source");
    File::create(&path)?.set_len(model.len() as u64)?;
    let file = open(&path)?;
    for at in (0..model.len()).step_by(PERIOD) {
        file.write_all_at(&model[at..at + WRITTEN], at as u64)?;
    }
    file.sync_all()?;
    drop(file);

    let start = Instant::now();
    fs::hard_link(&path, bed.at("clone"))?;
    println!("measured: ln of an image took {:?}", start.elapsed());
    let mut sides = [
        Side::new("source", model.clone(), 1),
        Side::new("clone", model, 2),
    ];
    let mut running = None;
    wait_for("the job to run", || {
        running = job(bed, "clone")
            .ok()
            .filter(|job| job.state == JobState::Running);
        Ok(running.is_some())
    })?;
    let found = running.context("the job of the clone")?;
    let mapped = (size() / PERIOD * WRITTEN) as u64;
    ensure!(
        found.total.is_some_and(|total| total.0 == mapped),
        "{found:?}"
    );

    it_ends_with_its_image(bed)?;
    let snapshot = under_kills(bed, &mut sides)?;
    it_waits(bed)?;

    policy(bed, "hydrate_rate = \"0\"")?;
    let start = Instant::now();
    let id = found.id.to_string();
    let waited = gluster_bd(&["job", "wait", &id])?.ok()?;
    ensure!(waited.stdout.contains(": done"), "{waited}");
    ensure!(
        waited.stderr.contains("100%") || waited.stderr.contains('%'),
        "{waited}"
    );
    println!("measured: the rest took {:?}", start.elapsed());
    bed.remount()?;
    for side in &sides {
        side.verify(bed)?;
    }
    same(&bed.at("snap"), &snapshot).context("the snapshot of the clone")?;
    let written: usize = sides.iter().map(|side| side.written).sum();
    println!("measured: {written} writes meanwhile, both sides and a snapshot as they should be");

    fs::remove_file(bed.at("snap"))?;
    bed.expect_names(&["clone", "source"])?;
    it_shares_nothing(bed)?;
    fs::remove_file(bed.at("source"))?;
    bed.expect_names(&["clone"])?;
    bed.remount()?;
    sides[1].verify(bed)?;
    bed.check()
}

fn first_bytes() -> Vec<u8> {
    let mut model = vec![0; size()];
    for (number, block) in model.chunks_mut(4096).enumerate() {
        if number * 4096 % PERIOD < WRITTEN {
            let word = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for bytes in block.chunks_mut(8) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
        }
    }
    model
}

/// A clone that goes takes its job along.
fn it_ends_with_its_image(bed: &Bed<'_>) -> Result<()> {
    fs::hard_link(bed.at("source"), bed.at("brief"))?;
    wait_for("the second job", || Ok(job(bed, "brief").is_ok()))?;
    fs::remove_file(bed.at("brief"))?;
    bed.expect_names(&["clone", "source"])?;
    wait_for("its end", || {
        Ok(job(bed, "brief")?.state == JobState::Cancelled)
    })
}

/// Writes on both sides while brick and server die; a snapshot of the clone in the middle.
fn under_kills(bed: &mut Bed<'_>, sides: &mut [Side; 2]) -> Result<Vec<u8>> {
    let kills = kills();
    let mut snapshot = Vec::new();
    for kill in 0..kills {
        let (brick, server) = [(true, false), (false, true), (true, true)][kill % 3];
        let before = job(bed, "clone")?;
        let pids = bed.volume.brick_pids()?;
        let paths = [bed.at("source"), bed.at("clone")];
        let (stop, batches) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| -> Result<()> {
            for (side, path) in sides.iter_mut().zip(&paths) {
                let (stop, batches) = (&stop, &batches);
                scope.spawn(move || side.work(path, stop, batches));
            }
            let ready = wait_for("writes and progress", || {
                let now = job(bed, "clone")?;
                let is_over = now.state.is_over();
                Ok(batches.load(Ordering::Acquire) >= 4 && (is_over || now.done > before.done))
            });
            let killed = ready.and_then(|()| {
                if server {
                    bed.server().kill9()?;
                }
                if brick {
                    for pid in &pids {
                        bed.rig.kill9(*pid)?;
                    }
                }
                Ok(())
            });
            stop.store(true, Ordering::Release);
            killed
        })?;
        if server {
            bed.start_server()?;
        }
        if brick {
            bed.start_brick()?;
            bed.remount()?;
        }
        bed.wait_online()?;
        for side in sides.iter_mut() {
            let path = bed.at(side.name);
            if !side.open.is_empty() {
                wait_for("writes to go on", || Ok(side.batch(&path).is_ok()))?;
            }
        }
        if kill == 0 {
            symlink("clone", bed.at("snap"))?;
            snapshot.clone_from(&sides[1].model);
        }
        let after = job(bed, "clone")?;
        println!(
            "measured: killed {}, {} of {} were done",
            match (brick, server) {
                (true, true) => "both",
                (true, false) => "the brick",
                _ => "the server",
            },
            before.done,
            after.total.unwrap_or_default()
        );
    }
    Ok(snapshot)
}

/// It rests when somebody wants it, and when the pool would become too full.
fn it_waits(bed: &Bed<'_>) -> Result<()> {
    let now = || job(bed, "clone");
    if now()?.state.is_over() {
        // Many kills take their time.
        return Ok(());
    }
    let id = now()?.id.to_string();
    let paused = gluster_bd(&["job", "pause", &id])?.ok()?;
    ensure!(paused.stdout.contains(": paused"), "{paused}");
    policy(bed, &format!("{}\nrefuse_at = 5", slow()))?;
    gluster_bd(&["job", "resume", &id])?.ok()?;
    wait_for("the job to wait for space", || {
        let reason = now()?.reason.unwrap_or_default();
        Ok(reason.contains("of its data are in use"))
    })?;
    ensure!(now()?.state == JobState::Paused, "{:?}", now()?);
    policy(bed, &slow())?;
    wait_for("the job to go on", || {
        let state = now()?.state;
        Ok(state == JobState::Running || state.is_over())
    })
}

/// By the pool's own word: all mapped chunks of the clone are its own.
fn it_shares_nothing(bed: &Bed<'_>) -> Result<()> {
    let vg = bed.store.vg()?;
    let id = vg.field("clone", "thin_id")?;
    let mapped = |name: &str| format!("{}-{name}", vg.name());
    let pool = mapped(&format!("{POOL}-tpool"));
    cmd("dmsetup", &["message", &pool, "0", "reserve_metadata_snap"])?.ok()?;
    let metadata = format!("/dev/mapper/{}", mapped(&format!("{POOL}_tmeta")));
    let format = "DEV,MAPPED_BLOCKS,EXCLUSIVE_BLOCKS";
    let words = [
        "--no-headers",
        "--metadata-snap",
        "--format",
        format,
        &metadata,
    ];
    let told = cmd("thin_ls", &words);
    cmd("dmsetup", &["message", &pool, "0", "release_metadata_snap"])?.ok()?;
    let told = told?.ok()?;
    let row = told
        .lines()
        .into_iter()
        .map(|line| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .find(|row| row.first() == Some(&id))
        .with_context(|| format!("device {id}: {told}"))?;
    println!(
        "measured: thin_ls says {} mapped, {} exclusive",
        row[1], row[2]
    );
    let least = (size() / PERIOD * WRITTEN) >> 16;
    ensure!(
        row[1] == row[2] && row[1].parse::<usize>()? >= least,
        "{told}"
    );
    Ok(())
}
