//! Images that are larger than what the file systems of names have left.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use loopdev::{Backing, Place, Rig, gluster_bd, run, sh, wait_for};
use nix::libc;

use super::bricks::{TOP, ended, on_disks};
use super::rebalance;
use crate::images::tools::{MIB, expect_head, meta, pattern, put, sh_in};

/// Bytes of an image that the names' file systems have no room for.
const LARGE: usize = 100 << 20;

/// A disk for names that has about 60 MiB left, and one for images.
fn disks(rig: &mut Rig, number: usize) -> Result<(PathBuf, PathBuf)> {
    let names = rig.filesystem(&format!("names{number}"), 320)?;
    let ballast = names.join("ballast");
    sh(&format!(
        "free=$(df --output=avail -B1 '{0}' | tail -1); fallocate -l $((free - {1})) '{2}'",
        names.display(),
        60 * MIB,
        ballast.display()
    ))?;
    let images = rig.filesystem(&format!("images{number}"), 512)?;
    Ok((names, images))
}

#[test]
fn is_not_needed_to_rebalance() {
    on_disks(
        "room::is_not_needed_to_rebalance",
        &[],
        2,
        disks,
        |rig, bricks| {
            const SPARSE: u64 = 1 << 30;
            let (full, late) = (pattern(1, LARGE), pattern(2, 5000));
            fs::write(bricks.at("full"), &full)?;
            sh_in(
                &bricks.mount.join(TOP),
                &format!("truncate -s {SPARSE} sparse"),
            )?;
            put(&bricks.at("sparse"), SPARSE - 9000, &late)?;
            let misplace =
                |name| rebalance::misplace(&bricks.volume, &bricks.mount.join(TOP), name);
            let (of_full, of_sparse) = (misplace("full")?, misplace("sparse")?);
            let words = [
                "volume",
                "rebalance",
                bricks.volume.name(),
                "start",
                "force",
            ];
            rig.gluster(&words)?.ok()?;
            ended(rig, &bricks.volume)?;
            for name in [&of_full, &of_sparse] {
                let bricks = bricks.volume.bricks().iter();
                let there = bricks.filter(|brick| brick.join(TOP).join(name).exists());
                ensure!(there.count() == 1, "{name} has not moved");
            }
            let pieces: [(u64, &[u8]); 1] = [(0, &full)];
            expect_head(&bricks.at(&of_full), LARGE as u64, LARGE as u64, &pieces)?;
            let sparse = bricks.at(&of_sparse);
            expect_head(&sparse, SPARSE, SPARSE, &[(SPARSE - 9000, &late)])?;
            let blocks = meta(&sparse)?.blocks();
            ensure!(blocks * 512 < MIB, "{blocks} blocks of a sparse image");
            Ok(())
        },
    );
}

#[test]
fn is_not_needed_to_heal() {
    let words = ["replica", "3"];
    on_disks(
        "room::is_not_needed_to_heal",
        &words,
        3,
        disks,
        |rig, bricks| {
            let pids = bricks.volume.brick_pids()?;
            let image = "user.glusterfs.bd -v thin";
            sh_in(&bricks.mount, "mkdir other; touch other/old")?;
            rig.kill9(*pids.last().context("no brick")?)?;
            sh_in(
                &bricks.mount,
                &format!(
                    "touch other/new; setfattr -n {image} other/old; setfattr -n {image} other/new"
                ),
            )?;
            let full = pattern(1, LARGE);
            for name in ["old", "new"] {
                fs::write(bricks.mount.join("other").join(name), &full)?;
            }
            fs::write(bricks.mount.join("other/plain"), &full[..5000])?;
            bricks.volume.start()?;
            bricks.healed(rig)?;
            for store in &bricks.stores {
                let mut held = 0;
                for file in fs::read_dir(store)? {
                    let file = file?.path();
                    if file.is_file() && fs::metadata(&file)?.size() >= LARGE as u64 {
                        ensure!(fs::read(&file)?[..LARGE] == full, "{}", file.display());
                        held += 1;
                    }
                }
                ensure!(held == 2, "{} has {held} images", store.display());
            }
            sh_in(&bricks.mount, "rm -r other").map(drop)
        },
    );
}

/// The bytes that statfs calls free.
fn free_at(path: &Path) -> Result<u64> {
    let told = sh(&format!("stat -f -c '%S %a' '{}'", path.display()))?.stdout;
    let (unit, blocks) = told.trim().split_once(' ').context("two numbers")?;
    Ok(unit.parse::<u64>()? * blocks.parse::<u64>()?)
}

