//! Ranges of images: allocated and freed, and beside them reads, writes and new sizes.
//!
//! GlusterFS's FUSE client takes the zeroing of a range for its allocation, so that a mount refuses both
//! where there is data, and programs write zeros. libgfapi can zero: see `zeroed_by_libgfapi`.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};

use anyhow::{Context, Result, ensure};
use loopdev::{Backing, Bed, cmd, wait_for};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use super::holes;
use super::model::Random;
use super::tools::{expect_at, meta, open, pattern, same, size_of};

const KEEP: FallocateFlags = FallocateFlags::FALLOC_FL_KEEP_SIZE;

/// Bytes that the file of the model may have.
const LIMIT: usize = 6 << 20;

/// A random operation on a file and on the bytes it should have.
fn operate(file: &File, bytes: &mut Vec<u8>, random: &mut Random, seed: u64) -> Result<String> {
    // Now small and crooked, now large and on blocks.
    let unit = [1, 512, 4096, 65536][random.below(4)];
    let at = random.below(LIMIT / unit) * unit;
    let len = (1 + random.below(LIMIT / 8 / unit)) * unit;
    let end = (at + len).min(LIMIT);
    let len = end - at;
    let (from, to) = (i64::try_from(at)?, i64::try_from(len)?);
    let grown = |bytes: &mut Vec<u8>| bytes.resize(bytes.len().max(end), 0);
    let clipped = |bytes: &Vec<u8>| at.min(bytes.len())..end.min(bytes.len());
    // Whether it was done: not where there is data.
    let allocate = |flags, bytes: &[u8]| match fallocate(file, flags, from, to) {
        Ok(()) => Ok(true),
        Err(Errno::EOPNOTSUPP) if at < bytes.len() => Ok(false),
        Err(errno) => Err(errno),
    };
    let what = match random.below(7) {
        0 => {
            if allocate(FallocateFlags::empty(), bytes)? {
                grown(bytes);
            }
            "allocate"
        }
        1 => {
            allocate(KEEP, bytes)?;
            "allocate inside"
        }
        4 => {
            if allocate(KEEP | FallocateFlags::FALLOC_FL_ZERO_RANGE, bytes)? {
                let range = clipped(bytes);
                bytes[range].fill(0);
            }
            "zero"
        }
        2 => {
            fallocate(file, KEEP | FallocateFlags::FALLOC_FL_PUNCH_HOLE, from, to)?;
            let range = clipped(bytes);
            bytes[range].fill(0);
            "discard"
        }
        3 => {
            file.set_len(at as u64)?;
            bytes.resize(at, 0);
            "set size"
        }
        _ => {
            let written = pattern(seed, len);
            file.write_all_at(&written, at as u64)?;
            grown(bytes);
            bytes[at..end].copy_from_slice(&written);
            "write"
        }
    };
    Ok(format!("{what} {len} at {at}"))
}

/// Random operations, and the same bytes as in memory after each.
pub(crate) fn agree_with_a_model(bed: &mut Bed<'_>) -> Result<()> {
    let rounds = if bed.store.backing() == Backing::File {
        60
    } else {
        15
    };
    let mut random = Random::new(7);
    let mut bytes = Vec::new();
    fs::write(bed.at("a"), &bytes)?;
    let file = open(&bed.at("a"))?;
    for round in 0..rounds {
        let done = operate(&file, &mut bytes, &mut random, round)?;
        let size = file.metadata()?.size();
        ensure!(
            size == bytes.len() as u64,
            "{done}: {size} bytes, not {}",
            bytes.len()
        );
        if bed.store.backing() == Backing::File {
            holes_are_zero(&file, &bytes).with_context(|| done.clone())?;
        }
        let mut found = vec![0; bytes.len()];
        file.read_exact_at(&mut found, 0)?;
        same(&bed.at("a"), 0, &found, &bytes).with_context(|| format!("round {round}: {done}"))?;
    }
    drop(file);
    bed.remount()?;
    ensure!(size_of(&bed.at("a"))? == bytes.len() as u64);
    expect_at(&bed.at("a"), 0, &bytes)
}

/// Whatever is not told to be data must be zeros.
fn holes_are_zero(file: &File, bytes: &[u8]) -> Result<()> {
    let mut at = 0;
    let mut spans = holes::data_of(file)?;
    spans.push((bytes.len() as u64, bytes.len() as u64));
    for (start, end) in spans {
        let hole = &bytes[usize::try_from(at)?..usize::try_from(start)?];
        ensure!(
            hole.iter().all(|byte| *byte == 0),
            "data in the hole {at}..{start}"
        );
        at = end;
    }
    Ok(())
}

