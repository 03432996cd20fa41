//! Where images hold data, and where they have holes.

use std::fs;
use std::io::Error;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use loopdev::{Backing, Bed, cmd};
use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::{Whence, lseek};

use super::tools::{MIB, expect_at, open, pattern, size_of};

/// Where the only data is. Without KVM everything takes longer, so that it is nearer there.
fn far(bed: &Bed<'_>) -> u64 {
    match bed.store.backing() {
        Backing::File => 1024 * MIB,
        Backing::Thin | Backing::Thick => 24 * MIB,
    }
}

/// Spans of a file that may hold data, as lseek(2) tells them.
pub(crate) fn data_of(file: &fs::File) -> Result<Vec<(u64, u64)>> {
    let mut spans = Vec::new();
    let mut at = 0;
    loop {
        let start = match lseek(file, at, Whence::SeekData) {
            Ok(start) => start,
            Err(nix::errno::Errno::ENXIO) => return Ok(spans),
            Err(errno) => return Err(Error::from(errno)).context("SEEK_DATA"),
        };
        let end = lseek(file, start, Whence::SeekHole).context("SEEK_HOLE")?;
        ensure!(start >= at && end > start, "data {start}..{end} after {at}");
        spans.push((u64::try_from(start)?, u64::try_from(end)?));
        at = end;
    }
}

/// An image with data far behind its start only: copies need not read the rest, and are right.
pub(crate) fn are_found_and_skipped(bed: &mut Bed<'_>) -> Result<()> {
    let far = far(bed);
    // QEMU sees whole sectors only.
    let size = far + 2 * MIB + 512;
    let bytes = pattern(11, usize::try_from(MIB)?);
    fs::write(bed.at("a"), "")?;
    let file = open(&bed.at("a"))?;
    file.set_len(size)?;
    file.write_all_at(&bytes, far)?;
    file.sync_all()?;
    let has_holes = bed.store.backing() != Backing::Thick;
    if has_holes {
        ensure!(
            data_of(&file)? == [(far, far + MIB)],
            "{:?}",
            data_of(&file)?
        );
    }
    // What is written after the mapping was read counts, too.
    let near = far / 2;
    file.write_all_at(&bytes[..5000], near + 10)?;
    let spans = data_of(&file)?;
    let holds = |at: u64| {
        spans
            .iter()
            .any(|(start, end)| (*start..*end).contains(&at))
    };
    ensure!(holds(near + 10) && holds(near + 5009), "{spans:?}");
    ensure!(!has_holes || !holds(0), "{spans:?}");
    // And what is freed is a hole again.
    let (from, to) = (i64::try_from(near - MIB)?, i64::try_from(2 * MIB)?);
    let punch = FallocateFlags::FALLOC_FL_KEEP_SIZE | FallocateFlags::FALLOC_FL_PUNCH_HOLE;
    fallocate(&file, punch, from, to)?;
    if has_holes {
        ensure!(
            data_of(&file)? == [(far, far + MIB)],
            "{:?}",
            data_of(&file)?
        );
    }
    drop(file);
    // Outside of the volume, so that what a copy allocates can be seen.
    let folder = bed.rig.folder("holes")?;
    let copy = folder.join("copy");
    let is_right = |copy: &Path| -> Result<()> {
        ensure!(size_of(copy)? == size, "size {}", size_of(copy)?);
        expect_at(copy, far, &bytes)?;
        expect_at(copy, near, &[0; 10_000])?;
        let allocated = fs::metadata(copy)?.blocks() * 512;
        ensure!(allocated < 4 * MIB, "{allocated} bytes allocated");
        Ok(())
    };
    let image = bed.at("a");
    cmd(
        "cp",
        &[
            "--sparse=always".as_ref(),
            image.as_os_str(),
            copy.as_os_str(),
        ],
    )?
    .ok()?;
    is_right(&copy)?;
    fs::remove_file(&copy)?;
    let words = ["map", "-f", "raw", "--output=json", &bed.url("a")?];
    let map = cmd("qemu-img", &words)?.ok()?.stdout;
    if has_holes {
        // One hole from the start to the data, which begins there.
        let hole = format!("\"start\": 0, \"length\": {far},");
        let data = format!("\"start\": {far}, \"length\": {MIB},");
        ensure!(map.contains(&hole) && map.contains(&data), "{map}");
    }
    if bed.store.backing() == Backing::File {
        let target = copy.to_string_lossy().into_owned();
        let words = ["convert", "-f", "raw", "-O", "raw", &bed.url("a")?, &target];
        cmd("qemu-img", &words)?.ok()?;
        is_right(&copy)?;
        let image = bed.at("a").to_string_lossy().into_owned();
        let words = ["compare", "-f", "raw", "-F", "raw", &image, &target];
        cmd("qemu-img", &words)?.ok()?;
        fs::remove_file(&copy)?;
    }
    Ok(())
}
