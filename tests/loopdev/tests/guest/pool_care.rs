//! Thin pools that become full: what the client sees, and that gluster-bdd does what its policy
//! says.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use loopdev::{Bed, POOL, Place, Store, gluster_bd, run, sh, step, wait_for};
use nix::sys::signal::Signal;

use super::machine::{BLOCK, Machine};

const MIB: u64 = 1 << 20;
/// Bytes that a virtual machine writes.
const DISK: u64 = 4 * MIB;
const POLICY: &str = "/etc/gluster-bd/policy.toml";

#[test]
fn pools_are_cared_for() {
    run(
        "guest::pool_care::pools_are_cared_for",
        Place::Guest,
        |rig| {
            rig.on_teardown("the policy", || Ok(fs::remove_file(POLICY)?));
            fs::create_dir_all("/etc/gluster-bd")?;
            let text = "[default]\nextend_at = 60\nextend_by = \"16M\"\nreserve = \"0%\"\nrefuse_at = 100\n";
            fs::write(POLICY, text)?;
            let vg = rig.vg("vg", &[256])?;
            vg.thin_pool(POOL, 32)?;
            let folder = rig.folder("machine")?;
            let mut bed = step("set-up", || rig.bed_on(Store::Pool(vg)))?;
            // Of the options for virtual machines, the one that keeps write-behind from answering
            // a write before it is done.
            bed.volume.set("performance.strict-o-direct", "on")?;
            step("it_is_extended", || it_is_extended(&mut bed))?;
            step("nothing_new_is_made", || nothing_new_is_made(&mut bed))?;
            step("no_extents_are_left", || {
                no_extents_are_left(&mut bed, &folder)
            })?;
            step("metadata_are_extended", || metadata_are_extended(&mut bed))?;
            step("the_host_is_checked", || the_host_is_checked(&mut bed))
        },
    );
}

/// Lets other policies hold, and waits until the server says so.
fn policy(bed: &Bed<'_>, text: &str) -> Result<()> {
    let read = || {
        bed.server()
            .said()
            .matches("read the policies anew")
            .count()
    };
    let before = read();
    fs::write(POLICY, format!("[vg.{}]\n{text}\n", bed.top()))?;
    bed.server().signal(Signal::SIGHUP)?;
    wait_for("the policies to be read", || Ok(read() > before))
}

fn said(bed: &Bed<'_>, text: &str) -> Result<()> {
    wait_for(&format!("{text:?} in the server's log"), || {
        Ok(bed.server().said().contains(text))
    })
}

/// The bytes of each MiB are its own.
fn pattern(number: u64) -> Vec<u8> {
    let word = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let words = usize::try_from(MIB).unwrap_or(0) / 8;
    word.to_le_bytes().repeat(words)
}

fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    file.with_context(|| path.display().to_string())
}

/// Writes one MiB and syncs it; afterwards it is acknowledged.
fn put(file: &File, number: u64) -> io::Result<()> {
    file.write_all_at(&pattern(number), number * MIB)?;
    file.sync_all()
}

/// Writes one MiB, as often as it takes; counts the answers "no space left".
fn insist(path: &Path, number: u64, refusals: &mut u32) -> Result<()> {
    wait_for(&format!("room for MiB {number}"), || {
        // A new descriptor each time: a cache remembers the error of an old one.
        match put(&open(path)?, number) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                *refusals += 1;
                Ok(false)
            }
            Err(error) => bail!("MiB {number}: {error}"),
        }
    })
}

/// All that was acknowledged is there, also for a client that has nothing in memory.
fn intact(bed: &mut Bed<'_>, name: &str, mib: u64) -> Result<()> {
    bed.remount()?;
    let file = File::open(bed.at(name))?;
    for number in 0..mib {
        let mut bytes = pattern(0);
        file.read_exact_at(&mut bytes, number * MIB)?;
        ensure!(
            bytes == pattern(number),
            "MiB {number} of {name} has changed"
        );
    }
    Ok(())
}

fn pool_size(bed: &Bed<'_>) -> Result<u64> {
    Ok(bed.store.vg()?.field(POOL, "lv_size")?.parse::<u64>()? / MIB)
}

fn it_is_extended(bed: &mut Bed<'_>) -> Result<()> {
    let path = bed.at("a");
    open(&path)?.set_len(128 * MIB)?;
    let mut refusals = 0;
    for number in 0..48 {
        insist(&path, number, &mut refusals)?;
    }
    said(bed, "extended the data of thin pool")?;
    intact(bed, "a", 48)?;
    let top = gluster_bd(&["top", "--json", "--interval", "1"])?.ok()?;
    let top: serde_json::Value = serde_json::from_str(&top.stdout)?;
    let allocated = top[0]["allocated"].as_u64();
    ensure!(
        top[0]["lv"] == "a" && allocated >= Some(48 * MIB) && top[0]["reads"].is_f64(),
        "{top}"
    );
    println!(
        "measured: written past 32 MiB, pool {} MiB, refused {refusals}",
        pool_size(bed)?
    );
    // 48 MiB are 60% of 80 MiB.
    wait_for("the last extension", || Ok(pool_size(bed)? >= 80))
}

