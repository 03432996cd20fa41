//! Kills at random moments under load.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use loopdev::{Backing, Bed, POOL, Rig, Store, cmd, sh, wait_for};

use super::SIZE;
use super::model::{Files, Random, Worker};
use crate::BACKING;

/// Processes that change files while the kills happen.
const WORKERS: u64 = 3;

/// MiB for the thick images of one of them.
const THICK: u64 = 512;

/// How often something is killed: `GBT_KILLS`, or what fits a test run.
fn count(bed: &Bed<'_>) -> usize {
    let usual = if bed.store.backing() == Backing::File {
        25
    } else {
        5
    };
    std::env::var("GBT_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

/// `GBT_SEED`, or always the same.
fn seed() -> u64 {
    std::env::var("GBT_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1)
}

pub(crate) fn lose_nothing_acknowledged(bed: &mut Bed<'_>) -> Result<()> {
    let mut random = Random::new(seed());
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        // One works where LVs bear the files' names, the others where they bear gfids.
        let dir = if number == 0 {
            bed.images()
        } else {
            bed.at(format!("w{number}"))
        };
        if number > 0 {
            std::fs::create_dir(&dir)?;
        }
        if number == WORKERS - 1 {
            // Thick images in the mix: copies of theirs are copy-on-write snapshots, or byte by byte.
            let at = dir.display().to_string();
            cmd(
                "setfattr",
                &["-n", "user.glusterfs.bd.dir", "-v", "lv", &at],
            )?
            .ok()?;
        }
        let random = Random::new(seed() * 1000 + number);
        workers.push(Worker {
            dir,
            files: Files::new(),
            random,
            uncertain: None,
            done: 0,
        });
    }
    // The first worker's directory holds the others' too.
    let kills = count(bed);
    for kill in 0..kills {
        one_kill(bed, &mut workers, &mut random)
            .with_context(|| format!("kill {kill} of {kills}, seed {}", seed()))?;
    }
    let done: usize = workers.iter().map(|worker| worker.done).sum();
    println!("measured: {kills} kills under {done} operations, nothing lost");
    Ok(())
}

/// Starts the brick after a kill.
fn back(bed: &mut Bed<'_>, workers: &mut [Worker]) -> Result<()> {
    bed.start_brick()?;
    // Quicker than the client's own reconnecting, and nothing is remembered.
    bed.remount()?;
    for worker in workers.iter_mut() {
        worker.dir = bed
            .images()
            .join(worker.dir.file_name().context("a directory")?);
    }
    workers[0].dir = bed.images();
    Ok(())
}

fn one_kill(bed: &mut Bed<'_>, workers: &mut [Worker], random: &mut Random) -> Result<()> {
    let (brick, server) = [(true, false), (false, true), (true, true)][random.below(3)];
    // Long enough for some operations here or in the guest.
    let longest = if bed.store.backing() == Backing::File {
        400
    } else {
        4000
    };
    let delay = Duration::from_millis(random.below(longest) as u64);
    let pids = bed.volume.brick_pids()?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| -> Result<()> {
        for worker in workers.iter_mut() {
            let stop = &stop;
            scope.spawn(move || worker.work(&|| stop.load(Ordering::Acquire)));
        }
        thread::sleep(delay);
        let killed = (|| {
            if server {
                bed.server().kill9()?;
            }
            if brick {
                for pid in &pids {
                    bed.rig.kill9(*pid)?;
                }
            }
            Ok(())
        })();
        stop.store(true, Ordering::Release);
        killed
    })?;
    let start = Instant::now();
    if server {
        bed.start_server()?;
    }
    if brick {
        back(bed, workers)?;
    }
    bed.wait_online()?;
    println!(
        "killed {} after {delay:?}, back after {:.1} s",
        match (brick, server) {
            (true, true) => "both",
            (true, false) => "the brick",
            _ => "the server",
        },
        start.elapsed().as_secs_f32()
    );
    for worker in workers.iter_mut() {
        worker.verify()?;
    }
    wait_for("the server's check to be clean", || Ok(bed.check().is_ok()))
        .with_context(|| format!("{:?}", bed.check()))?;
    let files: usize = workers.iter().map(|worker| worker.files.len()).sum();
    let names = bed.store.names()?;
    // The volume of a removed image stays as long as a copy-on-write snapshot needs it.
    let needed = origins(bed, &names)?;
    ensure!(
        (files..=files + needed).contains(&names.len()),
        "{files} files, but the store holds {names:?}, {needed} of them origins"
    );
    Ok(())
}

/// How many volumes copy-on-write snapshots depend on.
fn origins(bed: &Bed<'_>, names: &[String]) -> Result<usize> {
    let Store::Pool(vg) = &bed.store else {
        return Ok(0);
    };
    let mut origins = Vec::new();
    for name in names {
        let lv = vg.lv(name)?;
        origins.extend(lv.origin.filter(|_| lv.pool.is_none()));
    }
    origins.sort();
    origins.dedup();
    Ok(origins.len())
}

/// A volume whose group has room for thick images beside the pool.
pub(crate) fn bed(rig: &mut Rig) -> Result<Bed<'_>> {
    match BACKING {
        Backing::File | Backing::Thick => rig.bed(BACKING, SIZE),
        Backing::Thin => {
            let vg = rig.vg("images", &[SIZE, THICK])?;
            vg.thin_pool(POOL, SIZE - 64)?;
            rig.bed_on(Store::Pool(vg))
        }
    }
}

/// At the very end, with nothing in use any more.
pub(crate) fn metadata_is_sound(bed: &mut Bed<'_>) -> Result<()> {
    let Store::Pool(vg) = &bed.store else {
        return Ok(());
    };
    let vg = vg.clone();
    bed.rig.unmount(bed.root())?;
    bed.volume.stop()?;
    bed.server().stop()?;
    vg.lvm("vgck", &[vg.name()])?.ok()?;
    vg.lvm("vgchange", &["-an", vg.name()])?.ok()?;
    // The pool's metadata can be looked at where nobody has it open.
    vg.lvm(
        "lvchange",
        &[
            "-y",
            "-ay",
            &format!("{}/{}_tmeta", vg.name(), loopdev::POOL),
        ],
    )?
    .ok()?;
    cmd(
        "thin_check",
        &[vg.device(&format!("{}_tmeta", loopdev::POOL))],
    )?
    .ok()?;
    vg.lvm(
        "lvchange",
        &["-an", &format!("{}/{}_tmeta", vg.name(), loopdev::POOL)],
    )?
    .ok()?;
    sh("dmsetup ls")?;
    bed.start_server()?;
    bed.volume.start()?;
    bed.remount()
}
