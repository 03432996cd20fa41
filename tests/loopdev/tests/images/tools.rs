//! What several steps need.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use loopdev::Output;

pub(crate) const MIB: u64 = 1 << 20;

/// Bytes that tell where they belong: none of them repeats in another place or for another seed.
pub(crate) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Writes to a file that is there.
pub(crate) fn put(path: &Path, at: u64, bytes: &[u8]) -> Result<()> {
    let file = open(path)?;
    file.write_all_at(bytes, at)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Opens for reading and writing.
pub(crate) fn open(path: &Path) -> Result<File> {
    File::options()
        .read(true)
        .write(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

/// Fails unless the bytes at `at` are these.
pub(crate) fn expect_at(path: &Path, at: u64, bytes: &[u8]) -> Result<()> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut found = vec![0; bytes.len()];
    file.read_exact_at(&mut found, at)
        .with_context(|| format!("cannot read {} at {at}", path.display()))?;
    same(path, at, &found, bytes)
}

/// Fails at the first byte that differs.
pub(crate) fn same(path: &Path, at: u64, found: &[u8], expected: &[u8]) -> Result<()> {
    if found.len() != expected.len() {
        bail!(
            "{}: {} bytes, expected {}",
            path.display(),
            found.len(),
            expected.len()
        );
    }
    // The library's comparison is fast in every build.
    if found == expected {
        return Ok(());
    }
    if let Some(first) = found.iter().zip(expected).position(|(a, b)| a != b) {
        let wrong = found.iter().zip(expected).filter(|(a, b)| a != b).count();
        bail!(
            "{}: byte {} is {:#x}, expected {:#x}; {wrong} bytes differ",
            path.display(),
            at + first as u64,
            found[first],
            expected[first],
        );
    }
    Ok(())
}

/// Fails unless the file holds `pieces` and zeros elsewhere.
pub(crate) fn expect_only(path: &Path, size: u64, pieces: &[(u64, &[u8])]) -> Result<()> {
    expect_head(path, size, size, pieces)
}

/// As [`expect_only`], but looks at the first `limit` bytes only, in whole MiB.
pub(crate) fn expect_head(
    path: &Path,
    size: u64,
    limit: u64,
    pieces: &[(u64, &[u8])],
) -> Result<()> {
    let found = size_of(path)?;
    if found != size {
        bail!("{}: size is {found}, expected {size}", path.display());
    }
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut chunk = vec![0; 1 << 20];
    let mut expected = vec![0; 1 << 20];
    let mut at = 0;
    while at < limit {
        let got = file
            .read(&mut chunk)
            .with_context(|| format!("reading {}", path.display()))?;
        if got == 0 {
            bail!("{}: {at} bytes could be read of {size}", path.display());
        }
        expected.fill(0);
        for (start, bytes) in pieces {
            let from = (*start).max(at);
            let to = (start + bytes.len() as u64).min(at + got as u64);
            if from < to {
                let target = usize::try_from(from - at)?..usize::try_from(to - at)?;
                let source = usize::try_from(from - start)?..usize::try_from(to - start)?;
                expected[target].copy_from_slice(&bytes[source]);
            }
        }
        same(path, at, &chunk[..got], &expected[..got])?;
        at += got as u64;
    }
    Ok(())
}

pub(crate) fn size_of(path: &Path) -> Result<u64> {
    Ok(meta(path)?.size())
}

pub(crate) fn meta(path: &Path) -> Result<fs::Metadata> {
    fs::symlink_metadata(path).with_context(|| format!("cannot stat {}", path.display()))
}

/// The error number that a call failed with; fails if it succeeded.
pub(crate) fn errno<T>(what: &str, result: std::io::Result<T>) -> Result<i32> {
    match result {
        Ok(_) => bail!("{what} succeeded where a failure was expected"),
        Err(error) => error
            .raw_os_error()
            .with_context(|| format!("{what}: {error}")),
    }
}

/// Runs a line of bash in a folder.
pub(crate) fn sh_in(folder: &Path, line: &str) -> Result<Output> {
    loopdev::sh(&format!("cd '{}'; {line}", folder.display()))
}
