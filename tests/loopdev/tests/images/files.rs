//! Files that are made, grow and go.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use loopdev::{Backing, Bed, wait_for};
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::stat::{Mode, SFlag, mknod};

use super::tools::{errno, expect_at, expect_only, meta, open, pattern, put, sh_in};
use crate::BACKING;

/// Files that are made while others look, in four ways. An LV takes its time.
const LOOKED_AT: usize = match BACKING {
    Backing::File => 200,
    Backing::Thin | Backing::Thick => 4,
};

pub(crate) fn live_until_the_last_close(bed: &mut Bed<'_>) -> Result<()> {
    fs::write(bed.at("a"), pattern(1, 100_000))?;
    let held = open(&bed.at("a"))?;
    fs::remove_file(bed.at("a"))?;
    ensure!(!bed.at("a").exists());
    let mut found = vec![0; 100_000];
    held.read_exact_at(&mut found, 0)?;
    ensure!(
        found == pattern(1, 100_000),
        "a removed image that is open lost bytes"
    );
    held.write_all_at(&pattern(2, 1000), 200_000)?;
    let mut found = vec![0; 1000];
    held.read_exact_at(&mut found, 200_000)?;
    ensure!(found == pattern(2, 1000));
    // Its name is free at once.
    fs::write(bed.at("a"), "new")?;
    ensure!(bed.store.names()?.len() == 2, "{:?}", bed.store.names()?);
    drop(held);
    wait_for_count(bed, 1)?;
    ensure!(fs::read_to_string(bed.at("a"))? == "new");
    bed.check()
}

/// Files that are looked at, or made by somebody else, while they are being made: there is one of each.
pub(crate) fn are_one_while_others_look(bed: &mut Bed<'_>) -> Result<()> {
    let other = bed.another_mount(&[])?.join(bed.top());
    fs::write(bed.at("source"), "as it is")?;
    let make = |kind: usize, name: &str| -> Result<()> {
        match kind {
            0 => Ok(File::create_new(bed.at(name)).map(drop)?),
            1 => {
                let mode = Mode::S_IRUSR | Mode::S_IWUSR;
                Ok(mknod(&bed.at(name), SFlag::S_IFREG, mode, 0)?)
            }
            2 => Ok(fs::hard_link(bed.at("source"), bed.at(name))?),
            _ => {
                let both = [bed.at(name), other.join(name)];
                std::thread::scope(|scope| {
                    let makers = both
                        .each_ref()
                        .map(|path| scope.spawn(move || File::create(path).map(drop)));
                    for maker in makers {
                        maker
                            .join()
                            .map_err(|_| anyhow::anyhow!("a maker panicked"))??;
                    }
                    Ok(())
                })
            }
        }
    };
    for round in 0..LOOKED_AT {
        let name = format!("f{round}");
        while_looked_at(&other.join(&name), || make(round % 4, &name)).context(name.clone())?;
        let from = &other.join(&name);
        // A mount remembers for a second what it has seen while the name was being made.
        wait_for("both mounts to see one file", || {
            Ok(meta(from)?.ino() == meta(&bed.at(&name))?.ino())
        })?;
        put(from, 0, name.as_bytes())?;
        expect_at(from, 0, name.as_bytes())?;
        fs::remove_file(from)?;
        bed.expect_names(&["source"])?;
    }
    bed.check()
}

/// Calls `make` while somebody asks all the time whether there is such a file.
fn while_looked_at(path: &Path, make: impl FnOnce() -> Result<()>) -> Result<()> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Acquire) {
                    let _is_there = path.symlink_metadata();
                    std::thread::sleep(Duration::from_micros(200));
                }
            });
        }
        let made = make();
        stop.store(true, Ordering::Release);
        made
    })
}

fn wait_for_count(bed: &Bed<'_>, count: usize) -> Result<()> {
    wait_for("removed images to go", || {
        Ok(bed.store.names()?.len() == count)
    })
}

