//! What a brick missed, and what heal makes of it: names, directories, link files, lost names.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use loopdev::{Rig, gluster_bd, sh, wait_for};

use super::bricks::{Bricks, TOP, on};
use crate::images::tools::{expect_head, open, pattern, sh_in};

/// The images of a brick by the names of their volumes, without the zeros at their ends.
type Held = BTreeMap<String, Vec<u8>>;

impl Bricks {
    fn held_by(&self, brick: usize) -> Result<Held> {
        let mut held = Held::new();
        for entry in fs::read_dir(&self.stores[brick])? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(".gluster-bd") {
                continue;
            }
            // It may go meanwhile.
            let Ok(mut bytes) = fs::read(entry.path()) else {
                continue;
            };
            let end = bytes.iter().rposition(|byte| *byte != 0);
            bytes.truncate(end.map_or(0, |end| end + 1));
            held.insert(name, bytes);
        }
        Ok(held)
    }

    /// Waits until the bricks of each replica have volumes of the same names and bytes.
    fn agree(&self, replicas: usize) -> Result<()> {
        let seen = RefCell::new(String::new());
        wait_for("the stores to agree", || {
            let mut told = String::new();
            let mut same = true;
            for first in (0..self.stores.len()).step_by(replicas) {
                let held: Vec<Held> = (first..first + replicas)
                    .map(|brick| self.held_by(brick))
                    .collect::<Result<_>>()?;
                same &= held.iter().all(|one| *one == held[0]);
                for (brick, held) in held.iter().enumerate() {
                    let names: Vec<_> = held.iter().map(|(n, b)| (n, b.len())).collect();
                    told += &format!("brick {}: {names:?}\n", first + brick);
                }
            }
            seen.replace(told);
            Ok(same)
        })
        .with_context(|| seen.take())
    }

    /// Runs a script in the image directory while a brick is away, lets it heal, and compares.
    fn misses(&self, rig: &Rig, brick: usize, script: &str) -> Result<()> {
        let pids = self.volume.brick_pids()?;
        rig.kill9(pids[brick])?;
        sh_in(&self.mount.join(TOP), script)?;
        self.volume.start()?;
        self.healed(rig)
    }

    fn names_of(&self, brick: usize) -> Result<Vec<String>> {
        Ok(self.held_by(brick)?.into_keys().collect())
    }

    /// Runs the server anew; with a point it dies when it comes there.
    fn restart_server(&self, rig: &mut Rig, point: &str) -> Result<()> {
        let before = self.server(0).borrow();
        if before.running()? {
            before.stop()?;
        }
        drop(before);
        let point = format!("GLUSTER_BDD_FAILPOINT={point}");
        let words = [point.as_str(), "gluster-bdd"];
        let server = rig.daemon("gluster-bdd", "env", &words, "gluster-bdd: ready")?;
        self.server(0).replace(server);
        Ok(())
    }

    /// What the check of a brick says.
    fn findings(&self, brick: usize) -> Result<String> {
        let dir = self.volume.bricks()[brick].display().to_string();
        Ok(gluster_bd(&["check", &dir])?.to_string())
    }
}

/// Names that were changed while a brick was away, in the top image directory and below.
const RENAMED: &str = "mv a b; mv over under; mv d/x d/z; mv d/y y; mv b d/b; mv d/b c; \
                       rm again; cp y again; mv g h; mv h/p h/q";

fn name_images(bricks: &Bricks) -> Result<()> {
    let top = bricks.mount.join(TOP);
    sh_in(&top, "mkdir d g")?;
    for (seed, name) in (0..).zip(["a", "over", "under", "d/x", "d/y", "again", "g/p", "g/r"]) {
        fs::write(top.join(name), pattern(seed, 50_000))?;
    }
    Ok(())
}

/// After [`RENAMED`]: every file has its bytes.
fn files_are_right(top: &Path) -> Result<()> {
    let names = ["c", "under", "d/z", "y", "again", "h/q", "h/r"];
    for (seed, name) in [0, 1, 3, 4, 4, 6, 7].into_iter().zip(names) {
        let bytes = pattern(seed, 50_000);
        expect_head(&top.join(name), 50_000, 50_000, &[(0, &bytes)])?;
    }
    Ok(())
}

