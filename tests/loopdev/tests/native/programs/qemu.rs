//! QEMU beside a mount.

use std::fs;

use anyhow::Result;
use loopdev::{Bed, cmd, sh};

pub(crate) fn and_fuse_agree(bed: &mut Bed<'_>) -> Result<()> {
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
