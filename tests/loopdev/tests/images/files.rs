//! What programs do with open files.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use loopdev::{Backing, Bed, cmd, sh};
use nix::libc;
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::{Whence, lseek};

use super::tools::{expect_at, expect_only, meta, open, pattern, put, sh_in, size_of};
use crate::BACKING;

/// Files that are made while others look. An LV takes its time.
const LOOKED_AT: usize = match BACKING {
    Backing::File => 200,
    Backing::Thin | Backing::Thick => 8,
};

/// The error number of a call of nix; 0 if it succeeded.
fn code<T>(result: nix::Result<T>) -> i32 {
    result.err().map_or(0, |errno| errno as i32)
}

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
        ensure!(
            meta(from)?.ino() == meta(&bed.at(&name))?.ino(),
            "{name}: there are two"
        );
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

pub(crate) fn rename_replaces_an_open_one(bed: &mut Bed<'_>) -> Result<()> {
    fs::write(bed.at("old"), pattern(1, 50_000))?;
    fs::write(bed.at("new"), pattern(2, 60_000))?;
    let held = open(&bed.at("old"))?;
    fs::rename(bed.at("new"), bed.at("old"))?;
    let mut found = vec![0; 50_000];
    held.read_exact_at(&mut found, 0)?;
    ensure!(found == pattern(1, 50_000), "the replaced image lost bytes");
    ensure!(size_of(&bed.at("old"))? == 60_000);
    expect_at(&bed.at("old"), 0, &pattern(2, 60_000))?;
    drop(held);
    wait_for_count(bed, 1)?;
    bed.remount()?;
    expect_at(&bed.at("old"), 0, &pattern(2, 60_000))?;
    // An image over itself is nothing.
    fs::rename(bed.at("old"), bed.at("old"))?;
    expect_at(&bed.at("old"), 0, &pattern(2, 60_000))
}

