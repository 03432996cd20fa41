//! The top image directory, whatever it is called.

use std::fs;
use std::io::Write;

use anyhow::{Result, ensure};
use loopdev::{Rig, cmd, wait_for};
use nix::libc;

use super::bricks::{self, Bricks, TOP};
use crate::images::tools::{pattern, sh_in};

fn restart(rig: &mut Rig, bricks: &Bricks) -> Result<()> {
    bricks.volume.stop()?;
    bricks.server(0).borrow().stop()?;
    bricks.server(0).replace(rig.bdd()?);
    bricks.volume.start()?;
    wait_for("the mount to find the brick again", || {
        Ok(fs::read_dir(&bricks.mount).is_ok())
    })
}

#[test]
fn keeps_its_identity() {
    bricks::on("top::keeps_its_identity", &[], 1, |rig, bricks| {
        let policy = |name: &str| {
            let path = bricks.mount.join(name).display().to_string();
            cmd(
                "getfattr",
                &["--only-values", "-n", "user.glusterfs.bd.dir", &path],
            )
        };
        let volumes = |names: &[&str]| {
            wait_for("the volumes to have these names", || {
                let has = |name: &&str| bricks.stores[0].join(name).exists();
                Ok(names.iter().all(has))
            })
        };
        sh_in(
            &bricks.mount,
            &format!("echo a >{TOP}/a; mv {TOP} machines; echo b >machines/b"),
        )?;
        volumes(&["a", "b"])?;
        restart(rig, bricks)?;
        // What has the old name now is a directory as any other.
        let told = sh_in(
            &bricks.mount,
            &format!("test ! -e {TOP}; cat machines/a; mkdir {TOP}; cat machines/b"),
        )?;
        ensure!(told.stdout.trim() == "a\nb", "{told}");
        policy(TOP)?.fails()?;
        sh_in(
            &bricks.mount,
            &format!("mv machines/a machines/c; echo d >machines/d; echo e >{TOP}/e"),
        )?;
        volumes(&["b", "c", "d"])?;
        ensure!(bricks.count()? == 3, "a plain file is an image");
        bricks.check()?;
        // An LV that is made by other means appears where the others are.
        fs::write(bricks.stores[0].join("foreign"), [0; 4096])?;
        wait_for("the file of a foreign volume", || {
            Ok(bricks.mount.join("machines/foreign").exists())
        })?;
        sh_in(&bricks.mount, &format!("rm -r {TOP}; rm machines/*"))?;
        let refused = fs::remove_dir(bricks.mount.join("machines"));
        ensure!(refused.is_err_and(|error| error.raw_os_error() == Some(libc::EBUSY)));
        sh_in(&bricks.mount, &format!("mv machines {TOP}"))?;
        policy(TOP)?.ok()?;
        Ok(())
    });
}

/// Volumes that were there before the brick serves are files before one of their names is taken.
#[test]
fn shows_what_was_there() {
    bricks::on("top::shows_what_was_there", &[], 1, |rig, bricks| {
        for round in 0..3 {
            bricks.volume.stop()?;
            let name = format!("early{round}");
            let bytes = pattern(round, 10_000);
            fs::write(bricks.stores[0].join(&name), &bytes)?;
            bricks.volume.start()?;
            let mount = rig.mount(&bricks.volume, &[])?;
            let path = mount.join(TOP).join(&name);
            let mut file = fs::File::options().append(true).create(true).open(&path)?;
            file.write_all(b"more")?;
            drop(file);
            ensure!(bricks.count()? == usize::try_from(round)? + 1);
            ensure!(fs::read(&path)?.starts_with(&bytes));
            rig.unmount(&mount)?;
        }
        wait_for(
            "the first mount",
            || Ok(fs::read_dir(&bricks.mount).is_ok()),
        )
    });
}
