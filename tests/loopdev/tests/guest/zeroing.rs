//! What a thick image gains is zeroed by a job if it is much, whatever happens meanwhile.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bd_proto::{JobInfo, JobKind, JobState};
use loopdev::{Bed, Output, Rig, Vg, cmd, gluster_bd, jobs, sh, wait_for};

use crate::images::tools::{MIB, expect_at, open, pattern, size_of};

const POLICY: &str = "/etc/gluster-bd/policy.toml";
/// More than calls zero themselves, which is a GiB.
const SIZE: u64 = 1056 * MIB;
/// So much of each so much is old.
static OLD: [u8; 1 << 16] = [0xa5; 1 << 16];
const PERIOD: u64 = 32 * MIB;

/// Slow enough to be met in the middle.
pub(crate) fn make_slow(rig: &mut Rig) -> Result<()> {
    rig.on_teardown("the policy", || Ok(fs::remove_file(POLICY)?));
    fs::create_dir_all("/etc/gluster-bd")?;
    Ok(fs::write(POLICY, "[default]\nzero_rate = \"8M\"\n")?)
}

pub(crate) fn is_a_job(bed: &mut Bed<'_>) -> Result<()> {
    let begun = Instant::now();
    let vg = bed.store.vg()?.clone();
    let spare = vg.pvs()[1].to_string_lossy().into_owned();
    vg.lvm("vgextend", &[vg.name(), &spare])?.ok()?;
    leave_old_bytes(&vg)?;
    let (image, head) = (bed.at("image"), pattern(1, 1_000_000));
    fs::write(&image, &head)?;

    // In a process of its own: no child of this one could start while a file is being sized here.
    let length = SIZE.to_string();
    let words = ["-s".as_ref(), length.as_ref(), image.as_os_str()];
    let (before, grown) = std::thread::scope(|scope| -> Result<(JobInfo, Output)> {
        let grown = scope.spawn(|| cmd("truncate", &words));
        let before = in_the_middle(bed, &vg);
        // Else it would be waited for.
        bed.server().kill9()?;
        let grown = grown.join();
        let grown = grown.map_err(|_| anyhow::anyhow!("the truncate panicked"))?;
        Ok((before?, grown?))
    })?;
    grown.fails()?;
    ensure!(size_of(&image)? == head.len() as u64, "the size changed");

    bed.start_server()?;
    let id = before.id.to_string();
    wait_for("the job, from where it was", || {
        let now = job()?;
        ensure!(now.state == JobState::Paused, "{now:?}");
        Ok(now.done >= before.done)
    })?;
    fs::write(POLICY, "[default]\nzero_rate = \"0\"\n")?;
    bed.server().signal(nix::sys::signal::Signal::SIGHUP)?;
    gluster_bd(&["job", "resume", &id])?.ok()?;
    gluster_bd(&["job", "wait", &id])?.ok()?;
    let job = job()?;
    ensure!(
        job.state == JobState::Done && job.id == before.id,
        "{job:?}"
    );
    println!(
        "measured: {} were zeroed by {id}, {} before a kill",
        job.done, before.done
    );
    ensure!(!vg.field("image", "lv_tags")?.contains("zeroing"));

    open(&image)?.set_len(SIZE)?;
    ensure!(size_of(&image)? == SIZE);
    expect_at(&image, 0, &head)?;
    expect_at(&image, SIZE - 4096, &[0; 4096])?;
    // All of it, past Gluster: under emulation that is a matter of seconds.
    sh(&format!(
        "cmp -i {len}:0 -n {} {} /dev/zero",
        SIZE - head.len() as u64,
        vg.device("image").display(),
        len = head.len(),
    ))?;
    bed.check()?;
    println!("measured: all of it took {:?}", begun.elapsed());
    bed.clear()
}

/// Old bytes all over what is free.
fn leave_old_bytes(vg: &Vg) -> Result<()> {
    let words = "-y -Wn -Zn -l 100%FREE --addtag gluster_bd.hidden -n old";
    let mut args: Vec<&str> = words.split(' ').collect();
    args.push(vg.name());
    vg.lvm("lvcreate", &args)?.ok()?;
    let device = File::options().write(true).open(vg.device("old"))?;
    let size: u64 = vg.field("old", "lv_size")?.parse()?;
    for at in (0..size).step_by(usize::try_from(PERIOD)?) {
        device.write_all_at(&OLD, at)?;
    }
    device.sync_all()?;
    drop(device);
    vg.lvm("lvremove", &["-y", &format!("{}/old", vg.name())])?
        .ok()?;
    Ok(())
}

/// The job runs, and is paused; others go on.
fn in_the_middle(bed: &Bed<'_>, vg: &Vg) -> Result<JobInfo> {
    wait_for("the job to run", || {
        let job = job().ok();
        Ok(job.is_some_and(|job| job.state == JobState::Running && job.done.0 >= 16 * MIB))
    })?;
    let id = job()?.id.to_string();
    println!("measured: {}", gluster_bd(&["job", "list"])?.ok()?.stdout);
    gluster_bd(&["job", "pause", &id])?.ok()?;
    let paused = job()?;
    ensure!(paused.state == JobState::Paused, "{paused:?}");
    ensure!(paused.done.0 < 1000 * MIB, "it is over");
    let tags = vg.field("image", "lv_tags")?;
    ensure!(
        tags.contains("gluster_bd.zeroing=") && !tags.contains("zeroing=4194304"),
        "{tags}"
    );
    // There is something to hide.
    let mut bytes = vec![0; usize::try_from(2 * PERIOD)?];
    let device = File::open(vg.device("image"))?;
    device.read_exact_at(&mut bytes, SIZE - 2 * PERIOD)?;
    ensure!(
        bytes.chunks(OLD.len()).any(|chunk| chunk.contains(&OLD[0])),
        "nothing old is left"
    );
    drop(device);
    sh(&format!(
        "blockdev --flushbufs {}",
        vg.device("image").display()
    ))?;
    File::create_new(bed.at("other"))?.set_len(8 * MIB)?;
    fs::remove_file(bed.at("other"))?;
    Ok(paused)
}

/// The last job that zeroes.
fn job() -> Result<JobInfo> {
    let mut all = jobs()?.into_iter();
    let found = all.rfind(|job| job.kind == JobKind::Zero);
    found.context("a job that zeroes")
}