fn nothing_new_is_made(bed: &mut Bed<'_>) -> Result<()> {
    policy(bed, "extend_at = 100\nrefuse_at = 40")?;
    let full = |what: &str, result: io::Result<()>| match result {
        Err(error) if error.kind() == ErrorKind::StorageFull => Ok(()),
        other => bail!("{what}: {other:?}"),
    };
    full("create", File::create(bed.at("b")).map(drop))?;
    full("ln", fs::hard_link(bed.at("a"), bed.at("c")))?;
    full("ln -s", std::os::unix::fs::symlink("a", bed.at("s")))?;
    said(bed, "and its policy refuses new images from 40% on")?;
    let url = format!("{}:/{}/b", bed.volume.name(), bed.top());
    let output = gluster_bd(&["create", &url, "8"])?.fails()?;
    ensure!(
        output.code == 1 && output.stderr.contains("gluster-bd pool extend"),
        "{output}"
    );
    bed.expect_names(&["a"])?;
    // What is there goes on, and so do plain files.
    put(&open(&bed.at("a"))?, 48)?;
    fs::write(bed.root().join("plain"), "still")?;
    bed.check()?;

    // A mistake changes nothing.
    fs::write(POLICY, "[default]\nextend_at = 0\n")?;
    bed.server().signal(Signal::SIGHUP)?;
    said(bed, "policy.toml, line 2, extend_at: 0 is not a percentage")?;
    full("create", File::create(bed.at("b")).map(drop))
}

fn no_extents_are_left(bed: &mut Bed<'_>, folder: &Path) -> Result<()> {
    let vg = bed.store.vg()?.clone();
    let args = ["-y", "-Wn", "-Zn", "-an", "--addtag", "gluster_bd.hidden"];
    let filler = [&args[..], &["-l", "100%FREE", "-n", "filler", vg.name()]].concat();
    vg.lvm("lvcreate", &filler)?.ok()?;
    policy(
        bed,
        "extend_at = 60\nextend_by = \"16M\"\nreserve = \"0%\"\nrefuse_at = 100",
    )?;
    open(&bed.at("vm"))?.set_len(DISK)?;
    let beside = open(&bed.at("b"))?;
    beside.set_len(8 * MIB)?;
    put(&beside, 4)?;
    let path = bed.at("a");
    let mut written = 49;
    let begun = Instant::now();
    loop {
        match put(&open(&path)?, written) {
            Ok(()) => written += 1,
            Err(error) if error.kind() == ErrorKind::StorageFull => break,
            Err(error) => bail!("MiB {written}: {error}"),
        }
        ensure!(written < 128, "the pool does not become full");
    }
    println!(
        "measured: no space after {written} MiB, {:.1?}",
        begun.elapsed()
    );
    said(bed, "cannot extend the data of thin pool")?;
    said(bed, "is full: writes get")?;
    let output = gluster_bd(&["check"])?.fails()?;
    ensure!(output.stdout.contains("100.0% full"), "{output}");
    fs::write(bed.root().join("plain2"), "still")?;
    // What has its chunks can be written and synced; the first one of this image is not mapped.
    let path = bed.at("b");
    let sync = || {
        let file = open(&path)?;
        file.write_all_at(&pattern(7), 4 * MIB)?;
        Ok::<_, anyhow::Error>(file.sync_all())
    };
    sync()?.context("a sync while the pool is full")?;
    bed.server().stop()?;
    match sync()? {
        Err(error) if error.kind() == ErrorKind::StorageFull => {}
        other => bail!("a sync that the server cannot help with: {other:?}"),
    }
    bed.start_server()?;
    sync()?.context("a sync after the server's restart")?;
    drop(beside);
    intact(bed, "a", written)?;
    let mut machine = Machine::start(folder, &bed.url("vm")?, DISK)?;
    wait_for("the machine to stop for want of space", || {
        Ok(machine.status()? == "io-error")
    })?;
    ensure!(machine.said()?.is_empty(), "the machine has seen an error");

    // An admin makes room; the next look finds it.
    let filler = format!("{}/filler", vg.name());
    vg.lvm("lvremove", &["-y", &filler])?.ok()?;
    let mut refusals = 0;
    for number in written..written + 8 {
        insist(&bed.at("a"), number, &mut refusals)?;
    }
    said(bed, "takes writes again")?;
    println!("measured: went on after {refusals} refusals");
    intact(bed, "a", written + 8)?;
    let mut stops = 0;
    wait_for("the machine to write all", || {
        if machine.status()? == "io-error" {
            stops += 1;
            machine.go_on()?;
        }
        Ok(!machine.said()?.is_empty())
    })?;
    ensure!(machine.said()? == "D", "the machine has seen an error");
    machine.quit()?;
    println!("measured: a machine was let go on {stops} times, and wrote all");
    its_bytes_are_there(bed)?;
    bed.check()
}