fn wait_for_count(bed: &Bed<'_>, count: usize) -> Result<()> {
    loopdev::wait_for("removed images to go", || {
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
    expect_only(&bed.at("hole"), 5, &[(0, b"short")])
}

/// readdirp gives a client inodes that it never looked up.
pub(crate) fn are_known_by_readdir_alone(bed: &mut Bed<'_>) -> Result<()> {
    for number in 0..8_u64 {
        fs::write(
            bed.at(format!("f{number:02}")),
            pattern(number, 10_000 + 100 * 7),
        )?;
    }
    let wanted = sh_in(&bed.images(), "md5sum *")?.stdout;
    bed.remount()?;
    let sizes = sh_in(&bed.images(), "ls -l | awk 'NF > 5 { print $5 }' | sort -u")?.stdout;
    ensure!(sizes == "10700", "sizes by ls: {sizes}");
    ensure!(
        sh_in(&bed.images(), "md5sum *")?.stdout == wanted,
        "other bytes after readdir"
    );
    // The brick, too, may know nothing.
    bed.volume.stop()?;
    bed.volume.start()?;
    bed.remount()?;
    sh_in(&bed.images(), "ls -l > /dev/null")?;
    ensure!(
        sh_in(&bed.images(), "md5sum *")?.stdout == wanted,
        "other bytes after a restart"
    );
    Ok(())
}

pub(crate) fn times_follow_writes(bed: &mut Bed<'_>) -> Result<()> {
    fs::write(bed.at("a"), "1")?;
    sh_in(&bed.images(), "touch -d '2001-02-03 04:05:06 UTC' a")?;
    ensure!(
        meta(&bed.at("a"))?.mtime() == 981_173_106,
        "{}",
        meta(&bed.at("a"))?.mtime()
    );
    let before = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_secs();
    put(&bed.at("a"), 0, b"2")?;
    let after = meta(&bed.at("a"))?.mtime();
    // Clocks of kernel and process may differ by a tick.
    ensure!(
        after + 1 >= i64::try_from(before)?,
        "mtime {after} after a write at {before}"
    );
    bed.remount()?;
    ensure!(
        meta(&bed.at("a"))?.mtime() == after,
        "the mtime was not kept"
    );
    bed.volume.stop()?;
    bed.volume.start()?;
    bed.remount()?;
    ensure!(
        meta(&bed.at("a"))?.mtime() == after,
        "the mtime was not kept by a restart"
    );
    Ok(())
}

pub(crate) fn keep_owner_mode_and_attributes(bed: &mut Bed<'_>) -> Result<()> {
    fs::write(bed.at("a"), "bytes")?;
    sh_in(
        &bed.images(),
        "chmod 640 a; chown 1234:4321 a; setfattr -n user.note -v hello a; sync a",
    )?;
    bed.remount()?;
    let found = meta(&bed.at("a"))?;
    ensure!(
        (found.mode() & 0o7777, found.uid(), found.gid()) == (0o640, 1234, 4321),
        "{found:?}"
    );
    let note = sh_in(&bed.images(), "getfattr --only-values -n user.note a")?;
    ensure!(note.stdout == "hello");
    // The mark can be read, and not taken away.
    let mark = sh_in(
        &bed.images(),
        "getfattr --only-values -n user.glusterfs.bd a",
    )?;
    ensure!(["thin", "lv"].contains(&mark.stdout.as_str()), "{mark}");
    let path = bed.at("a");
    cmd(
        "setfattr",
        &[
            "-x".as_ref(),
            "user.glusterfs.bd".as_ref(),
            path.as_os_str(),
        ],
    )?
    .fails()?;
    let info = sh_in(
        &bed.images(),
        "getfattr --only-values -n glusterfs.bd.info a",
    )?
    .stdout;
    ensure!(
        info.contains("\"size\":5") && info.contains("\"lv\":\"a\""),
        "{info}"
    );
    ensure!(fs::read_to_string(&path)? == "bytes");
    Ok(())
}

/// Operations that images do not have must not reach the stub, which would answer wrongly.
pub(crate) fn answer_for_themselves_not_the_stub(bed: &mut Bed<'_>) -> Result<()> {
    let bytes = pattern(1, 3_000_000);
    fs::write(bed.at("a"), &bytes)?;
    fs::write(bed.at("b"), "")?;
    let (a, b) = (open(&bed.at("a"))?, open(&bed.at("b"))?);
    let found = rustix::fs::copy_file_range(&a, None, &b, None, 100_000)
        .err()
        .map_or(0, |errno| errno.raw_os_error());
    // The kernel copies by reading and writing where a file system refuses.
    ensure!(
        [0, libc::EOPNOTSUPP, libc::EXDEV].contains(&found),
        "copy_file_range: errno {found}"
    );
    for (whence, from, expected) in [
        (Whence::SeekData, 0, 0),
        (Whence::SeekData, 2_000_000, 2_000_000),
        (Whence::SeekHole, 0, 3_000_000),
        (Whence::SeekHole, 1_000_000, 3_000_000),
    ] {
        let found = lseek(&a, from, whence);
        ensure!(found == Ok(expected), "{whence:?} from {from}: {found:?}");
    }
    ensure!(code(lseek(&a, 3_000_000, Whence::SeekData)) == libc::ENXIO);
    drop((a, b));
    expect_at(&bed.at("a"), 0, &bytes)?;
    ensure!(size_of(&bed.at("a"))? == 3_000_000);
    // Programs that try them first get on by other means.
    for how in [
        "--sparse=auto",
        "--sparse=always",
        "--sparse=never",
        "--reflink=auto",
    ] {
        let copy = bed.at("copy");
        cmd(
            "cp",
            &[how.as_ref(), bed.at("a").as_os_str(), copy.as_os_str()],
        )?
        .ok()?;
        expect_at(&copy, 0, &bytes)?;
        fs::remove_file(copy)?;
    }
    sh(&format!(
        "cd '{}' && tar -Scf - a | tar -xOf - | cmp - a && rsync -aS a c 2>/dev/null || cp a c; cmp a c",
        bed.images().display()
    ))?;
    Ok(())
}