/// A full file system of the names: nothing is made, and everything can be removed.
#[test]
fn is_kept_for_removals() {
    on_disks("room::is_kept_for_removals", &[], 1, disks, |_, bricks| {
        let top = bricks.mount.join(TOP);
        let brick = bricks.volume.bricks()[0].display().to_string();
        let found = |code: i32| {
            let told = gluster_bd(&["check", &brick, "--json"])?;
            ensure!(told.code == code, "{told}");
            let kinds = ["names_full", "large_file"];
            Ok(kinds.map(|kind| told.stdout.contains(kind)))
        };
        // Each tells the truth of itself.
        let (plain, images) = (free_at(&bricks.mount)?, free_at(&top)?);
        ensure!(plain < 65 * MIB, "{plain} bytes free for plain files");
        ensure!(images > 400 * MIB, "{images} bytes free for images");
        ensure!(found(0)? == [false, false]);
        sh_in(&bricks.mount, "head -c 40M /dev/zero >disk.qcow2; sync")?;
        ensure!(found(0)? == [false, true]);
        let told = gluster_bd(&["check", &brick])?.stdout;
        ensure!(told.contains("note: /disk.qcow2 is a plain file"), "{told}");
        sh_in(&bricks.mount, "rm disk.qcow2")?;
        sh_in(&top, "for n in 1 2 3 4 5 6 7 8 9; do echo $n >i$n; done")?;
        let names = bricks.volume.bricks()[0].clone();
        let names = names.parent().context("no file system")?;
        // To the last block.
        sh_in(
            names,
            "rm ballast; fill() { dd if=/dev/zero of=$1 bs=$2 status=none || true; }; \
                      fill full 1M; fill fuller 4k",
        )?;
        let refused = fs::write(top.join("new"), "bytes");
        let refused = refused.expect_err("an image was made").raw_os_error();
        ensure!(refused == Some(libc::ENOSPC), "{refused:?}");
        ensure!(bricks.count()? == 9);
        ensure!(found(1)? == [true, false]);
        let (plain, images) = (free_at(&bricks.mount)?, free_at(&top)?);
        ensure!(plain < MIB && images > 400 * MIB, "{plain}, {images}");
        ensure!(free_at(&top.join("i1"))? > 400 * MIB);
        sh_in(&top, "for n in 1 2 3 4 5; do rm i$n; done; mv i6 i7")?;
        wait_for("the volumes to go", || Ok(bricks.count()? == 3))?;
        sh_in(names, "rm full fuller")?;
        // XFS frees blocks a moment later.
        wait_for("room", || Ok(fs::write(top.join("new"), "new").is_ok()))?;
        sh_in(&top, "test $(cat i7) = 6; rm new")?;
        Ok(())
    });
}

/// As above where what is left are blocks, and no inodes.
#[test]
fn of_inodes_is_kept_for_removals() {
    let name = "native::room::of_inodes_is_kept_for_removals";
    run(name, Place::Native, |rig| {
        let device = rig.loop_device("names", 256)?;
        sh(&format!("mkfs.ext4 -q -F -N 2000 {}", device.display()))?;
        let names = rig.mounted("brick", &device)?;
        let store = rig.store("images", Backing::File, 512)?;
        let bed = rig.bed_at(store, &names)?;
        let brick = bed.brick().display().to_string();
        let images = bed.images();
        sh_in(&images, "for n in $(seq 40); do echo $n >i$n; done")?;
        bed.check()?;
        sh_in(
            &names,
            "n=0; while touch full$n 2>/dev/null; do n=$((n + 1)); done",
        )?;
        let refused = fs::write(bed.at("new"), "bytes").expect_err("an image was made");
        ensure!(refused.raw_os_error() == Some(libc::ENOSPC), "{refused}");
        let told = gluster_bd(&["check", &brick])?;
        ensure!(
            told.code == 1 && told.stdout.contains(" inodes left"),
            "{told}"
        );
        let said = bed.server().said();
        ensure!(said.contains("has no inodes left, where"), "{said}");
        sh_in(&images, "seq 30 | xargs -P 8 -I {} rm i{}; mv i31 i32")?;
        wait_for("the volumes to go", || Ok(bed.store.names()?.len() == 9))?;
        sh_in(&names, "rm full*")?;
        wait_for("room", || Ok(fs::write(bed.at("new"), "new").is_ok()))?;
        sh_in(&images, "test $(cat i32) = 31")?;
        bed.check()
    });
}