/// A random sequence of what QEMU does by libgfapi, also at the same time, and the bytes after it.
pub(crate) fn agree_with_a_model_by_libgfapi(bed: &mut Bed<'_>) -> Result<()> {
    let count = if bed.store.backing() == Backing::File {
        150
    } else {
        40
    };
    let mut random = Random::new(23);
    let mut bytes = vec![0; LIMIT];
    fs::write(bed.at("a"), "")?;
    open(&bed.at("a"))?.set_len(LIMIT as u64)?;
    let mut words = ["-d", "unmap", "-f", "raw"].map(str::to_owned).to_vec();
    for _ in 0..count {
        let unit = [1, 512, 4096, 65536][random.below(4)];
        let at = random.below(LIMIT / unit) * unit;
        let len = ((1 + random.below(LIMIT / 16 / unit)) * unit).min(LIMIT - at);
        let byte = u8::try_from(1 + random.below(250))?;
        let command = match random.below(6) {
            0 => {
                bytes[at..at + len].fill(0);
                format!("write -z {at} {len}")
            }
            1 => {
                // QEMU frees whole blocks only.
                let (from, to) = (at.next_multiple_of(4096), (at + len) / 4096 * 4096);
                if from >= to {
                    continue;
                }
                bytes[from..to].fill(0);
                format!("discard {from} {}", to - from)
            }
            2 => {
                // In flight together: QEMU waits for all at the flush.
                let parts = 4.min(len);
                for part in 0..parts {
                    let (from, to) = (at + len * part / parts, at + len * (part + 1) / parts);
                    let byte = u8::try_from(1 + (usize::from(byte) + part) % 250)?;
                    bytes[from..to].fill(byte);
                    words.push("-c".to_owned());
                    words.push(format!("aio_write -q -P {byte} {from} {}", to - from));
                }
                "aio_flush".to_owned()
            }
            _ => {
                bytes[at..at + len].fill(byte);
                format!("write -q -P {byte} {at} {len}")
            }
        };
        words.extend(["-c".to_owned(), command]);
        if random.below(8) == 0 {
            let equal = bytes[at..at + len]
                .iter()
                .take_while(|b| **b == bytes[at])
                .count();
            words.push("-c".to_owned());
            words.push(format!("read -q -P {} {at} {equal}", bytes[at]));
        }
    }
    words.push(bed.url("a")?);
    let said = cmd("qemu-io", &words)?.ok()?;
    let text = format!("{}{}", said.stdout, said.stderr);
    ensure!(!text.contains("failed"), "{text}");
    bed.remount()?;
    ensure!(size_of(&bed.at("a"))? == LIMIT as u64);
    expect_at(&bed.at("a"), 0, &bytes)
}

/// QEMU zeroes ranges by libgfapi, also where they do not fit blocks or end past the file.
pub(crate) fn zeroed_by_libgfapi(bed: &mut Bed<'_>) -> Result<()> {
    let mut bytes = pattern(5, 3 << 20);
    fs::write(bed.at("a"), &bytes)?;
    bed.remount()?;
    let commands = ["write -z 4608 1M", "write -z 2M 64k"];
    let mut words = vec!["-f".to_owned(), "raw".to_owned()];
    for command in commands {
        words.extend(["-c".to_owned(), command.to_owned()]);
    }
    words.push(bed.url("a")?);
    cmd("qemu-io", &words)?.ok()?;
    bytes[4608..4608 + (1 << 20)].fill(0);
    bytes[2 << 20..(2 << 20) + (64 << 10)].fill(0);
    bed.remount()?;
    expect_at(&bed.at("a"), 0, &bytes)?;
    preallocated_by_qemu(bed)
}

/// QEMU has an image allocated by zeroing all of it as soon as it has its size.
fn preallocated_by_qemu(bed: &Bed<'_>) -> Result<()> {
    let url = bed.url("full")?;
    let allocated = |mib: u64| {
        wait_for(&format!("{mib} MiB of blocks"), || {
            Ok(meta(&bed.at("full"))?.blocks() * 512 >= mib << 20)
        })
    };
    let full = "preallocation=full";
    cmd(
        "qemu-img",
        &["create", "-q", "-f", "raw", "-o", full, &url, "16M"],
    )?
    .ok()?;
    allocated(16)?;
    let more = [
        "resize",
        "-q",
        "-f",
        "raw",
        "--preallocation=full",
        &url,
        "24M",
    ];
    cmd("qemu-img", &more)?.ok()?;
    allocated(24)?;
    ensure!(size_of(&bed.at("full"))? == 24 << 20);
    expect_at(&bed.at("full"), 15 << 20, &vec![0; 9 << 20])
}

/// What is freed can be used by others; what is allocated is there before it is written.
pub(crate) fn give_and_take_space(bed: &mut Bed<'_>) -> Result<()> {
    const SIZE: i64 = 64 << 20;
    // The kernel and md-cache remember attributes for a second.
    let allocated = |what: &str, is_right: &dyn Fn(u64) -> bool| {
        let mut found = 0;
        let waited = wait_for(what, || {
            found = meta(&bed.at("a"))?.blocks() * 512;
            Ok(is_right(found))
        });
        waited.with_context(|| format!("{found} bytes are allocated"))
    };
    fs::write(bed.at("a"), "")?;
    let file = open(&bed.at("a"))?;
    fallocate(&file, FallocateFlags::empty(), 0, SIZE)?;
    allocated("blocks that were asked for", &|found| found >= 64 << 20)?;
    file.write_all_at(&pattern(3, 100_000), 0)?;
    fallocate(&file, KEEP | FallocateFlags::FALLOC_FL_PUNCH_HOLE, 0, SIZE)?;
    allocated("blocks that were given back", &|found| found < 1 << 20)?;
    ensure!(size_of(&bed.at("a"))? == 64 << 20);
    expect_at(&bed.at("a"), 0, &[0; 200_000])
}
