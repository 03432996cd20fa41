//! Damage to what LVM keeps for itself.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use loopdev::{POOL, Place, Rig, Store, cmd, gluster_bd, run, sh};

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
    vg.lvm("vgchange", &["-an", vg.name()])?.ok()?;
    for pv in vg.pvs() {
        sh(&format!(
            "dd if=/dev/zero of={} bs=4096 seek=1 count=200 conv=notrunc,fsync status=none",
            pv.display()
        ))?;
    }
    vg.lvm("vgs", &[vg.name()])?.fails()?;

    let brick = bed.brick().display().to_string();
    bed.start_server()?;
    let told = gluster_bd(&["check", &brick])?.fails()?;
    bed.server().stop()?;
    let newest = named_in(&told.to_string(), &brick)?;
    for pv in vg.pvs() {
        let pv = pv.display().to_string();
        cmd("pvck", &["--repair", "-y", "-f", &newest, &pv])?.ok()?;
    }
    vg.lvm("vgck", &[vg.name()])?.ok()?;

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
    bed.check()
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
