//! Restarts of each server, and images without the storage server.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};
use loopdev::{Bed, wait_for};

use super::tools::{errno, expect_at, meta, open, pattern, put, sh_in, size_of};

/// A few images of all kinds, and a directory of them.
fn fill(bed: &Bed<'_>) -> Result<()> {
    fs::write(bed.at("a"), pattern(1, 1_234_567))?;
    sh_in(
        &bed.images(),
        "ln a clone; ln -s a snap; mkdir dir; cp a dir/inner; touch empty",
    )?;
    put(&bed.at("clone"), 5000, &pattern(2, 5000))?;
    put(&bed.at("snap"), 5000, &pattern(3, 5000))?;
    Ok(())
}

/// All of [`fill`] is there, byte for byte.
fn expect(bed: &Bed<'_>) -> Result<()> {
    let whole = pattern(1, 1_234_567);
    for (name, seed) in [
        ("a", None),
        ("clone", Some(2)),
        ("snap", Some(3)),
        ("dir/inner", None),
    ] {
        let mut bytes = whole.clone();
        if let Some(seed) = seed {
            bytes[5000..10_000].copy_from_slice(&pattern(seed, 5000));
        }
        ensure!(size_of(&bed.at(name))? == 1_234_567, "size of {name}");
        expect_at(&bed.at(name), 0, &bytes)?;
    }
    ensure!(size_of(&bed.at("empty"))? == 0);
    ensure!(bed.store.names()?.len() == 5, "{:?}", bed.store.names()?);
    Ok(())
}

pub(crate) fn of_every_server(bed: &mut Bed<'_>) -> Result<()> {
    fill(bed)?;
    expect(bed)?;
    bed.volume.stop()?;
    bed.volume.start()?;
    bed.remount()?;
    expect(bed)?;
    bed.check()?;

    bed.restart_server()?;
    expect(bed)?;
    // The brick finds the new server by itself.
    fs::write(bed.at("later"), "x")?;
    fs::remove_file(bed.at("later"))?;
    // The removal goes on after `rm` has ended.
    wait_for("a clean check", || Ok(bed.check().is_ok()))?;

    bed.restart_glusterd()?;
    expect(bed)?;
    bed.remount()?;
    expect(bed)
}

pub(crate) fn without_the_server_open_images_go_on(bed: &mut Bed<'_>) -> Result<()> {
    fs::write(bed.at("a"), pattern(1, 200_000))?;
    fs::write(bed.at("y"), "removed by a rename")?;
    fs::write(bed.at("z"), "removed")?;
    let names = bed.store.names()?;
    let held = open(&bed.at("a"))?;
    // Only now does open-behind open it on the brick.
    held.write_all_at(&pattern(1, 100), 0)?;
    held.sync_all()?;

    bed.server().kill9()?;
    held.write_all_at(&pattern(2, 10_000), 50_000)
        .context("writing to an open image")?;
    held.sync_all().context("syncing an open image")?;
    let mut found = vec![0; 10_000];
    held.read_exact_at(&mut found, 50_000)
        .context("reading an open image")?;
    ensure!(
        found == pattern(2, 10_000),
        "an open image reads other bytes"
    );
    ensure!(size_of(&bed.at("a"))? == 200_000);

    // What needs LVM fails and leaves nothing.
    let code = errno("create", fs::File::create_new(bed.at("b")))?;
    ensure!(code == nix::libc::EHOSTDOWN, "create: errno {code}");
    ensure!(errno("ln", fs::hard_link(bed.at("a"), bed.at("c")))? == nix::libc::EHOSTDOWN);
    ensure!(errno("ln -s", std::os::unix::fs::symlink("a", bed.at("d")))? == nix::libc::EHOSTDOWN);
    // A name can go; its LV waits.
    fs::rename(bed.at("z"), bed.at("y"))?;
    fs::remove_file(bed.at("y"))?;
    let message = sh_in(&bed.images(), "touch b 2>&1 || true")?.stdout;
    println!("touch without gluster-bdd says: {message}");
    let listed = sh_in(&bed.images(), "ls")?.stdout;
    ensure!(listed == "a", "left behind: {listed}");
    ensure!(bed.store.names()? == names, "{:?}", bed.store.names()?);
    let log = fs::read_to_string(brick_log(bed)?)?;
    ensure!(
        log.contains("gluster-bdd"),
        "the brick's log does not name gluster-bdd"
    );

    bed.start_server()?;
    held.write_all_at(b"more", 300_000)?;
    held.sync_all()?;
    drop(held);
    let mut file = fs::File::create_new(bed.at("b"))?;
    file.write_all(b"bytes")?;
    drop(file);
    sh_in(&bed.images(), "ln a c; ln -s a d")?;
    for name in ["a", "c", "d"] {
        expect_at(&bed.at(name), 50_000, &pattern(2, 10_000))?;
        expect_at(&bed.at(name), 300_000, b"more")?;
    }
    ensure!(meta(&bed.at("d"))?.is_file());
    bed.expect_names(&["a", "b", "c", "d"])?;
    bed.check()
}

pub(crate) fn brick_log(bed: &Bed<'_>) -> Result<String> {
    let name = bed
        .brick()
        .to_string_lossy()
        .trim_start_matches('/')
        .replace('/', "-");
    Ok(format!("/var/log/glusterfs/bricks/{name}.log"))
}