/// After [`RENAMED`]: every file has its bytes, and a brick has volumes of the names in the top.
fn names_are_right(bricks: &Bricks) -> Result<()> {
    files_are_right(&bricks.mount.join(TOP))?;
    for brick in 0..bricks.stores.len() {
        let names = bricks.names_of(brick)?;
        for name in ["c", "under", "y", "again"] {
            ensure!(
                names.iter().any(|n| n == name),
                "no volume {name} on brick {brick}: {names:?}"
            );
        }
    }
    bricks.check()
}

#[test]
fn of_names() {
    on("heals::of_names", &["replica", "3"], 3, |rig, bricks| {
        let top = bricks.mount.join(TOP);
        name_images(bricks)?;
        let policy = "setfattr -n user.glusterfs.bd.dir -v thin,link=hardlink";
        sh_in(&top, &format!("mkdir links; {policy} links; cp a links/l"))?;
        bricks.misses(rig, 2, &format!("{RENAMED}; ln links/l links/m"))?;
        bricks.agree(3)?;
        names_are_right(bricks)?;
        sh_in(
            &top,
            "test links/l -ef links/m; cmp links/m c; rm -r d h links",
        )?;
        // A name there is one more name of an image; heal takes them with its next turns.
        wait_for("nothing in heal's own directory", || {
            rig.gluster(&["volume", "heal", bricks.volume.name()])?;
            let found = bricks.volume.bricks().iter().map(|brick| {
                sh(&format!(
                    "find {} -path '*/.glusterfs-anonymous-inode-*/*' -type f",
                    brick.display()
                ))
            });
            let found: Vec<_> = found.collect::<Result<_>>()?;
            Ok(found.iter().all(|found| found.stdout.is_empty()))
        })?;
        // Without a place to put it meanwhile, AFR takes an image's last name where it heals the old
        // directory before the new one, and a program may have the image open.
        bricks.volume.set("cluster.use-anonymous-inode", "no")?;
        sh_in(&top, "mkdir p; mv y p/y")?;
        let held = [open(&bricks.at("c"))?, open(&bricks.at("p/y"))?];
        let write = |bytes: &[u8], at: u64| -> Result<()> {
            for file in &held {
                file.write_all_at(bytes, at)?;
                file.sync_all()?;
            }
            Ok(())
        };
        write(b"first", 0)?;
        bricks.misses(rig, 2, "mv c p/c; mv p/y y")?;
        write(b"later", 100)?;
        bricks.healed(rig)?;
        drop(held);
        bricks.agree(3)?;
        for (seed, name) in [(0, "p/c"), (4, "y")] {
            let mut bytes = pattern(seed, 50_000);
            bytes[..5].copy_from_slice(b"first");
            bytes[100..105].copy_from_slice(b"later");
            expect_head(&bricks.at(name), 50_000, 50_000, &[(0, &bytes)])?;
        }
        sh_in(&top, "rm -r p")?;
        renamed_before_heal(rig, bricks, "cluster.self-heal-daemon")?;
        bricks.check()
    });
}

/// Waits until a mount reaches a brick.
pub(crate) fn connected(mount: &Path, bricks: &Bricks, brick: usize) -> Result<()> {
    let told = format!("{}-client-{brick}/private", bricks.volume.name());
    let told = mount.join(".meta/graphs/active").join(told);
    wait_for("the mount to reach the brick", || {
        let told = fs::read_to_string(&told)?.replace(' ', "");
        Ok(told.lines().any(|line| line == "connected=1"))
    })
}

