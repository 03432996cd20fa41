//! QEMU beside a mount.

use std::fs;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use anyhow::{Result, ensure};
use loopdev::{Bed, cmd, sh};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::libc::{EINVAL, O_DIRECT};

use crate::images::tools::{errno, expect_at, meta, open, pattern, put};

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
    // Each is ten seconds about to end, as libgfapi is on any volume.
    sh(&format!(
        "qemu-img compare -f raw -F raw '{}' {by_cp} & compared=$!; \
         qemu-img convert -f raw -O raw {by_cp} '{}'; wait $compared",
        source.display(),
        back.display()
    ))?;
    cmd("cmp", &[&source, &back])?.ok()?;
    fs::remove_file(source)?;
    fs::remove_file(back)?;
    Ok(())
}

/// A FUSE mount that is told to zero a range hears of an allocation: the zeros must be there all the
/// same, by whoever writes them.
pub(crate) fn zeroes_ranges_by_fuse(bed: &mut Bed<'_>) -> Result<()> {
    let image = bed.at("x");
    sh(&format!("truncate -s 8M '{}'", image.display()))?;
    let lines = "-c 'write -q -P 0x5a 0 2M' -c 'write -q -z 0 1M' -c 'read -q -P 0 0 1M' \
                 -c 'read -q -P 0x5a 1M 1M' -c 'write -q -z 1537k 3k' -c 'read -q -P 0 1537k 3k' \
                 -c 'read -q -P 0x5a 1540k 500k'";
    for mode in ["-t none", "-t writeback"] {
        let said = sh(&format!(
            "qemu-io -f raw {mode} {lines} '{}' 2>&1",
            image.display()
        ))?;
        ensure!(!said.stdout.contains("failed"), "{mode}: {said}");
    }
    let file = open(&image)?;
    for flags in [
        FallocateFlags::FALLOC_FL_ZERO_RANGE,
        FallocateFlags::empty(),
    ] {
        put(&image, 1 << 20, &pattern(1, 4096))?;
        let refused = fallocate(&file, flags, 0, 4 << 20);
        ensure!(refused == Err(Errno::EOPNOTSUPP), "{flags:?}: {refused:?}");
        expect_at(&image, 1 << 20, &pattern(1, 4096))?;
    }
    // Holes are allocated, and the file grows.
    fallocate(&file, FallocateFlags::empty(), 8 << 20, 8 << 20)?;
    let found = meta(&image)?;
    ensure!(found.len() == 16 << 20, "{found:?}");
    // Plain files are as on a stock volume.
    let plain = bed.root().join("plain");
    fs::write(&plain, pattern(2, 100_000))?;
    fallocate(&open(&plain)?, FallocateFlags::empty(), 0, 200_000)?;
    expect_at(&plain, 0, &pattern(2, 100_000))
}

/// With O_DIRECT the alignment is that of the device below, by which QEMU finds out what it is.
pub(crate) fn finds_the_block_size(bed: &mut Bed<'_>) -> Result<()> {
    const SIZE: u64 = 1_000_448;
    let (image, copy) = (bed.at("odd"), bed.at("copy"));
    let bytes = pattern(3, usize::try_from(SIZE)?);
    fs::write(&image, &bytes)?;
    let file = fs::File::options()
        .read(true)
        .custom_flags(O_DIRECT)
        .open(&image)?;
    let mut memory = vec![0; 8192];
    let at = memory.as_ptr().align_offset(4096);
    let part = &mut memory[at..at + 1024];
    for (offset, len) in [(0, 1), (7, 512), (0, 511)] {
        let code = errno("read", file.read_at(&mut part[..len], offset))?;
        ensure!(code == EINVAL, "{len} at {offset}: {code}");
    }
    ensure!(file.read_at(&mut part[..512], 512)? == 512 && part[..512] == bytes[512..1024]);
    let lines = "-c 'write -q -P 0x33 999936 512' -c 'read -q -P 0x33 999936 512'";
    sh(&format!(
        "qemu-io -f raw -t none {lines} '{}'",
        image.display()
    ))?;
    sh(&format!(
        "qemu-img convert -t none -T none -f raw -O raw '{}' '{}'",
        image.display(),
        copy.display()
    ))?;
    ensure!(meta(&image)?.len() == SIZE && meta(&copy)?.len() == SIZE);
    cmd("cmp", &[&image, &copy])?.ok()?;
    // What dd has left at the end it writes without the flag.
    let odd = bed.rig.dir().join("odd");
    fs::write(&odd, &bytes[..100_001])?;
    let words = format!(
        "if='{}' of='{}' bs=4k",
        odd.display(),
        bed.at("dd").display()
    );
    sh(&format!("dd {words} oflag=direct status=none"))?;
    expect_at(&bed.at("dd"), 0, &bytes[..100_001])?;
    Ok(fs::remove_file(odd)?)
}
