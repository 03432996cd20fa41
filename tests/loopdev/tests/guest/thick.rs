//! A volume group without a thin pool: thick images, on a disk that was used before.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use anyhow::{Result, ensure};
use loopdev::{Bed, Place, Rig, Store, Vg, run};
use nix::libc;

use super::zeroing;
use crate::images::tools::{MIB, errno, expect_only, meta, open, pattern, put, size_of};

const OLD: u8 = 0xa5;

/// A volume group whose disk held somebody else's bytes before. A second disk is not in it yet.
fn used_vg(rig: &mut Rig, mib: u64) -> Result<Vg> {
    let device = rig.loop_device("used", mib)?;
    let file = File::options().write(true).open(&device)?;
    let old = vec![OLD; 4 << 20];
    for at in (0..mib * MIB).step_by(old.len()) {
        file.write_all_at(&old, at)?;
    }
    // LVM asks before it takes a disk whose first bytes look used.
    file.write_all_at(&vec![0; 1 << 20], 0)?;
    file.sync_all()?;
    let spare = rig.loop_device("spare", 1100)?;
    let vg = rig.vg_on("vg", vec![device, spare])?;
    let spare = vg.pvs()[1].to_string_lossy();
    vg.lvm("vgreduce", &[vg.name(), &spare])?.ok()?;
    Ok(vg)
}

#[test]
fn images_without_a_pool() {
    run("guest::thick::images_without_a_pool", Place::Guest, |rig| {
        zeroing::make_slow(rig)?;
        let vg = used_vg(rig, 256)?;
        // The pattern is there: a plain LV shows it.
        vg.lvm(
            "lvcreate",
            &["-y", "-Wn", "-Zn", "-L", "8m", "-n", "plain", vg.name()],
        )?
        .ok()?;
        ensure!(
            fs::read(vg.device("plain"))?.contains(&OLD),
            "the disk was not used before"
        );
        vg.lvm("lvremove", &["-y", &format!("{}/plain", vg.name())])?
            .ok()?;
        let mut bed = rig.bed_on(Store::Group(vg))?;
        show_no_old_bytes(&bed)?;
        are_copied(&mut bed)?;
        bed.check()?;
        space_runs_out(&mut bed)?;
        zeroing::is_a_job(&mut bed)
    });
}

fn show_no_old_bytes(bed: &Bed<'_>) -> Result<()> {
    let image = bed.at("image");
    File::create_new(&image)?.set_len(8 * MIB)?;
    ensure!(bed.lv("image")?.pool.is_none(), "{:?}", bed.lv("image")?);
    expect_only(&image, 8 * MIB, &[])?;
    let bytes = pattern(1, 8 << 20);
    put(&image, 0, &bytes)?;
    let file = open(&image)?;
    file.set_len(24 * MIB)?;
    expect_only(&image, 24 * MIB, &[(0, &bytes)])?;
    file.write_all_at(&bytes, 16 * MIB)?;
    file.set_len(3 * MIB + 5)?;
    file.set_len(24 * MIB)?;
    let head = &bytes[..3 * (1 << 20) + 5];
    expect_only(&image, 24 * MIB, &[(0, head)])?;
    file.set_len(MIB)?;
    // A write far behind the end.
    file.write_all_at(b"end", 12 * MIB + 1)?;
    drop(file);
    expect_only(
        &image,
        12 * MIB + 4,
        &[(0, &bytes[..1 << 20]), (12 * MIB + 1, b"end")],
    )?;
    fs::remove_file(image)?;
    bed.expect_names(&[])
}