/// The last brick, which is back, but not healed yet, has another file of a name that gets a new one in a
/// directory of which nothing was missed. AFR heals a name that is looked up: so the client has them in its
/// caches.
pub(crate) fn renamed_before_heal(rig: &mut Rig, bricks: &Bricks, heal: &str) -> Result<()> {
    let caches = ["--entry-timeout=600", "--attribute-timeout=600"];
    let mount = rig.mount(&bricks.volume, &caches)?;
    let top = mount.join(TOP);
    let made = "mkdir from to dir dir/x gone; echo 1 >gone/f; echo old >from/a; echo new >from/b; echo new >dir/f";
    sh_in(&top, made)?;
    bricks.healed(rig)?;
    bricks.volume.set(heal, "off")?;
    rig.kill9(bricks.volume.brick_pids()?[2])?;
    let changes = "rm gone/f; mv from/b from/a; mkdir from/d; rmdir dir/x; mv dir/f from/d; rmdir dir; mv from/d dir";
    sh_in(&top, changes)?;
    bricks.volume.start()?;
    connected(&mount, bricks, 2)?;
    // It cannot remove a directory in which it has a file still, which AFR takes for no failure.
    sh_in(&top, "mv from/a to/a; mv dir to/dir; rmdir gone")?;
    bricks.volume.set(heal, "on")?;
    bricks.healed(rig)?;
    let id = |brick: &Path, name: &str| {
        sh_in(
            &brick.join(TOP),
            &format!("getfattr -n trusted.gfid -e hex {name}"),
        )
    };
    let dirs = bricks.volume.bricks();
    for brick in dirs {
        let names = sh_in(
            &brick.join(TOP),
            "test ! -e dir; test ! -e gone; find from to | sort | xargs",
        )?;
        let names = names.stdout;
        ensure!(names == "from to to/a to/dir to/dir/f", "{names}");
        for name in ["to/a", "to/dir"] {
            let (one, other) = (id(&dirs[0], name)?.stdout, id(brick, name)?.stdout);
            ensure!(one == other, "{name}: {one} and {other}");
        }
    }
    rig.unmount(&mount)?;
    let top = bricks.mount.join(TOP);
    let found = sh_in(&top, "cat to/a to/dir/f; rm -r from to")?.stdout;
    ensure!(found == "new\nnew", "{found}");
    Ok(())
}

#[test]
fn of_dispersed_names() {
    let words = ["disperse", "3", "redundancy", "1"];
    on("heals::of_dispersed_names", &words, 3, |rig, bricks| {
        renamed_before_heal(rig, bricks, "cluster.disperse-self-heal-daemon")?;
        name_images(bricks)?;
        sh_in(&bricks.mount.join(TOP), "mkdir e; touch e/f e/g")?;
        bricks.misses(rig, 2, &format!("{RENAMED}; rm -r e"))?;
        let seen = RefCell::default();
        wait_for("the stores to have the same names", || {
            let names: Vec<_> = (0..3)
                .map(|brick| bricks.names_of(brick))
                .collect::<Result<_>>()?;
            let same = names.iter().all(|of_one| *of_one == names[0]);
            seen.replace(format!("{names:?}"));
            Ok(same)
        })
        .with_context(|| seen.take())?;
        names_are_right(bricks)?;
        // What was healed is enough, together with any one of the others.
        rig.kill9(bricks.volume.brick_pids()?[0])?;
        let mount = rig.mount(&bricks.volume, &[])?;
        files_are_right(&mount.join(TOP))?;
        rig.unmount(&mount)?;
        bricks.volume.start()?;
        bricks.healed(rig)?;
        sh_in(&bricks.mount.join(TOP), "rm -r d h")?;
        Ok(())
    });
}

#[test]
fn of_directories() {
    on(
        "heals::of_directories",
        &["replica", "3"],
        3,
        |rig, bricks| {
            let fill = "mkdir -p d/e/f; for n in 1 2 3; do touch d/$n; echo $n >d/e/$n; cp d/e/$n d/e/f; done";
            let top = bricks.mount.join(TOP);
            sh_in(&top, fill)?;
            bricks.misses(rig, 2, "rm -r d")?;
            bricks.agree(3)?;
            ensure!(bricks.names_of(2)?.is_empty());
            bricks.check()?;
            // The server dies in the middle of the removal, and then the brick.
            sh_in(&top, fill)?;
            rig.kill9(bricks.volume.brick_pids()?[2])?;
            sh_in(&top, "rm -r d")?;
            wait_for("the others to be empty", || {
                Ok(bricks.names_of(0)?.is_empty() && bricks.names_of(1)?.is_empty())
            })?;
            bricks.restart_server(rig, "remove.removed")?;
            bricks.volume.start()?;
            wait_for("the server to reach its end", || {
                rig.gluster(&["volume", "heal", bricks.volume.name()])?;
                Ok(!bricks.server(0).borrow().running()?)
            })?;
            rig.kill9(bricks.volume.brick_pids()?[2])?;
            bricks.restart_server(rig, "")?;
            bricks.volume.start()?;
            bricks.healed(rig)?;
            bricks.agree(3)
        },
    );
}

