//! Where files are images beside the top directory, and how a plain file becomes one.

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result, ensure};
use loopdev::{Backing, Bed, sh};

use super::tools::{expect_at, expect_only, meta, pattern, put, sh_in, size_of};

/// The word that makes a plain file an image of the store's own kind.
fn kind(bed: &Bed<'_>) -> &'static str {
    if bed.store.backing() == Backing::Thick {
        "lv"
    } else {
        "thin"
    }
}

pub(crate) fn a_plain_file_becomes_an_image(bed: &mut Bed<'_>) -> Result<()> {
    let file = bed.root().join("grown");
    let bytes = pattern(1, 3_000_001);
    fs::write(&file, &bytes)?;
    let kind = kind(bed);
    sh(&format!(
        "setfattr -n user.glusterfs.bd -v {kind} '{}'",
        file.display()
    ))?;
    ensure!(bed.store.names()?.len() == 1, "{:?}", bed.store.names()?);
    ensure!(size_of(&file)? == 3_000_001);
    expect_at(&file, 0, &bytes)?;
    put(&file, 1_000_000, b"changed")?;
    bed.remount()?;
    let file = bed.root().join("grown");
    let mut expected = bytes;
    expected[1_000_000..1_000_007].copy_from_slice(b"changed");
    expect_at(&file, 0, &expected)?;
    // The stub gave its bytes back.
    let stub = meta(&bed.brick().join("grown"))?;
    ensure!(
        stub.blocks() * 512 < 100_000,
        "the stub keeps {} blocks",
        stub.blocks()
    );
    // And with a size, as GlusterFS 5 took it.
    fs::write(bed.root().join("sized"), "")?;
    sh_in(
        bed.root(),
        &format!("setfattr -n user.glusterfs.bd -v {kind}:10MB sized"),
    )?;
    expect_only(&bed.root().join("sized"), 10 << 20, &[])?;
    bed.check()
}

pub(crate) fn subdirectories_hold_images_too(bed: &mut Bed<'_>) -> Result<()> {
    sh_in(
        &bed.images(),
        "mkdir -p d/e; echo inner > d/e/f; ln d/e/f d/g; mv d/e/f up",
    )?;
    ensure!(bed.store.names()?.len() == 2, "{:?}", bed.store.names()?);
    ensure!(
        bed.store.names()?.contains(&"up".to_owned()),
        "{:?}",
        bed.store.names()?
    );
    fs::write(bed.at("up"), "other")?;
    ensure!(fs::read_to_string(bed.at("d/g"))? == "inner\n");
    // A whole directory moves with its images.
    sh_in(&bed.images(), "mv d moved; cat moved/g")?;
    // Out of the image directory an image stays one.
    sh_in(&bed.images(), "mv up ../out")?;
    ensure!(bed.store.names()?.len() == 2, "{:?}", bed.store.names()?);
    ensure!(fs::read_to_string(bed.root().join("out"))? == "other");
    sh_in(bed.root(), "rm out")?;
    sh_in(&bed.images(), "rm -r moved")?;
    bed.expect_names(&[])
}

pub(crate) fn statfs_tells_the_store(bed: &mut Bed<'_>) -> Result<()> {
    let output = sh(&format!(
        "stat -f -c '%S %b %f' '{}'",
        bed.images().display()
    ))?;
    let numbers: Vec<u64> = output
        .stdout
        .split(' ')
        .map(|n| n.parse().context("a number"))
        .collect::<Result<_>>()?;
    let (total, free) = (numbers[0] * numbers[1], numbers[0] * numbers[2]);
    // The store has 2 GiB, the brick's own file system 320 MiB.
    ensure!(
        total > 1500 << 20 && total <= 2048 << 20,
        "{total} bytes in all"
    );
    ensure!(free > 1400 << 20 && free <= total, "{free} bytes free");
    Ok(())
}
