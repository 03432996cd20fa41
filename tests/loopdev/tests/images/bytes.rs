//! Many bytes, in and out.

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result, ensure};
use loopdev::{Backing, Bed, cmd, sh};

use super::tools::meta;
use crate::BACKING;

/// Not a multiple of anything. Each byte takes longer in the guest.
const SIZE: u64 = match BACKING {
    Backing::File => (200 << 20) + 12_345,
    Backing::Thin | Backing::Thick => (12 << 20) + 12_345,
};

pub(crate) fn copied_in_and_out(bed: &mut Bed<'_>) -> Result<()> {
    let folder = bed.rig.folder("copies")?;
    let (source, back) = (folder.join("source"), folder.join("back"));
    let image = bed.at("image");
    sh(&format!(
        "head -c {SIZE} /dev/urandom > '{}'",
        source.display()
    ))?;
    cmd("cp", &[&source, &image])?.ok()?;
    let found = meta(&image)?;
    ensure!(found.size() == SIZE, "size {}", found.size());
    // All bytes are there; what the LV has behind them is not the file's.
    let allocated = found.blocks() * 512;
    ensure!(
        (SIZE..SIZE + 512).contains(&allocated),
        "{allocated} bytes allocated"
    );
    cmd("cp", &[&image, &back])?.ok()?;
    cmd("cmp", &[&source, &back])?
        .ok()
        .context("what came back differs")?;
    bed.remount()?;
    cmd("cmp", &[&source, &bed.at("image")])?
        .ok()
        .context("a fresh client reads other bytes")?;
    let found = meta(&bed.at("image"))?;
    ensure!(
        found.size() == SIZE && found.blocks() * 512 == allocated,
        "{found:?}"
    );
    fs::remove_file(back)?;
    fs::remove_file(source)?;
    Ok(())
}
