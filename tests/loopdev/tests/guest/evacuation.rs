//! A disk is emptied while what lies on it is in use, and while the server dies.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bd_proto::{JobInfo, JobKind, JobState};
use loopdev::{Bed, POOL, Place, Store, Vg, gluster_bd, jobs, run, sh, wait_for};

const MIB: u64 = 1 << 20;
/// Bytes that are written once.
const WRITTEN: u64 = 16 * MIB;
/// Where bytes are written again and again: in the middle of blocks.
const AT: u64 = 5 * MIB + 77;
const LEN: u64 = MIB + 1000;
const NAMES: [&str; 2] = ["thin", "thick"];
/// Percent of the time that the kernel may copy.
const THROTTLE: &str = "/sys/module/dm_mirror/parameters/raid1_resync_throttle";

#[test]
fn a_disk_is_emptied_under_writes_and_kills() {
    run(
        "guest::evacuation::a_disk_is_emptied_under_writes_and_kills",
        Place::Guest,
        |rig| {
            sh("modprobe dm_mirror")?;
            rig.on_teardown("the kernel's throttle", || Ok(fs::write(THROTTLE, "100")?));
            let vg = rig.vg("vg", &[100, 300])?;
            let pool = format!("{}/{POOL}", vg.name());
            let first = disk(&vg);
            // Without the small spare copy of the metadata at its beginning, so that the first
            // piece takes long enough to be met in the middle.
            let words = "-y -L 48m -Zy --errorwhenfull y --poolmetadataspare n -T";
            let mut args: Vec<&str> = words.split(' ').collect();
            args.extend([pool.as_str(), first.as_str()]);
            vg.lvm("lvcreate", &args)?.ok()?;
            let bed = rig.bed_on(Store::Pool(vg))?;
            emptied(bed)
        },
    );
}

/// The disk that is to go.
fn disk(vg: &Vg) -> String {
    vg.pvs()[0].to_string_lossy().into_owned()
}

fn emptied(mut bed: Bed<'_>) -> Result<()> {
    let vg = bed.store.vg()?.clone();
    let (first, second) = (disk(&vg), vg.pvs()[1].to_string_lossy().into_owned());
    vg.lvm("pvchange", &["-x", "n", &second])?.ok()?;
    File::create_new(bed.at("thin"))?.set_len(WRITTEN)?;
    let url = format!("{}:/{}/thick", bed.volume.name(), bed.top());
    gluster_bd(&["create", &url, "20M", "--thick"])?.ok()?;
    vg.lvm("pvchange", &["-x", "y", &second])?.ok()?;
    let files = NAMES.map(|name| open(&bed.at(name)));
    let files = files.into_iter().collect::<Result<Vec<_>>>()?;
    for file in &files {
        file.write_all_at(&vec![0x11; usize::try_from(WRITTEN)?], 0)?;
        file.sync_all()?;
    }
    let before = used(&vg)?;
    ensure!(before >= 64 * MIB, "{before} bytes lie on {first}");

    let (stop, round) = (AtomicBool::new(false), AtomicU8::new(0));
    let done = std::thread::scope(|scope| -> Result<()> {
        let writer = scope.spawn(|| -> Result<()> {
            while !stop.load(Ordering::Acquire) {
                let next = round.load(Ordering::Acquire) % 200 + 1;
                for file in &files {
                    file.write_all_at(&vec![next; usize::try_from(LEN)?], AT)?;
                    file.sync_all()?;
                }
                round.store(next, Ordering::Release);
                // The others want the processor, too.
                sleep(Duration::from_millis(100));
            }
            Ok(())
        });
        let moved = under_kills(&mut bed, &vg, &first);
        stop.store(true, Ordering::Release);
        let written = writer.join();
        moved?;
        written.map_err(|_| anyhow::anyhow!("the writer panicked"))?
    });
    done?;
    drop(files);
    bed.remount()?;
    for name in NAMES {
        verify(&bed.at(name), round.load(Ordering::Acquire)).context(name)?;
    }

    // Nothing new comes to it, and the group can do without it.
    let url = format!("{}:/{}/other", bed.volume.name(), bed.top());
    gluster_bd(&["create", &url, "8M", "--thick"])?.ok()?;
    ensure!(used(&vg)? == 0);
    vg.lvm("vgreduce", &[vg.name(), &first])?.ok()?;
    std::os::unix::fs::symlink("thin", bed.at("snap"))?;
    fs::rename(bed.at("thin"), bed.at("renamed"))?;
    File::options()
        .write(true)
        .open(bed.at("thick"))?
        .set_len(28 * MIB)?;
    bed.check()
}