#[test]
fn of_link_files() {
    on(
        "heals::of_link_files",
        &["replica", "3"],
        6,
        |rig, bricks| {
            let top = bricks.mount.join(TOP);
            sh_in(&top, "for n in 1 2 3 4 5 6 7 8 9; do echo $n >a$n; done")?;
            let pids = bricks.volume.brick_pids()?;
            rig.kill9(pids[5])?;
            bricks.misses(rig, 2, "for n in 1 2 3 4 5 6 7 8 9; do mv a$n b$n; done")?;
            bricks.agree(3)?;
            let links = bricks.volume.bricks()[2].join(TOP);
            let links = sh_in(&links, "find . -perm 1000 | wc -l")?;
            ensure!(links.stdout.trim() != "0", "no link file");
            ensure!(bricks.names_of(2)?.len() + bricks.names_of(5)?.len() == 9);
            sh_in(&top, "for n in 1 2 3 4 5 6 7 8 9; do grep -q $n b$n; done")?;
            bricks.check()
        },
    );
}

/// A brick loses the file system of its names, but not its volumes, and gets the cure that the messages
/// name.
fn lose_names(rig: &Rig, bricks: &Bricks, brick: usize) -> Result<()> {
    let dir = bricks.volume.bricks()[brick].display().to_string();
    let store = bricks.stores[brick].display().to_string();
    let place = format!("{}:{dir}", rig.host()?);
    let volume = bricks.volume.name();
    let reset = ["volume", "reset-brick", volume, &place];
    rig.gluster(&[&reset[..], &["start"]].concat())?.ok()?;
    fs::remove_dir_all(&dir)?;
    fs::create_dir(&dir)?;
    let init = ["brick", "init", &dir, "--engine", "file", "--store", &store];
    let refused = gluster_bd(&init)?.fails()?;
    let cure = refused.stderr.split("run: ").nth(1).context("no cure")?;
    sh_in(&bricks.mount, cure.trim())?;
    gluster_bd(&init)?.ok()?;
    let commit = [place.as_str(), "commit", "force"];
    rig.gluster(&[&reset[..], &commit].concat())?.ok()?;
    bricks.volume.start()
}

/// A brick loses its names while it is away, and gets all back that the others have.
fn lost_names(rig: &mut Rig, bricks: &Bricks) -> Result<()> {
    // Heal comes when it is asked for.
    let volume = bricks.volume.name();
    rig.gluster(&["volume", "heal", volume, "disable"])?.ok()?;
    let (top, root) = (bricks.mount.join(TOP), &bricks.mount);
    sh_in(
        &top,
        "mkdir d; echo image >d/x; echo gone >d/gone; echo same >same; echo short >old",
    )?;
    fs::write(root.join("mapped"), pattern(2, 60_000))?;
    sh_in(root, "setfattr -n user.glusterfs.bd -v thin mapped")?;
    rig.kill9(bricks.volume.brick_pids()?[2])?;
    sh_in(
        &top,
        "rm d/gone; echo longer >>old; echo later >d/x; echo later >d/late",
    )?;
    lose_names(rig, bricks, 2)?;
    // A new mount that meets the brick as it is.
    let mount = rig.mount(&bricks.volume, &[])?;
    nothing_is_lost(&mount)?;
    rig.unmount(&mount)?;
    rig.gluster(&["volume", "heal", volume, "enable"])?.ok()?;
    rig.gluster(&["volume", "heal", volume, "full"])?.ok()?;
    let seen = RefCell::new(String::new());
    wait_for("all but the removed image to have their names", || {
        let left = left_over(bricks)?;
        seen.replace(format!("{left:?}"));
        Ok(left.len() == 1 && bricks.names_of(2)?.len() == bricks.names_of(0)?.len() + 1)
    })
    .with_context(|| seen.take())?;
    bricks.healed(rig)?;
    nothing_is_lost(&bricks.mount)?;
    let told = bricks.findings(2)?;
    ensure!(
        told.contains("waits for heal") && told.contains("user.bd.lost-names show"),
        "{told}"
    );
    Ok(())
}

