//! The top image directory, whatever it is called.

use std::fs;
use std::io::Write;

use anyhow::{Result, ensure};
use loopdev::{Backing, Bed, Place, Rig, Store, alive, cmd, gluster_bd, run, wait_for};
use nix::libc;

use super::bricks::{self, Bricks, TOP};
use crate::images::restart::brick_log;
use crate::images::tools::{errno, pattern, sh_in};

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

/// A brick that starts before gluster-bdd waits for it, and lets nobody in before it has shown its volumes.
#[test]
fn waits_for_its_server() {
    run("native::top::waits_for_its_server", Place::Native, |rig| {
        let mut bed = rig.bed(Backing::File, 512)?;
        let host_check = || gluster_bd(&["check"]);
        let finding = |kind: &str| {
            let told = gluster_bd(&["check", "--json"])?.stdout;
            Ok::<_, anyhow::Error>(told.contains(&format!("{kind:?}")))
        };
        let bytes = pattern(1, 100_000);
        fs::write(bed.at("kept"), &bytes)?;
        let store = match &bed.store {
            Store::Folder(folder) => folder.clone(),
            Store::Pool(_) | Store::Group(_) => unreachable!("it is a folder"),
        };
        for by_boot in [false, true] {
            let lv = format!("early{by_boot}");
            match by_boot {
                false => bed.volume.stop()?,
                true => bed.kill_brick()?,
            }
            bed.server().stop()?;
            fs::write(store.join(&lv), &bytes)?;
            match by_boot {
                false => bed.volume.start()?,
                true => {
                    bed.restart_glusterd()?;
                    wait_for("the brick's process", || {
                        let pids = bed.volume.brick_pids()?;
                        Ok(pids.iter().any(|pid| alive(*pid)))
                    })?;
                }
            }
            let log = wait_for_log(&bed, "waits for gluster-bdd")?;
            ensure!(!log.contains("in.glusterfs-init failed"));
            for name in ["new", &lv] {
                let made = errno("create", fs::File::create_new(bed.at(name)))?;
                ensure!(made == libc::ENOTCONN, "{name}: {made}");
            }
            ensure!(fs::read_dir(bed.images()).is_err());
            bed.start_server()?;
            bed.wait_online()?;
            let made = errno("create", fs::File::create_new(bed.at(&lv)))?;
            ensure!(made == libc::EEXIST, "{lv}: {made}");
            ensure!(fs::read(bed.at(&lv))? == bytes && fs::read(bed.at("kept"))? == bytes);
            fs::write(bed.at("new"), "x")?;
            bed.expect_names(&match by_boot {
                false => vec!["earlyfalse", "kept", "new"],
                true => vec!["earlyfalse", "earlytrue", "kept", "new"],
            })?;
            fs::remove_file(bed.at("new"))?;
            wait_for("a clean check", || Ok(bed.check().is_ok()))?;
        }
        // `check` knows a brick that does not serve.
        ensure!(!finding("brick_down")?, "{}", host_check()?);
        bed.kill_brick()?;
        ensure!(finding("brick_down")?, "{}", host_check()?);
        // gluster-bdd comes, and does not take the brick.
        bed.server().stop()?;
        bed.start_brick()?;
        let own = bed.brick().join(".glusterfs/gluster-bd");
        let aside = own.with_extension("aside");
        fs::rename(&own, &aside)?;
        bed.start_server()?;
        wait_for("the refusal in check", || finding("brick_waits"))?;
        fs::rename(&aside, &own)?;
        bed.wait_online()?;
        ensure!(fs::read(bed.at("kept"))? == bytes);
        ensure!(!finding("brick_waits")? && !finding("brick_down")?);
        bed.clear()
    });
}

/// Waits for words in the brick's log, of its last start.
fn wait_for_log(bed: &Bed<'_>, words: &str) -> Result<String> {
    let mut last = String::new();
    wait_for(words, || {
        let log = fs::read_to_string(brick_log(bed)?)?;
        let start = log.rfind("Started running").unwrap_or_default();
        last = log[start..].to_owned();
        Ok(last.contains(words))
    })?;
    Ok(last)
}
