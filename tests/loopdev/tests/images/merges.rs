//! Snapshots that are merged into their origins.

use std::fs;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail, ensure};
use loopdev::{Backing, Bed, Output, cmd, wait_for};
use nix::libc;

use super::tools::{MIB, expect_at, open, pattern, put, sh_in, size_of};

/// Asks for a merge in the way of GlusterFS 5.
fn merge(snapshot: &Path) -> Result<Output> {
    cmd(
        "setfattr",
        &["-n", "merge", "-v", "1", &snapshot.to_string_lossy()],
    )
}

/// An image of two MiB, and a snapshot that has other bytes, and more.
fn fill(bed: &Bed<'_>) -> Result<()> {
    fs::write(bed.at("a"), pattern(1, 2 * 1024 * 1024))?;
    sh_in(&bed.images(), "ln -s a snap && ln -s a later")?;
    put(&bed.at("snap"), 2 * MIB, &pattern(2, 500_000))?;
    put(&bed.at("a"), 0, &pattern(3, 1024 * 1024))
}

fn is_old(bed: &Bed<'_>) -> Result<()> {
    ensure!(size_of(&bed.at("a"))? == 2 * MIB, "size of a");
    expect_at(&bed.at("a"), 0, &pattern(3, 1024 * 1024))?;
    ensure!(
        size_of(&bed.at("snap"))? == 2 * MIB + 500_000,
        "size of snap"
    );
    expect_at(&bed.at("snap"), 0, &pattern(1, 2 * 1024 * 1024))?;
    expect_at(&bed.at("snap"), 2 * MIB, &pattern(2, 500_000))
}

fn is_merged(bed: &Bed<'_>) -> Result<()> {
    ensure!(size_of(&bed.at("a"))? == 2 * MIB + 500_000, "size of a");
    expect_at(&bed.at("a"), 0, &pattern(1, 2 * 1024 * 1024))?;
    expect_at(&bed.at("a"), 2 * MIB, &pattern(2, 500_000))?;
    ensure!(!bed.at("snap").exists(), "the snapshot is there");
    expect_at(&bed.at("later"), 0, &pattern(1, 2 * 1024 * 1024))
}

const BLOCK: usize = 4096;

/// A program writes one block after the other all the time: what it wrote before the merge is
/// gone, what it writes after it is there, on the same descriptor.
pub(crate) fn of_an_open_image(bed: &mut Bed<'_>) -> Result<()> {
    fill(bed)?;
    let held = fs::File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_SYNC)
        .open(bed.at("a"))?;
    // Each takes a tenth of a second in the guest.
    let blocks = match bed.store.backing() {
        Backing::File => MIB / BLOCK as u64,
        Backing::Thin | Backing::Thick => 100,
    };
    let block = |number: u64| pattern(1000 + number, BLOCK);
    let written = AtomicU64::new(0);
    let (from, to) = std::thread::scope(|scope| -> Result<(u64, u64)> {
        let writer = scope.spawn(|| -> Result<()> {
            for number in 0..blocks {
                held.write_all_at(&block(number), MIB + number * BLOCK as u64)?;
                written.store(number + 1, Ordering::SeqCst);
            }
            Ok(())
        });
        wait_for("some writes", || Ok(written.load(Ordering::SeqCst) >= 16))?;
        let from = written.load(Ordering::SeqCst);
        merge(&bed.at("snap"))?.ok()?;
        let to = written.load(Ordering::SeqCst);
        writer
            .join()
            .map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        Ok((from, to))
    })?;
    held.sync_all()?;
    println!("measured: {from} blocks before the merge, {to} when it had ended, of {blocks}");
    let snapshot = pattern(1, 2 * 1024 * 1024);
    expect_at(&bed.at("a"), 0, &snapshot[..1024 * 1024])?;
    expect_at(&bed.at("a"), 2 * MIB, &pattern(2, 500_000))?;
    let file = open(&bed.at("a"))?;
    for number in 0..blocks {
        let at = MIB + number * BLOCK as u64;
        let mut found = vec![0; BLOCK];
        file.read_exact_at(&mut found, at)?;
        let start = usize::try_from(at)?;
        let old = found == snapshot[start..start + BLOCK];
        let new = found == block(number);
        let right = match number {
            // The one after the last acknowledged may have come before the merge or after it.
            _ if number < from => old,
            _ if number > to => new,
            _ => old || new,
        };
        ensure!(right, "block {number}: old {old}, new {new}");
    }
    // The old descriptor goes on.
    held.write_all_at(b"more", 3 * MIB)?;
    held.sync_all()?;
    expect_at(&bed.at("a"), 3 * MIB, b"more")?;
    ensure!(!bed.at("snap").exists(), "the snapshot is there");
    drop((held, file));
    bed.expect_names(&["a", "later"])?;
    bed.check()?;

    // The other snapshot is still one of this image, and can be merged as well, right after its
    // last user: the client tells of a close later than close(2) returns.
    let user = open(&bed.at("later"))?;
    user.write_all_at(&snapshot[..BLOCK], 0)?;
    user.sync_all()?;
    drop(user);
    merge(&bed.at("later"))?.ok()?;
    // ls(1) asks for no more of a name than the kernel may remember.
    cmd("ls", &[bed.at("later")])?.fails()?;
    wait_for("the size of the second merge", || {
        Ok(size_of(&bed.at("a"))? == 2 * MIB)
    })?;
    expect_at(&bed.at("a"), 0, &snapshot)?;
    bed.remount()?;
    expect_at(&bed.at("a"), 0, &snapshot)?;
    let listed = sh_in(&bed.images(), "ls")?.stdout;
    ensure!(listed == "a", "{listed}");
    bed.expect_names(&["a"])
}