/// Volumes that only the brick has which has lost its names.
fn left_over(bricks: &Bricks) -> Result<Vec<String>> {
    let (mut names, others) = (bricks.names_of(2)?, bricks.names_of(0)?);
    names.retain(|name| !others.contains(name));
    Ok(names)
}

fn nothing_is_lost(root: &Path) -> Result<()> {
    // First of all: to look for a name heals it.
    let mut listed = fs::read_dir(root.join(TOP))?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<Result<Vec<_>>>()?;
    listed.sort();
    ensure!(listed == ["d", "old", "same"], "{listed:?}");
    ensure!(!root.join(TOP).join("d/gone").exists());
    let wanted = [
        ("d/x", "later\n"),
        ("old", "short\nlonger\n"),
        ("same", "same\n"),
        ("d/late", "later\n"),
    ];
    for (name, bytes) in wanted {
        let read = fs::read_to_string(root.join(TOP).join(name))?;
        ensure!(read == bytes, "{name} holds {read:.80?}");
    }
    let bytes = pattern(2, 60_000);
    expect_head(&root.join("mapped"), 60_000, 60_000, &[(0, &bytes)])
}

#[test]
fn of_lost_names() {
    on(
        "heals::of_lost_names",
        &["replica", "3"],
        3,
        |rig, bricks| {
            // Directories are read from the brick in question, if it is thought to be good.
            bricks.volume.set("cluster.read-subvolume-index", "2")?;
            bricks.volume.set("cluster.choose-local", "off")?;
            lost_names(rig, bricks)?;
            let mut held = bricks.held_by(2)?;
            let left = left_over(bricks)?.concat();
            held.remove(&left);
            ensure!(held == bricks.held_by(0)?);
            // An admin who wants to see what is left does.
            bricks.volume.set("user.bd.lost-names", "show")?;
            rig.kill9(bricks.volume.brick_pids()?[2])?;
            bricks.volume.start()?;
            wait_for("the removed image to be shown", || {
                let read = fs::read_to_string(bricks.at(&left));
                Ok(read.is_ok_and(|read| read.starts_with("gone")))
            })?;
            bricks.healed(rig)?;
            bricks.agree(3)?;
            sh_in(&bricks.mount, "rm -r mapped images/d")?;
            Ok(())
        },
    );
}

#[test]
fn of_lost_fragments() {
    let words = ["disperse", "3", "redundancy", "1"];
    on("heals::of_lost_fragments", &words, 3, |rig, bricks| {
        lost_names(rig, bricks)?;
        // What was healed is enough, together with any one of the others.
        rig.kill9(bricks.volume.brick_pids()?[0])?;
        let mount = rig.mount(&bricks.volume, &[])?;
        nothing_is_lost(&mount)?;
        rig.unmount(&mount)?;
        bricks.volume.start()?;
        bricks.healed(rig)?;
        fs::remove_file(bricks.stores[2].join(left_over(bricks)?.concat()))?;
        sh_in(&bricks.mount, "rm -r mapped images/d")?;
        Ok(())
    });
}

