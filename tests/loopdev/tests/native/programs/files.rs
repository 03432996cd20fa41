//! What programs ask of files besides their bytes.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use loopdev::{Bed, cmd, sh, wait_for};
use nix::libc;
use nix::unistd::{Whence, lseek};

use crate::images::tools::{expect_at, meta, open, pattern, put, sh_in, size_of};

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
    wait_for("the replaced image to go", || {
        Ok(bed.store.names()?.len() == 1)
    })?;
    bed.remount()?;
    expect_at(&bed.at("old"), 0, &pattern(2, 60_000))?;
    // An image over itself is nothing.
    fs::rename(bed.at("old"), bed.at("old"))?;
    expect_at(&bed.at("old"), 0, &pattern(2, 60_000))
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
    let before = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)?
        .as_secs();
    times_set_behind_writes(bed)?;
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

/// A time that is set after a close stays, though the brick just saves that of the write: no client waits for
/// a close (`performance.flush-behind`).
fn times_set_behind_writes(bed: &mut Bed<'_>) -> Result<()> {
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let files = |bed: &Bed<'_>| -> Vec<PathBuf> {
        let numbers = 0..200;
        numbers.map(|number| bed.at(format!("t{number}"))).collect()
    };
    let made = files(bed);
    let set = |path: &PathBuf| {
        fs::write(path, "bytes")?;
        fs::File::open(path)?.set_modified(long_ago)
    };
    thread::scope(|scope| {
        let parts = made.chunks(made.len() / 8);
        let threads: Vec<_> = parts
            .map(|part| scope.spawn(move || part.iter().try_for_each(&set)))
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("a client");
        threads.into_iter().try_for_each(join)
    })?;
    bed.remount()?;
    for path in &files(bed) {
        ensure!(meta(path)?.modified()? == long_ago, "{}", path.display());
        fs::remove_file(path)?;
    }
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

/// The error number of a call of nix; 0 if it succeeded.
fn code<T>(result: nix::Result<T>) -> i32 {
    result.err().map_or(0, |errno| errno as i32)
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
        "cd '{}' && tar -Scf - a | tar -xOf - | cmp - a && rsync -aS a c && cmp a c",
        bed.images().display()
    ))?;
    Ok(())
}
