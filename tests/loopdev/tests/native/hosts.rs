//! Volumes each of whose bricks is on a host of its own, with its own gluster-bdd.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use loopdev::{Place, Rig, cmd, run, wait_for};

use super::bricks::{Bricks, Servers, TOP, emptied, make, replicas_agree};
use super::heals::connected;
use crate::images::tools::{expect_head, pattern, sh_in};
use crate::storms::faults::{lose_all, put_in_again};

pub(crate) fn on_hosts(
    name: &str,
    words: &[&str],
    body: impl FnOnce(&mut Rig, &Bricks) -> Result<()>,
) {
    let disks = |rig: &mut Rig, number| {
        let disk = rig.filesystem(&format!("disk{number}"), 512)?;
        Ok((disk.clone(), disk))
    };
    run(&format!("native::hosts::{name}"), Place::Native, |rig| {
        let bricks = make(rig, words, 3, Servers::Each, &[], disks)?;
        body(rig, &bricks)?;
        emptied(rig, &bricks)
    });
}

/// Copies that one host cannot make are blamed on it, and healed.
fn copies_that_one_missed(rig: &mut Rig, bricks: &Bricks) -> Result<()> {
    let bytes = pattern(1, 100_000);
    std::fs::write(bricks.at("a"), &bytes)?;
    bricks.server(2).borrow().kill9()?;
    sh_in(
        &bricks.mount.join(TOP),
        "mkdir d; ln a b; ln -s a s; ln a d/b",
    )?;
    let server = bricks.host(2).start(rig)?;
    bricks.server(2).replace(server);
    let info = rig.gluster(&["volume", "heal", bricks.volume.name(), "info"])?;
    ensure!(info.stdout.contains("/d/b"), "{info}");
    bricks.healed(rig)?;
    for name in ["b", "s", "d/b"] {
        let held = bricks.held(name)?;
        ensure!(held.len() == 3, "{} bricks hold {name}", held.len());
        expect_head(&bricks.at(name), 100_000, 100_000, &[(0, &bytes)])?;
    }
    bricks.check()
}

/// Directories that one host cannot empty go there, too.
fn directories_that_one_kept(rig: &mut Rig, bricks: &Bricks) -> Result<()> {
    let top = bricks.mount.join(TOP);
    sh_in(&top, "mkdir -p k/e; echo 1 >k/f; echo 2 >k/e/f")?;
    bricks.healed(rig)?;
    // It can write no intent.
    let intents = bricks.volume.bricks()[2].join(".glusterfs/gluster-bd/intents");
    let allow = |sign: &str| {
        cmd(
            "chattr",
            &[&format!("{sign}i"), &intents.display().to_string()],
        )
    };
    allow("+")?.ok()?;
    let removed = sh_in(&top, "rm -r k");
    allow("-")?.ok()?;
    removed?;
    ensure!(
        bricks.volume.bricks()[2].join(TOP).join("k").exists(),
        "nothing was kept"
    );
    bricks.healed(rig)?;
    let kept = bricks.volume.bricks()[2].join(TOP).join("k");
    ensure!(!kept.exists(), "{} is still there", kept.display());
    wait_for("the volumes to go", || Ok(bricks.count()? == 0))?;
    bricks.check()
}

/// Where the answer of several bricks does not say that a file is an image, but one of them knows it, a
/// link of it is refused: it would be one to the image itself.
fn links_of_what_one_does_not_know(rig: &mut Rig, bricks: &Bricks) -> Result<()> {
    std::fs::write(bricks.at("a"), pattern(1, 100_000))?;
    bricks.healed(rig)?;
    let stubs = || {
        let dirs = bricks.volume.bricks().iter().take(2);
        dirs.map(|dir| dir.join(TOP).join("a"))
    };
    for stub in stubs() {
        rustix::fs::removexattr(&stub, "user.glusterfs.bd")?;
    }
    let other = rig.mount(&bricks.volume, &[])?.join(TOP);
    // Where the one that knows it answers, the others refuse to make the file of the copy, and heal sees to
    // what that one has made.
    sh_in(
        &other,
        "no ln a b; no ln -s a s; test ! -L s; no test a -ef b",
    )?;
    for stub in stubs() {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(&stub, "user.glusterfs.bd", b"thin", flags)?;
    }
    bricks.healed(rig)?;
    sh_in(
        &other,
        "rm -f b s; ln -s a s; ln -s nothing n; test -L n; rm n; cmp a s",
    )?;
    rig.unmount(other.parent().context("a root")?)
}

#[test]
fn miss_removals() {
    on_hosts("miss_removals", &["replica", "3"], |rig, bricks| {
        links_of_what_one_does_not_know(rig, bricks)?;
        sh_in(&bricks.mount.join(TOP), "rm a s")?;
        wait_for("the stores to be empty", || Ok(bricks.count()? == 0))?;
        directories_that_one_kept(rig, bricks)
    });
}

#[test]
fn miss_copies() {
    on_hosts("miss_copies", &["replica", "3"], |rig, bricks| {
        copies_that_one_missed(rig, bricks)?;
        sh_in(&bricks.mount.join(TOP), "rm -r d")?;
        replicas_agree(bricks, 3)
    });
    let words = ["disperse", "3", "redundancy", "1"];
    on_hosts("miss_copies_dispersed", &words, |rig, bricks| {
        copies_that_one_missed(rig, bricks)?;
        // What was healed is enough, together with any one of the others.
        let mount = rig.mount_without(&bricks.volume, 0)?;
        for name in ["b", "s", "d/b"] {
            let path = mount.join(TOP).join(name);
            expect_head(&path, 100_000, 100_000, &[(0, &pattern(1, 100_000))])?;
        }
        rig.unmount(&mount)?;
        sh_in(&bricks.mount.join(TOP), "rm -r d")?;
        wait_for("the removal", || Ok(bricks.count()? == 9))
    });
}