/// All that the machine has written, and what was synced while the pool was full.
fn its_bytes_are_there(bed: &mut Bed<'_>) -> Result<()> {
    bed.remount()?;
    let mut bytes = pattern(0);
    File::open(bed.at("b"))?.read_exact_at(&mut bytes, 4 * MIB)?;
    ensure!(bytes == pattern(7), "b has changed");
    let file = File::open(bed.at("vm"))?;
    for at in (0..DISK).step_by(usize::try_from(BLOCK)?) {
        let mut sector = [0; 4];
        file.read_exact_at(&mut sector, at)?;
        ensure!(
            u64::from(u32::from_le_bytes(sector)) * 512 == at,
            "byte {at} of vm"
        );
    }
    fs::remove_file(bed.at("b"))?;
    fs::remove_file(bed.at("vm"))?;
    Ok(())
}

fn metadata_are_extended(bed: &mut Bed<'_>) -> Result<()> {
    let vg = bed.store.vg()?.clone();
    let percent = || -> Result<u64> {
        let text = vg.field(POOL, "metadata_percent")?;
        Ok(text.split('.').next().unwrap_or_default().parse()?)
    };
    let size = || -> Result<u64> { Ok(vg.field(POOL, "lv_metadata_size")?.parse()?) };
    let (limit, before) = (percent()? + 3, size()?);
    policy(
        bed,
        &format!("metadata_extend_at = 100\nmetadata_refuse_at = {limit}"),
    )?;
    let mut made = 0;
    loop {
        match std::os::unix::fs::symlink("a", bed.at(format!("s{made}"))) {
            Ok(()) => made += 1,
            Err(error) if error.kind() == ErrorKind::StorageFull => break,
            Err(error) => bail!("snapshot {made}: {error}"),
        }
        ensure!(
            made < 50,
            "the metadata do not become full: {}%",
            percent()?
        );
        // In each part of the image, so that each snapshot has mappings of its own.
        let file = open(&bed.at("a"))?;
        for number in (0..128).step_by(8) {
            file.write_all_at(&[made; 1 << 16], number * MIB)?;
        }
        file.sync_all()?;
    }
    said(
        bed,
        &format!("and its policy refuses new images from {limit}% on"),
    )?;
    println!("measured: {made} snapshots took the metadata to {limit}%");
    policy(
        bed,
        &format!("metadata_extend_at = {limit}\nmetadata_extend_by = \"4M\""),
    )?;
    said(bed, "extended the metadata of thin pool")?;
    wait_for("more metadata", || Ok(size()? == before + 4 * MIB))?;
    std::os::unix::fs::symlink("a", bed.at("last"))?;
    bed.check()
}

/// The host's check says who extends pools, and sees a guest's disk that the host's LVM sees.
fn the_host_is_checked(bed: &mut Bed<'_>) -> Result<()> {
    let check = |code: i32, words: &[&str]| -> Result<()> {
        let output = gluster_bd(&["check"])?;
        let told = words.iter().all(|word| output.stdout.contains(word));
        ensure!(
            output.code == code && told,
            "expected {code}, {words:?}: {output}"
        );
        Ok(())
    };
    policy(bed, "extend_at = 77")?;
    // The rig's pool was one that the host activates, until it became a brick's.
    check(0, &["note: ", "extended by gluster-bdd: its data at 77%"])?;
    const CONFIG: &str = "/etc/lvm/lvmlocal.conf";
    let before = fs::read(CONFIG).ok();
    fs::write(CONFIG, "devices { scan_lvs = 1 }\n")?;
    let scanned = || -> Result<()> {
        sh(&format!("pvcreate -ff -y /dev/{}/a", bed.top()))?;
        check(
            1,
            &["a guest has made on its image", "set devices/scan_lvs=0"],
        )
    }();
    match before {
        Some(text) => fs::write(CONFIG, text)?,
        None => fs::remove_file(CONFIG)?,
    }
    scanned?;
    check(0, &["this host: clean"])?;
    bed.clear()?;
    bed.server().stop()?;
    check(
        1,
        &["gluster-bdd does not answer", "systemctl start gluster-bdd"],
    )
}