fn are_copied(bed: &mut Bed<'_>) -> Result<()> {
    fs::write(bed.at("a"), pattern(1, 3_000_000))?;
    fs::hard_link(bed.at("a"), bed.at("b"))?;
    std::os::unix::fs::symlink("a", bed.at("s"))?;
    put(&bed.at("b"), 1000, &pattern(2, 5000))?;
    put(&bed.at("s"), 1000, &pattern(3, 5000))?;
    put(&bed.at("a"), 2_000_000, &pattern(4, 5000))?;
    for (name, at, seed) in [("a", 2_000_000, 4), ("b", 1000, 2), ("s", 1000, 3)] {
        let mut bytes = pattern(1, 3_000_000);
        bytes[at..at + 5000].copy_from_slice(&pattern(seed, 5000));
        expect_only(&bed.at(name), 3_000_000, &[(0, &bytes)])?;
    }
    ensure!(
        bed.lv("s")?.origin.as_deref() == Some("a"),
        "{:?}",
        bed.lv("s")?
    );
    std::os::unix::fs::symlink("b", bed.at("of_b"))?;
    let bytes = fs::read(bed.at("b"))?;
    fs::remove_file(bed.at("b"))?;
    loopdev::wait_for("the image to be kept for its snapshot alone", || {
        let told = loopdev::gluster_bd(&["check", &bed.brick().to_string_lossy()])?.ok()?;
        Ok(told
            .stdout
            .contains("stays for its copy-on-write snapshots: of_b"))
    })?;
    // As after a start of the host. LVM asks whether the origin may become active along with a snapshot.
    let vg = bed.store.vg()?.clone();
    bed.rig.unmount(bed.root())?;
    bed.volume.stop()?;
    bed.server().stop()?;
    vg.lvm("vgchange", &["-an", vg.name()])?.ok()?;
    bed.start_server()?;
    bed.volume.start()?;
    bed.remount()?;
    // The snapshots first, also that of a removed image.
    expect_only(&bed.at("of_b"), 3_000_000, &[(0, &bytes)])?;
    let mut bytes = pattern(1, 3_000_000);
    bytes[1000..6000].copy_from_slice(&pattern(3, 5000));
    expect_only(&bed.at("s"), 3_000_000, &[(0, &bytes)])?;
    for name in ["s", "of_b", "a"] {
        fs::remove_file(bed.at(name))?;
    }
    bed.expect_names(&[])
}

fn space_runs_out(bed: &mut Bed<'_>) -> Result<()> {
    let image = bed.at("image");
    fs::write(&image, pattern(1, 100_000))?;
    let before = bed.lv("image")?;
    let code = errno("truncate", open(&image)?.set_len(400 * MIB))?;
    ensure!(
        code == libc::ENOSPC,
        "truncate beyond the volume group: errno {code}"
    );
    ensure!(
        size_of(&image)? == 100_000 && bed.lv("image")? == before,
        "the image changed"
    );
    expect_only(&image, 100_000, &[(0, &pattern(1, 100_000))])?;
    // All the rest of the group.
    let vg = bed.store.vg()?.clone();
    vg.lvm(
        "lvcreate",
        &[
            "-y",
            "-Wn",
            "-Zn",
            "-l",
            "100%FREE",
            "-n",
            "rest",
            vg.name(),
        ],
    )?
    .ok()?;
    // It appears as a file like any LV, whose bytes are its own.
    let rest = bed.at("rest");
    loopdev::wait_for("the file of an LV made by hand", || Ok(rest.exists()))?;
    let code = errno("create", File::create_new(bed.at("new")))?;
    ensure!(code == libc::ENOSPC, "create in a full group: errno {code}");
    let code = errno("clone", fs::hard_link(&image, bed.at("clone")))?;
    ensure!(code == libc::ENOSPC, "clone in a full group: errno {code}");
    for name in ["new", "clone"] {
        ensure!(meta(&bed.at(name)).is_err(), "{name} was left behind");
    }
    bed.expect_names(&["image", "rest"])?;
    bed.check()?;
    fs::remove_file(rest)?;
    // Its volume goes after its name.
    bed.expect_names(&["image"])?;
    fs::write(bed.at("new"), "fits again")?;
    ensure!(fs::read_to_string(bed.at("new"))? == "fits again");
    bed.clear()
}