/// Names of images on a brick.
fn images_on(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir.join(TOP))? {
        let entry = entry?;
        // Link files of DHT have no size.
        if entry.metadata()?.len() > 0 {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    ensure!(names.len() >= 4, "{} has {names:?}", dir.display());
    Ok(names)
}

/// Names go, and files are replaced, where no gluster-bdd runs; it removes the volumes when it is back. DHT
/// removes what a rename has replaced when all else is done, and leaves two files of one name if it
/// cannot.
#[test]
fn lose_names_without_a_server() {
    on_hosts("lose_names_without_a_server", &[], |rig, bricks| {
        for number in 0..40 {
            fs::write(
                bricks.at(&format!("f{number}")),
                format!("bytes of {number}"),
            )?;
        }
        let [near, far, away] = [0, 1, 2].map(|brick| images_on(&bricks.volume.bricks()[brick]));
        let (near, far, away) = (near?, far?, away?);
        let bytes = |name: &String| format!("bytes of {}", &name[1..]);
        let renames = [
            (&near[0], &away[0]),
            (&away[1], &far[0]),
            (&away[2], &away[3]),
        ];
        let restarts: [fn(&mut Rig, &Bricks) -> Result<()>; 2] = [
            |_, _| Ok(()),
            // What the brick's process knew is lost.
            |rig, bricks| rig.kill9(bricks.volume.brick_pids()?[2]),
        ];
        let mut left = 40;
        for (restart, renames) in restarts.iter().zip([&renames[..2], &renames[2..]]) {
            bricks.server(2).borrow().kill9()?;
            for (from, to) in renames {
                fs::rename(bricks.at(from), bricks.at(to))
                    .with_context(|| format!("{from} to {to}"))?;
                left -= 1;
            }
            let removed = images_on(&bricks.volume.bricks()[2])?;
            let removed = removed
                .iter()
                .rfind(|name| !renames.iter().any(|(_, to)| to == name));
            fs::remove_file(bricks.at(removed.context("no file is left")?))?;
            left -= 1;
            restart(rig, bricks)?;
            let server = bricks.host(2).start(rig)?;
            bricks.server(2).replace(server);
            bricks.volume.start()?;
            wait_for("the volumes to go", || Ok(bricks.count()? == left))?;
            bricks.check()?;
            let fresh = rig.mount(&bricks.volume, &[])?;
            for (from, to) in renames {
                let found = fs::read_to_string(fresh.join(TOP).join(to))?;
                ensure!(found == bytes(from), "{to} has {found:?}");
                ensure!(
                    !fresh.join(TOP).join(from).exists(),
                    "{from} is still there"
                );
            }
            rig.unmount(&fresh)?;
        }
        wait_for("the mount to reach all bricks", || {
            Ok(fs::read_dir(bricks.mount.join(TOP))?.count() == left)
        })
    });
}

/// A brick that is put in again makes the top directory itself, also where names come there before heal does, and
/// gets all that the others have without `heal full`, as on a stock volume. EC heals attributes of a directory
/// only where two bricks agree: after one brick another can be replaced.
#[test]
fn are_replaced() {
    let words = ["disperse", "3", "redundancy", "1"];
    on_hosts("are_replaced", &words, |rig, bricks| {
        let times = |brick: usize| {
            let top = bricks.volume.bricks()[brick].join(TOP);
            let told = sh_in(
                &top,
                "shopt -s nullglob; getfattr -n trusted.glusterfs.mdata -e hex . d*",
            )?;
            Ok::<_, anyhow::Error>(told.stdout)
        };
        let agree = || {
            let all = [times(0)?, times(1)?, times(2)?];
            ensure!(all.iter().all(|one| *one == all[0]), "{all:?}");
            Ok(())
        };
        agree().context("times of the top directory before the first name")?;
        fs::write(bricks.at("a"), pattern(1, 50_000))?;
        fs::create_dir(bricks.at("d"))?;
        for brick in [0, 1] {
            lose_all(rig, bricks, brick)?;
            put_in_again(rig, bricks, brick)?;
            connected(&bricks.mount, bricks, brick)?;
            if brick == 1 {
                fs::write(bricks.at("new"), "new")?;
            }
            wait_for("the image to come by heal", || {
                rig.gluster(&["volume", "heal", bricks.volume.name()])?;
                Ok(bricks.stores[brick].join("a").exists())
            })?;
            bricks.healed(rig)?;
            agree().with_context(|| format!("times after brick {brick} was replaced"))?;
        }
        let mount = rig.mount_without(&bricks.volume, 2)?;
        let top = mount.join(TOP);
        expect_head(&top.join("a"), 50_000, 50_000, &[(0, &pattern(1, 50_000))])?;
        let found = sh_in(&top, "cat new")?.stdout;
        ensure!(found == "new", "{found}");
        rig.unmount(&mount)?;
        Ok(fs::remove_dir(bricks.at("d"))?)
    });
}
