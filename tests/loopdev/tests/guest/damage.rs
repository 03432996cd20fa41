//! Damage to what LVM keeps for itself.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use loopdev::{Bed, POOL, Place, Rig, Store, Vg, cmd, gluster_bd, run, sh, wait_for};

use crate::images::SIZE;
use crate::images::tools::pattern;

#[test]
fn metadata_are_brought_back() {
    run(
        "guest::damage::metadata_are_brought_back",
        Place::Guest,
        bring_back,
    );
}

/// As after a power cut in the midst of a change: LVM finds the group no more. What docs/operations.md
/// says brings it back, with the change that was made last.
fn bring_back(rig: &mut Rig) -> Result<()> {
    let vg = rig.vg("images", &[SIZE, 64])?;
    vg.thin_pool(POOL, SIZE - 64)?;
    let mut bed = rig.bed_on(Store::Pool(vg.clone()))?;
    fs::write(bed.at("a"), pattern(1, 300_000))?;
    fs::hard_link(bed.at("a"), bed.at("b"))?;
    fs::rename(bed.at("b"), bed.at("c"))?;
    bed.rig.unmount(bed.root())?;
    bed.volume.stop()?;
    bed.server().stop()?;
    damage(&vg)?;
    let brick = bed.brick().display().to_string();
    bed.start_server()?;
    let told = gluster_bd(&["check", &brick])?.fails()?;
    bed.server().stop()?;
    let newest = named_in(&told.to_string(), &brick)?;
    write_back(&vg, &newest)?;

    bed.start_server()?;
    bed.volume.start()?;
    bed.remount()?;
    for name in ["a", "c"] {
        ensure!(
            fs::read(bed.at(name))? == pattern(1, 300_000),
            "{name} has other bytes"
        );
    }
    // All goes on.
    fs::write(bed.at("new"), pattern(2, 300_000))?;
    bed.expect_names(&["a", "c", "new"])?;
    bed.check()?;
    is_ahead(&mut bed, &vg)
}

/// As after a power cut at the very end of a change: the pool has made it, and the newest metadata that were
/// kept are older. LVM would give the next image the device of the one that it does not know.
fn is_ahead(bed: &mut Bed<'_>, vg: &Vg) -> Result<()> {
    let older = newest(bed.brick())?;
    for (name, seed) in [("late", 3), ("later", 4)] {
        fs::write(bed.at(name), pattern(seed, 300_000))?;
    }
    bed.rig.unmount(bed.root())?;
    bed.volume.stop()?;
    bed.server().stop()?;
    damage(vg)?;
    write_back(vg, &older)?;

    let brick = bed.brick().display().to_string();
    bed.start_server()?;
    let told = gluster_bd(&["check", &brick])?.fails()?.to_string();
    bed.server().stop()?;
    catch_up(bed, vg, &told)?;
    bed.start_server()?;
    bed.volume.start()?;
    bed.remount()?;
    ensure!(
        fs::write(bed.at("other"), "").is_err(),
        "an image was made with the bytes of another"
    );
    // What is wanted of it becomes an LV, and so a file.
    let pool = format!("{}/{POOL}", vg.name());
    let words = ["-q", "-V", "4M", "-T", &pool, "-n", "found"];
    vg.lvm("lvcreate", &words)?.ok()?;
    wait_for("the file", || Ok(bed.at("found").exists()))?;
    let found = fs::read(bed.at("found"))?;
    ensure!(
        found.starts_with(&pattern(3, 300_000)),
        "it has other bytes"
    );
    bed.restart_server()?;
    ensure!(remove_strays(bed.brick())?, "the check says nothing of it");
    bed.restart_server()?;
    for name in ["late", "later"] {
        fs::remove_file(bed.at(name))?;
    }
    fs::File::create(bed.at("other"))?.set_len(300_000)?;
    ensure!(
        fs::read(bed.at("other"))? == vec![0; 300_000],
        "it has bytes that nobody wrote"
    );
    bed.expect_names(&["a", "c", "found", "new", "other"])?;
    bed.check()
}

/// Lets a group count as its pool does, by the numbers in what LVM has said of both.
pub(crate) fn catch_up(bed: &Bed<'_>, vg: &Vg, told: &str) -> Result<()> {
    let number = |after: &str| -> Result<u64> {
        let (_, rest) = told.split_once(after).with_context(|| told.to_owned())?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Ok(digits.parse()?)
    };
    let (pool, group) = (number("transaction_id is ")?, number("while expected ")?);
    let text = bed.rig.dir().join("catch-up.vg");
    let text = text.to_string_lossy();
    vg.lvm("vgcfgbackup", &["-f", &text, vg.name()])?.ok()?;
    sh(&format!(
        "sed -i 's/transaction_id = {group}$/transaction_id = {pool}/' {text}"
    ))?;
    let restore = ["--force", "--yes", "-f", &text, vg.name()];
    vg.lvm("vgcfgrestore", &restore)?.ok()?;
    Ok(())
}

/// Does what a check of the brick says of thin devices that no LV has, if it does.
pub(crate) fn remove_strays(brick: &Path) -> Result<bool> {
    let told = gluster_bd(&[Path::new("check"), brick])?.to_string();
    let cure = told
        .lines()
        .find_map(|line| Some(&line[line.find("dmsetup message")?..]));
    cure.map(sh).transpose().map(|done| done.is_some())
}

/// Overwrites the metadata of all disks of a group that is not active.
fn damage(vg: &Vg) -> Result<()> {
    vg.lvm("vgchange", &["-an", vg.name()])?.ok()?;
    for pv in vg.pvs() {
        sh(&format!(
            "dd if=/dev/zero of={} bs=4096 seek=1 count=200 conv=notrunc,fsync status=none",
            pv.display()
        ))?;
    }
    vg.lvm("vgs", &[vg.name()])?.fails()?;
    Ok(())
}

/// Writes metadata to all disks of a group.
pub(crate) fn write_back(vg: &Vg, file: &str) -> Result<()> {
    for pv in vg.pvs() {
        let pv = pv.display().to_string();
        cmd("pvck", &["--repair", "-y", "-f", file, &pv])?.ok()?;
    }
    vg.lvm("vgck", &[vg.name()])?.ok()?;
    Ok(())
}

/// The newest file of metadata that a brick keeps.
pub(crate) fn newest(brick: &Path) -> Result<String> {
    let folder = brick.join(".glusterfs/gluster-bd/metadata");
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        files.push(entry?.path().display().to_string());
    }
    files.into_iter().max().context("no metadata are kept")
}

/// The file of metadata that a message names.
fn named_in(told: &str, brick: &str) -> Result<String> {
    let folder = format!("{brick}/.glusterfs/gluster-bd/metadata/");
    let mut words = told.split_whitespace();
    let file = words.find(|word| word.starts_with(&folder));
    let file = file.with_context(|| format!("no file is named: {told}"))?;
    ensure!(Path::new(file).exists(), "{file} does not exist");
    Ok(file.to_owned())
}