/// What cannot be merged is refused, and nothing has changed.
pub(crate) fn that_are_refused(bed: &mut Bed<'_>) -> Result<()> {
    if bed.store.backing() != Backing::File {
        // None of it depends on the engine, whose own refusals are part of its contract.
        return Ok(());
    }
    fill(bed)?;
    let refused = |name: &str, said: &str| -> Result<()> {
        let output = merge(&bed.at(name))?;
        ensure!(output.code != 0 && output.stderr.contains(said), "{output}");
        Ok(())
    };
    refused("a", "Invalid argument")?;
    let held = open(&bed.at("snap"))?;
    // Only a read or write that reaches the brick opens it there.
    held.write_all_at(&pattern(1, 10), 0)?;
    held.sync_all()?;
    refused("snap", "busy")?;
    drop(held);
    // Some other user: may he read the snapshot and write the origin, he still may not remove it.
    for name in ["a", "snap"] {
        fs::set_permissions(bed.at(name), fs::Permissions::from_mode(0o666))?;
    }
    let nobody = |line: &str| {
        let snap = bed.at("snap");
        let words = "--reuid 65534 --regid 65534 --clear-groups setfattr -n";
        let words = format!("{words} {line} {}", snap.display());
        cmd("setpriv", &words.split(' ').collect::<Vec<_>>())
    };
    for line in ["merge -v 1", "glusterfs.bd.merge -v x"] {
        let output = nobody(line)?;
        let text = &output.stderr;
        let said = text.contains("denied") || text.contains("not permitted");
        ensure!(
            output.code != 0 && (said || line.contains("-v x")),
            "{output}"
        );
    }
    is_old(bed)?;
    bed.server().stop()?;
    let output = merge(&bed.at("snap"))?;
    ensure!(output.code != 0, "{output}");
    bed.start_server()?;
    wait_for("the images to be as they were", || Ok(is_old(bed).is_ok()))?;
    is_old(bed)?;
    // A closed snapshot may be seen as open for a moment.
    wait_for("a clean check", || Ok(bed.check().is_ok()))?;

    fs::remove_file(bed.at("a"))?;
    bed.expect_names(&["later", "snap"])?;
    let output = merge(&bed.at("snap"))?;
    ensure!(
        output.code != 0 && output.stderr.contains("Invalid argument"),
        "{output}"
    );
    expect_at(&bed.at("snap"), 0, &pattern(1, 2 * 1024 * 1024))
}

/// gluster-bdd dies in the middle, alone or together with the brick: the origin has all of the
/// snapshot's content, and the snapshot is gone; or both are what they were.
pub(crate) fn that_are_cut_off(bed: &mut Bed<'_>) -> Result<()> {
    let all = [
        ("merge.intended", false),
        ("merge.committed", false),
        ("merge.swapped", false),
        ("merge.intended", true),
        ("merge.committed", true),
        ("merge.swapped", true),
    ];
    // Restarts take long in the guest.
    let chosen: &[(&str, bool)] = match bed.store.backing() {
        Backing::File => &all,
        Backing::Thin | Backing::Thick => &all[4..=4],
    };
    for (point, brick_too) in chosen {
        cut_off(bed, point, *brick_too)
            .with_context(|| format!("at {point}, the brick too: {brick_too}"))?;
        bed.clear()?;
    }
    Ok(())
}

fn cut_off(bed: &mut Bed<'_>, point: &str, brick_too: bool) -> Result<()> {
    fill(bed)?;
    let held = open(&bed.at("a"))?;
    held.write_all_at(&pattern(3, 100), 0)?;
    held.sync_all()?;
    bed.server().stop()?;
    let dies = format!("GLUSTER_BDD_FAILPOINT={point}");
    let words = [dies.as_str(), "gluster-bdd"];
    let dying = bed
        .rig
        .daemon("gluster-bdd-dying", "env", &words, "gluster-bdd: ready")?;
    let output = merge(&bed.at("snap"))?;
    ensure!(output.code != 0, "{output}");
    wait_for("the server to reach its end", || Ok(!dying.running()?))?;
    if brick_too {
        bed.kill_brick()?;
    }
    bed.start_server()?;
    if brick_too {
        drop(held);
        bed.start_brick()?;
        bed.remount()?;
        bed.wait_online()?;
    }
    let expected = if point == "merge.intended" {
        is_old
    } else {
        is_merged
    };
    let mut last = Ok(());
    let settled = wait_for("the merge to be settled", || {
        last = expected(bed);
        Ok(last.is_ok())
    });
    if settled.is_err() {
        bail!("{last:?}");
    }
    wait_for("a clean check", || Ok(bed.check().is_ok()))
        .with_context(|| format!("{:?}", bed.check()))?;
    // All goes on.
    put(&bed.at("a"), 100, b"on")?;
    expect_at(&bed.at("a"), 100, b"on")
}