pub(crate) fn grow_at_their_end(bed: &mut Bed<'_>) -> Result<()> {
    // Two descriptors append in turn.
    let append = || {
        File::options()
            .append(true)
            .create(true)
            .open(bed.at("log"))
    };
    let (mut one, mut two) = (append()?, append()?);
    for _ in 0..50 {
        one.write_all(b"first\n")?;
        two.write_all(b"second\n")?;
    }
    drop((one, two));
    let text = fs::read_to_string(bed.at("log"))?;
    ensure!(text == "first\nsecond\n".repeat(50), "{} bytes", text.len());
    // A hole is zeros, also where bytes were before a truncate.
    fs::write(bed.at("hole"), pattern(1, 30_000))?;
    let file = open(&bed.at("hole"))?;
    file.set_len(10_000)?;
    file.write_all_at(b"end", 6_000_000)?;
    drop(file);
    let head = pattern(1, 10_000);
    expect_only(
        &bed.at("hole"),
        6_000_003,
        &[(0, &head), (6_000_000, b"end")],
    )?;
    let file = open(&bed.at("hole"))?;
    file.set_len(5)?;
    file.set_len(70_000)?;
    drop(file);
    expect_only(&bed.at("hole"), 70_000, &[(0, &head[..5])])?;
    // O_TRUNC on a name that is there.
    fs::write(bed.at("hole"), "short")?;
    expect_only(&bed.at("hole"), 5, &[(0, b"short")])?;
    no_further_than_they_can(bed)
}

/// Programs leave out what has no blocks: `tar -S` a whole file.
pub(crate) fn tell_their_blocks(bed: &mut Bed<'_>) -> Result<()> {
    let blocks = |file: &File| Ok::<_, anyhow::Error>(file.metadata()?.blocks());
    for round in 0..10 {
        let file = File::create(bed.at("full"))?;
        ensure!(blocks(&file)? == 0, "{} blocks of nothing", blocks(&file)?);
        file.write_all_at(&pattern(round, 5000), 0)?;
        ensure!(blocks(&file)? == 10, "{round}: {} blocks", blocks(&file)?);
    }
    let said = sh_in(
        &bed.images(),
        "cp full new; tar -Scf ../t new; tar -xOf ../t new | cmp - full",
    )?;
    ensure!(said.stdout.is_empty(), "{said}");
    // One chunk of a pool, and exact as soon as it is asked for.
    let file = File::create(bed.at("sparse"))?;
    file.set_len(64 << 20)?;
    ensure!(blocks(&file)? < 64, "{} blocks of a hole", blocks(&file)?);
    let part = if BACKING == Backing::File { 112 } else { 128 };
    for (at, wanted) in [(32 << 20, part), ((32 << 20) + 8192, 128)] {
        file.write_all_at(&pattern(1, 65536 - 8192), at)?;
        file.sync_all()?;
        let found = blocks(&file)?;
        ensure!(found == wanted, "{found} blocks, not {wanted}, at {at}");
    }
    Ok(())
}

/// Where no file can end, EFBIG, and nothing is changed.
fn no_further_than_they_can(bed: &Bed<'_>) -> Result<()> {
    let most = i64::MAX.unsigned_abs();
    let file = File::options()
        .write(true)
        .custom_flags(nix::libc::O_SYNC)
        .open(bed.at("hole"))?;
    for below in [0, 4095, 8192, 3 << 20] {
        for (what, done) in [
            ("truncate", file.set_len(most - below)),
            ("write", file.write_all_at(b"a", most - 1 - below)),
            (
                "allocate",
                fallocate(
                    &file,
                    FallocateFlags::empty(),
                    i64::try_from(most - 1 - below)?,
                    1,
                )
                .map_err(Into::into),
            ),
        ] {
            let code = errno(what, done)?;
            ensure!(code == nix::libc::EFBIG, "{what} at {below}: errno {code}");
        }
    }
    expect_only(&bed.at("hole"), 5, &[(0, b"short")])
}
