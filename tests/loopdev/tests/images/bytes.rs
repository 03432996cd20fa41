//! Many bytes, in and out.

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Result, ensure};
use loopdev::{Bed, cmd, sh};

use super::tools::{meta, sha};

/// Not a multiple of anything.
const SIZE: u64 = (200 << 20) + 12_345;

pub(crate) fn copied_in_and_out(bed: &mut Bed<'_>) -> Result<()> {
    let folder = bed.rig.folder("copies")?;
    let (source, back) = (folder.join("source"), folder.join("back"));
    let image = bed.at("image");
    sh(&format!(
        "head -c {SIZE} /dev/urandom > '{}'",
        source.display()
    ))?;
    cmd("cp", &[&source, &image])?.ok()?;
    let wanted = sha(&source)?;
    let found = meta(&image)?;
    ensure!(found.size() == SIZE, "size {}", found.size());
    // All bytes are there, and at most the last extent or some chunks are so in part.
    let allocated = found.blocks() * 512;
    ensure!(
        (SIZE..SIZE + (8 << 20)).contains(&allocated),
        "{allocated} bytes allocated"
    );
    cmd("cp", &[&image, &back])?.ok()?;
    ensure!(sha(&back)? == wanted, "what came back differs");
    bed.remount()?;
    ensure!(
        sha(&bed.at("image"))? == wanted,
        "a fresh client reads other bytes"
    );
    let found = meta(&bed.at("image"))?;
    ensure!(
        found.size() == SIZE && found.blocks() * 512 == allocated,
        "{found:?}"
    );
    fs::remove_file(back)?;
    fs::remove_file(source)?;
    Ok(())
}

pub(crate) fn qemu_and_fuse_agree(bed: &mut Bed<'_>) -> Result<()> {
    let folder = bed.rig.folder("qemu")?;
    let source = folder.join("source");
    sh(&format!(
        "head -c 20M /dev/urandom > '{0}'; truncate -s 60M '{0}'; \
         head -c 1M /dev/urandom | dd of='{0}' bs=1M seek=50 conv=notrunc status=none",
        source.display()
    ))?;
    let (url, by_cp, back) = (bed.url("by-qemu")?, bed.url("by-cp")?, folder.join("back"));
    let convert = format!("qemu-img convert -f raw -O raw '{}'", source.display());
    // A file made by libgfapi, read by FUSE.
    sh(&format!("{convert} {url}"))?;
    cmd("cmp", &[&source, &bed.at("by-qemu")])?.ok()?;
    // And one made by FUSE, read by libgfapi.
    cmd("cp", &[&source, &bed.at("by-cp")])?.ok()?;
    sh(&format!(
        "qemu-img compare -f raw -F raw '{}' {by_cp}",
        source.display()
    ))?;
    sh(&format!(
        "qemu-img convert -f raw -O raw {by_cp} '{}'",
        back.display()
    ))?;
    cmd("cmp", &[&source, &back])?.ok()?;
    fs::remove_file(source)?;
    fs::remove_file(back)?;
    Ok(())
}