/// Moves all, with kills and orders in the middle of pieces.
fn under_kills(bed: &mut Bed<'_>, vg: &Vg, first: &str) -> Result<()> {
    let before = used(vg)?;
    fs::write(THROTTLE, "1")?;
    let told = gluster_bd(&["storage", "evacuate", first])?.ok()?;
    ensure!(told.stdout.contains("evacuate of"), "{told}");
    let id = job()?.id.to_string();

    // Nobody goes on with it but the start of the server.
    wait_moving(vg)?;
    gluster_bd(&["job", "pause", &id])?.ok()?;
    bed.server().kill9()?;
    ensure!(moving(vg)?.is_some(), "the piece had ended before the kill");
    println!("measured: killed while the kernel moved: {:?}", moving(vg)?);
    bed.start_server()?;
    wait_for("the piece to be taken back", || Ok(moves(vg)?.is_empty()))?;
    wait_for("the brick", || Ok(gluster_bd(&["job", "list"])?.code == 0))?;
    ensure!(job()?.state == JobState::Paused && used(vg)? > 0);
    ensure!(moving(vg)?.is_none());

    // And at moments that nobody chose.
    gluster_bd(&["job", "resume", &id])?.ok()?;
    for kill in 0..kills() {
        wait_moving(vg)?;
        fs::write(THROTTLE, if kill % 2 == 0 { "100" } else { "1" })?;
        sleep(Duration::from_millis(kill * 7919 % 3000));
        let state = job()?;
        bed.server().kill9()?;
        println!(
            "measured: killed with {} moved: {:?}",
            state.done,
            moving(vg)?
        );
        bed.start_server()?;
        if state.state.is_over() {
            break;
        }
        fs::write(THROTTLE, "1")?;
    }
    fs::write(THROTTLE, "100")?;
    wait_for("the job to go on", || {
        let state = job()?.state;
        Ok(state == JobState::Running || state.is_over())
    })?;
    fs::write(THROTTLE, "1")?;
    wait_moving(vg)?;
    // It may have been at its last piece.
    let cancelled = std::thread::scope(|scope| -> Result<bool> {
        let cancel = scope.spawn(|| gluster_bd(&["job", "cancel", &id]));
        // It waits for the piece, which need not take long from now on.
        sleep(Duration::from_secs(1));
        fs::write(THROTTLE, "100")?;
        let told = cancel.join();
        Ok(told
            .map_err(|_| anyhow::anyhow!("the order panicked"))??
            .code
            == 0)
    })?;
    ensure!(moves(vg)?.is_empty(), "cancelled in the middle of a piece");
    let wanted = match cancelled {
        true => JobState::Cancelled,
        false => JobState::Done,
    };
    ensure!(job()?.state == wanted, "{:?}", job()?);
    println!("measured: {} of {before} left then", used(vg)?);
    gluster_bd(&["storage", "evacuate", first])?.ok()?;
    let waited = gluster_bd(&["job", "wait"])?.ok()?;
    ensure!(waited.stdout.contains(": done"), "{waited}");
    ensure!(used(vg)? == 0 && moves(vg)?.is_empty());
    Ok(())
}

/// How often the server is killed at moments that nobody chose.
fn kills() -> u64 {
    let text = std::env::var("GBT_KILLS").ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// The last job about a disk.
fn job() -> Result<JobInfo> {
    let mut all = jobs()?.into_iter();
    let found = all.rfind(|job| job.kind == JobKind::Evacuate);
    found.context("a job that empties a disk")
}

/// Bytes of the disk that belong to LVs.
fn used(vg: &Vg) -> Result<u64> {
    Ok(vg.report("pvs", "pv_used", &disk(vg))?.parse()?)
}

/// The moves that LVM knows of.
fn moves(vg: &Vg) -> Result<Vec<String>> {
    let args = ["-a", "--noheadings", "-o", "lv_name", vg.name()];
    let all = vg.lvm("lvs", &args)?.ok()?;
    let names = all
        .lines()
        .into_iter()
        .filter(|name| name.contains("pvmove"));
    Ok(names.map(str::to_owned).collect())
}

/// How far the kernel is with a piece.
fn moving(vg: &Vg) -> Result<Option<String>> {
    let status = sh(&format!(
        "dmsetup status {}-pvmove0 2>&1 || true",
        vg.name()
    ))?;
    Ok(Some(status.stdout).filter(|text| text.contains(" mirror ")))
}

/// Waits until the kernel is in the middle of a piece.
fn wait_moving(vg: &Vg) -> Result<()> {
    wait_for("a piece that the kernel moves", || {
        if job()?.state.is_over() {
            return Ok(true);
        }
        // As in `0 131072 mirror 2 7:1 7:0 3/256 1 AA 1 core`.
        let status = moving(vg)?.unwrap_or_default();
        let mut parts = status.split(' ').filter_map(|word| word.split_once('/'));
        Ok(parts.any(|(done, all)| done != all && all.parse::<u32>().is_ok()))
    })
}

fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.with_context(|| path.display().to_string())
}

fn verify(path: &Path, round: u8) -> Result<()> {
    let mut bytes = vec![0; usize::try_from(WRITTEN)?];
    open(path)?.read_exact_at(&mut bytes, 0)?;
    let (at, len) = (usize::try_from(AT)?, usize::try_from(LEN)?);
    let mut wanted = vec![0x11; bytes.len()];
    wanted[at..at + len].fill(round);
    // As a whole first: byte by byte takes minutes under emulation.
    if bytes != wanted {
        let wrong = bytes.iter().zip(&wanted).position(|(a, b)| a != b);
        bail!("byte {wrong:?} differs");
    }
    Ok(())
}