#[test]
fn of_namesakes() {
    on("heals::of_namesakes", &["replica", "3"], 3, |_, bricks| {
        // Volumes of one name, made by other means on each host.
        for (seed, store) in (0..).zip(&bricks.stores) {
            fs::write(store.join("same"), pattern(seed, 4096))?;
        }
        wait_for("the check to tell of them", || {
            let told = (0..3).map(|brick| bricks.findings(brick));
            Ok(told
                .collect::<Result<Vec<_>>>()?
                .iter()
                .all(|told| told.contains("not shown as a file")))
        })?;
        ensure!(fs::read_dir(bricks.mount.join(TOP))?.next().is_none());
        // The name is free, and its image is the same everywhere.
        fs::write(bricks.at("same"), "file")?;
        ensure!(fs::read_to_string(bricks.at("same"))? == "file");
        for store in &bricks.stores {
            fs::remove_file(store.join("same"))?;
        }
        bricks.check()
    });
}

#[test]
fn of_moved_files() {
    on("heals::of_moved_files", &[], 2, |rig, bricks| {
        let top = bricks.mount.join(TOP);
        sh_in(
            &top,
            "for n in 1 2 3 4 5 6 7 8 9; do echo $n >a$n; mv a$n b$n; done",
        )?;
        let before = bricks.names_of(0)?;
        let volume = bricks.volume.name();
        rig.gluster(&["volume", "rebalance", volume, "start", "force"])?
            .ok()?;
        wait_for("the rebalance", || {
            let status = rig.gluster(&["volume", "rebalance", volume, "status"])?;
            Ok(status.stdout.contains("completed"))
        })?;
        ensure!(bricks.names_of(0)? != before, "nothing was moved");
        let seen = RefCell::new(Vec::new());
        wait_for("volumes named as their files", || {
            let mut names = [bricks.names_of(0)?, bricks.names_of(1)?].concat();
            names.sort();
            seen.replace(names.clone());
            Ok(names == (1..=9).map(|n| format!("b{n}")).collect::<Vec<_>>())
        })
        .with_context(|| format!("{:?}", seen.take()))?;
        bricks.check()
    });
}

/// A stub that has lost its gfid and the handle of it gets them back by heal, as a file of a stock brick.
fn stub_without_gfid(rig: &Rig, bricks: &Bricks) -> Result<()> {
    let name = bricks.volume.name();
    let heal = |word: &str| rig.gluster(&["volume", "heal", name, word])?.ok();
    heal("disable")?;
    sh_in(
        &bricks.mount.join(TOP),
        "mkdir lost; echo bytes > lost/file",
    )?;
    let dirs = bricks.volume.bricks();
    let gfid = |path: &str| {
        let asked = "getfattr --absolute-names --only-values -n glusterfs.gfid.string";
        sh(&format!("{asked} '{}'", bricks.at(path).display()))
    };
    let (file, dir) = (gfid("lost/file")?.stdout, gfid("lost")?.stdout);
    let handle = dirs[0].join(format!(".glusterfs/{}/{}/{file}", &file[..2], &file[2..4]));
    // Each brick blames another one, so that all names below are looked at.
    for (blaming, blamed) in [(2, 0), (0, 1), (0, 2)] {
        let mark = format!("trusted.afr.{name}-client-{blamed}");
        let path = dirs[blaming].join(TOP).join("lost");
        sh(&format!(
            "setfattr -n {mark} -v 0x000000010000000000000001 '{}'",
            path.display()
        ))?;
    }
    let index = dirs[0].join(".glusterfs/indices/xattrop");
    sh_in(&index, &format!("touch {dir}"))?;
    let stub = dirs[0].join(TOP).join("lost/file");
    sh(&format!(
        "setfattr -x trusted.gfid '{}'; rm '{}'",
        stub.display(),
        handle.display()
    ))?;
    heal("enable")?;
    bricks.healed(rig)?;
    sh(&format!(
        "getfattr -n trusted.gfid '{}'; stat '{}'",
        stub.display(),
        handle.display()
    ))?;
    ensure!(fs::read_to_string(bricks.at("lost/file"))? == "bytes\n");
    bricks.agree(3)?;
    sh_in(&bricks.mount.join(TOP), "rm -r lost").map(drop)
}

#[test]
fn of_stubs_without_gfid() {
    on(
        "of_stubs_without_gfid",
        &["replica", "3"],
        3,
        |rig, bricks| stub_without_gfid(rig, bricks),
    );
}
