//! Images on volumes of several bricks: replicated, dispersed, distributed.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use loopdev::{Rig, cmd, gluster_bd, sh, wait_for};

use super::bricks::{Bricks, TOP, findings, on, replicas_agree, wait_for_size, xdata_is_known};
use super::heals::renamed_before_heal;
use crate::images::tools::{MIB, expect_at, expect_head, open, pattern, put, sh_in, size_of};

/// Several images with several copies each: made, changed, renamed and removed.
fn life(rig: &mut Rig, bricks: &Bricks) -> Result<()> {
    const AT: u64 = 3 * MIB + 777;
    const SIZE: u64 = 8 * MIB;
    let other = rig.mount(&bricks.volume, &[])?;
    let expect = |path: &Path, bytes: &[u8]| expect_head(path, SIZE, SIZE, &[(AT, bytes)]);
    for seed in 0..4 {
        let first = pattern(seed, 70_000);
        let name = |kind: &str| format!("{kind}{seed}");
        sh_in(
            &bricks.mount.join(TOP),
            &format!("touch a{seed}; truncate -s {SIZE} a{seed}"),
        )?;
        put(&bricks.at(&name("a")), AT, &first)?;
        sh_in(
            &bricks.mount.join(TOP),
            &format!(
                "ln a{seed} b{seed}; ln -s a{seed} s{seed}; cmp a{seed} b{seed}; cmp a{seed} s{seed}"
            ),
        )?;
        let (in_b, in_s) = (pattern(seed + 10, 9000), pattern(seed + 20, 9000));
        put(&bricks.at(&name("b")), AT + 500, &in_b)?;
        put(&bricks.at(&name("s")), AT + 500, &in_s)?;
        let with = |bytes: &[u8]| {
            let mut all = first.clone();
            all[500..500 + bytes.len()].copy_from_slice(bytes);
            all
        };
        sh_in(
            &bricks.mount.join(TOP),
            &format!(
                "mv b{seed} renamed{seed}; truncate -s 1M b{seed}; truncate -s {} b{seed}",
                2 * MIB
            ),
        )?;
        ensure!(size_of(&bricks.at(&name("b")))? == 2 * MIB);
        for folder in [&bricks.mount, &other] {
            let at = |kind: &str| folder.join(TOP).join(name(kind));
            expect(&at("a"), &first)?;
            expect(&at("renamed"), &with(&in_b))?;
            expect(&at("s"), &with(&in_s))?;
            expect_head(&at("b"), 2 * MIB, 2 * MIB, &[])?;
        }
    }
    rig.unmount(&other)
}

/// A user copies what is the user's, by links and into files that are there, and nothing else.
fn copies_of_a_user(bricks: &Bricks) -> Result<()> {
    let script = r#"
        as() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
        gfid() { getfattr --only-values -n glusterfs.gfid.string "$1"; }
        mkdir plain images/sub; chown 1000:1000 plain images/sub
        echo bytes >images/own; chown 1000:1000 images/own; chmod 600 images/own
        echo secret >images/root; chmod 622 images/root
        as touch plain/a plain/b
        as setfattr -n clone -v "$(gfid plain/a)" images/own
        as setfattr -n snapshot -v "$(gfid plain/b)" images/own
        as ln images/own images/sub/l
        as ln -s ../own images/sub/s
        cmp images/own images/sub/l; cmp images/own images/sub/s
        as touch plain/c
        no as setfattr -n clone -v "$(gfid plain/c)" images/root
        no as ln -s ../root images/sub/stolen
        test ! -s plain/c; test ! -e images/sub/stolen
    "#;
    sh_in(&bricks.mount, script)?;
    for name in ["plain/a", "plain/b"] {
        // The mount may remember for a second that it was empty.
        wait_for("the bytes of the copy", || {
            Ok(fs::read(bricks.mount.join(name))? == b"bytes\n")
        })?;
    }
    sh_in(&bricks.mount, "rm -r plain images/sub").map(drop)
}

/// What the other bricks refuse is not kept by the arbiter, which would refuse nothing.
fn arbiter_keeps_what_others_keep(bricks: &Bricks) -> Result<()> {
    let script = r#"
        as() { setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; }
        echo bytes >images/x; mkdir images/dir; chmod 777 images/dir
        touch p; chown 1000 p; chmod 666 p
        mark=user.glusterfs.bd
        for value in 0xc328 junk; do
            no setfattr -n $mark -v $value images/x
            no setfattr -n $mark -v $value p
            no setfattr -n $mark.dir -v $value images/dir
        done
        no setfattr -x $mark images/x
        no as 1000 setfattr -n $mark.dir -v lv images/dir
        no as 1000 setfattr -x $mark.dir images/dir
        no as 1001 setfattr -n $mark -v thin p
    "#;
    sh_in(&bricks.mount, script)?;
    let on = |number: usize| {
        let brick = &bricks.volume.bricks()[number];
        let files = format!("{TOP}/x {TOP}/dir p");
        sh_in(
            brick,
            &format!("getfattr -d -e hex -m '^user' {files} || true"),
        )
    };
    let (first, arbiter) = (on(0)?, on(2)?);
    // Marks of new images and directories are made by the bricks, below replication.
    ensure!(arbiter.stdout.is_empty(), "{first}\n{arbiter}");
    ensure!(first.stdout.contains("user.glusterfs.bd.dir="), "{first}");
    // What is allowed is done on all of them.
    let script = "chown 1000 images/dir; setfattr -n user.glusterfs.bd.dir -v lv images/dir
        setfattr -n user.glusterfs.bd -v thin p; rm images/x p";
    sh_in(&bricks.mount, script)?;
    for number in 0..3 {
        let path = format!("{TOP}/dir");
        let told = sh_in(
            &bricks.volume.bricks()[number],
            &format!("getfattr --only-values -n user.glusterfs.bd.dir {path}"),
        )?;
        ensure!(told.stdout == "lv", "{told}");
    }
    sh_in(&bricks.mount, "rmdir images/dir").map(drop)
}

/// Copies of an image that somebody writes to: each is one moment's bytes, on every brick.
fn copies_under_load(rig: &mut Rig, bricks: &Bricks) -> Result<()> {
    const BLOCKS: usize = 512;
    const BLOCK: usize = 4096;
    let other = rig.mount(&bricks.volume, &[])?;
    fs::write(bricks.at("busy"), vec![0; BLOCKS * BLOCK])?;
    let stop = AtomicBool::new(false);
    let names: Vec<_> = (0..4)
        .flat_map(|n| [format!("l{n}"), format!("y{n}")])
        .collect();
    thread::scope(|scope| -> Result<()> {
        let file = open(&other.join(TOP).join("busy"))?;
        let stop = &stop;
        let other = &other;
        // One block after the other, round after round: in a copy, all blocks before some place
        // are of one round and all behind it of the round before.
        let writer = scope.spawn(move || -> Result<()> {
            'rounds: for round in 1..=255_u8 {
                for block in 0..BLOCKS {
                    if stop.load(Ordering::Relaxed) {
                        break 'rounds;
                    }
                    file.write_all_at(&[round; BLOCK], u64::try_from(block * BLOCK)?)?;
                }
                file.sync_data()?;
            }
            drop(file);
            // Where clients contend, AFR may keep a lock of its own for ever (it logs a failed
            // assertion in `__afr_eager_lock_handle`); it goes with the client.
            cmd("umount", &[other])?.ok().map(drop)
        });
        let made = names.iter().try_for_each(|name| {
            let option = if name.starts_with('y') { "-s" } else { "" };
            sh_in(&bricks.mount.join(TOP), &format!("ln {option} busy {name}")).map(|_| ())
        });
        stop.store(true, Ordering::Relaxed);
        writer
            .join()
            .map_err(|_| anyhow!("the writer panicked"))??;
        made
    })?;
    for name in &names {
        let bytes = fs::read(bricks.at(name))?;
        ensure!(
            bytes.len() == BLOCKS * BLOCK,
            "{name} has {} bytes",
            bytes.len()
        );
        let torn = bytes
            .chunks(BLOCK)
            .position(|block| block.iter().any(|b| *b != block[0]));
        ensure!(torn.is_none(), "block {torn:?} of {name} is of two rounds");
    }
    Ok(())
}

/// The arbiter, which has no translator of ours, keeps the old name of a file that heal has renamed there: `check`
/// sees it, whoever looks it up gets both names, and either can be removed.
fn old_name_on_the_arbiter(bricks: &Bricks) -> Result<()> {
    let top = bricks.mount.join(TOP);
    sh_in(&top, "echo bytes >was; mv was is")?;
    sh_in(&bricks.volume.bricks()[2].join(TOP), "ln is was")?;
    let (kinds, told) = findings(bricks)?;
    let names = [format!("/{TOP}/was is an old name"), format!("/{TOP}/is,")];
    ensure!(
        kinds == ["old_name"] && names.iter().all(|name| told.contains(name)),
        "{told}"
    );
    let seen = sh_in(&top, "cat was; rm was; cat is")?.stdout;
    ensure!(seen == "bytes\nbytes", "{seen}");
    for brick in bricks.volume.bricks() {
        ensure!(!brick.join(TOP).join("was").exists());
    }
    let (kinds, told) = findings(bricks)?;
    ensure!(kinds.is_empty(), "{told}");
    Ok(fs::remove_file(bricks.at("is"))?)
}

/// One brick misses changes, comes back and gets them.
fn brick_misses_changes(rig: &mut Rig, bricks: &Bricks) -> Result<()> {
    const SIZE: u64 = 4 * MIB;
    fs::write(bricks.at("old"), pattern(1, 200_000))?;
    fs::write(bricks.at("gone"), pattern(2, 200_000))?;
    let pids = bricks.volume.brick_pids()?;
    rig.kill9(*pids.last().context("no brick")?)?;
    let (late, new) = (pattern(3, 100_000), pattern(4, 300_000));
    put(&bricks.at("old"), MIB, &late)?;
    sh_in(
        &bricks.mount.join(TOP),
        &format!("rm gone; truncate -s {SIZE} old new; ln old copy; ln -s old snap"),
    )?;
    put(&bricks.at("new"), 12_345, &new)?;
    let all = |bricks: &Bricks| -> Result<()> {
        let old: [(u64, &[u8]); 2] = [(0, &pattern(1, 200_000)), (MIB, &late)];
        for name in ["old", "copy", "snap"] {
            expect_head(&bricks.at(name), SIZE, SIZE, &old)?;
        }
        expect_head(&bricks.at("new"), SIZE, SIZE, &[(12_345, &new)])
    };
    all(bricks)?;
    bricks.volume.start()?;
    bricks.healed(rig)?;
    all(bricks)
}

/// Where an image has holes, the brick that got it by heal has them, too.
fn stays_sparse(bricks: &Bricks, name: &str) -> Result<()> {
    let mut blocks = Vec::new();
    for store in &bricks.stores {
        blocks.push(fs::metadata(store.join(name))?.blocks());
    }
    let healed = blocks.last().context("no brick")?;
    let most = blocks.iter().min().context("no brick")? + 256;
    ensure!(*healed <= most, "{name} has {blocks:?} blocks");
    Ok(())
}

/// Heal compares a MiB at a time also of an image with some holes, and carries only what is not equal.
fn heal_carries_little(rig: &mut Rig, bricks: &Bricks) -> Result<()> {
    const PARTS: u64 = 8;
    let top = bricks.mount.join(TOP);
    let made = format!(
        "head -c {PARTS}M /dev/urandom >full; head -c {PARTS}M /dev/urandom >holed; \
         fallocate -p -o 3M -l 512K holed; sync full holed"
    );
    sh_in(&top, &made)?;
    let name = bricks.volume.name();
    rig.gluster(&["volume", "profile", name, "start"])?.ok()?;
    for file in ["full", "holed"] {
        rig.kill9(bricks.volume.brick_pids()?[2])?;
        put(&bricks.at(file), 5 * MIB + 100, b"changed")?;
        bricks.volume.start()?;
        bricks.healed(rig)?;
        let told = rig.gluster(&["volume", "profile", name, "info", "cumulative"])?;
        let last = told.stdout.rsplit("Brick: ").next().context("no brick")?;
        let calls = |fop: &str| -> Result<u64> {
            let line = last.lines().find(|line| line.ends_with(&format!(" {fop}")));
            let number = line.and_then(|line| line.split_whitespace().rev().nth(1));
            Ok(number.unwrap_or("0").parse()?)
        };
        let (sums, writes) = (calls("RCHECKSUM")?, calls("WRITE")?);
        ensure!(
            (sums, writes) == (PARTS, 1),
            "{file}: {sums} parts were compared and {writes} written\n{told}"
        );
    }
    rig.gluster(&["volume", "profile", name, "stop"])?.ok()?;
    stays_sparse(bricks, "holed")
}

/// The times that bricks keep of their files are the same on all of them.
fn times_agree(bricks: &Bricks) -> Result<()> {
    // GlusterFS gives no time to a discard.
    let line = "head -c 64k /dev/urandom > holed; sync holed; fallocate -p -l 8k holed";
    sh_in(&bricks.mount.join(TOP), line)?;
    for entry in fs::read_dir(bricks.mount.join(TOP))? {
        let name = entry?.file_name();
        let kept = RefCell::default();
        wait_for("the times to be saved", || {
            let mut times = Vec::new();
            for brick in bricks.volume.bricks() {
                let path = brick.join(TOP).join(&name);
                let args = [
                    "-e",
                    "hex",
                    "-n",
                    "trusted.glusterfs.mdata",
                    "--absolute-names",
                ];
                let path = path.display().to_string();
                let told = cmd("getfattr", &[&args[..], &[&path]].concat())?.ok()?;
                times.push(told.lines().last().map(|line| (*line).to_owned()));
            }
            let agree = times.iter().all(|time| *time == times[0]);
            kept.replace(times);
            Ok(agree)
        })
        .with_context(|| format!("{}: {:?}", name.display(), kept.take()))?;
    }
    Ok(())
}

/// A copy is made while one brick has not yet got what it missed: its copy misses the same.
/// AFR lets such a brick copy, too; EC as it comes.
fn copy_of_a_stale_source(rig: &mut Rig, bricks: &Bricks, all_copy: bool) -> Result<()> {
    let heal = |rig: &Rig, word| {
        rig.gluster(&["volume", "heal", bricks.volume.name(), word])?
            .ok()
    };
    let (first, late) = (pattern(5, 50_000), pattern(6, 60_000));
    heal(rig, "disable")?;
    fs::write(bricks.at("stale"), &first)?;
    let pids = bricks.volume.brick_pids()?;
    rig.kill9(*pids.last().context("no brick")?)?;
    put(&bricks.at("stale"), 20_000, &late)?;
    bricks.volume.start()?;
    let last = bricks.stores.last().context("no brick")?;
    wait_for("the mount to reach the brick", || {
        fs::write(bricks.at("probe"), b"")?;
        let reached = last.join("probe").exists();
        fs::remove_file(bricks.at("probe"))?;
        Ok(reached)
    })?;
    sh_in(
        &bricks.mount.join(TOP),
        "ln stale stale-b; ln -s stale stale-s",
    )?;
    let copies = ["stale-b", "stale-s"];
    for name in copies {
        let held = bricks.held(name)?;
        ensure!(held.last() != held.first(), "{name} is whole already");
        ensure!(!all_copy || held.len() == bricks.stores.len());
    }
    let mut all = first[..20_000].to_vec();
    all.extend(late);
    let right = |bricks: &Bricks| {
        copies.iter().try_for_each(|name| {
            let size = u64::try_from(all.len())?;
            expect_head(&bricks.at(name), size, size, &[(0, &all)])
        })
    };
    right(bricks)?;
    // Its notes would be lost in a merge, and the bytes with them.
    let output = bricks.merge("stale-s")?;
    let said = |text| output.stderr.contains(text);
    ensure!(said("busy") || said("not supported"), "{output}");
    heal(rig, "enable")?;
    bricks.healed(rig)?;
    right(bricks)
}

/// Every brick that has a snapshot merges it.
fn merges(bricks: &Bricks) -> Result<()> {
    let (first, second) = (pattern(7, 300_000), pattern(8, 400_000));
    for name in ["m0", "m1", "m2"] {
        fs::write(bricks.at(name), &first)?;
        sh_in(
            &bricks.mount.join(TOP),
            &format!("ln -s {name} {name}-s && ln -s {name} {name}-t"),
        )?;
        fs::write(bricks.at(name), &second)?;
        bricks.merge(&format!("{name}-s"))?.ok()?;
        wait_for_size(&bricks.at(name), 300_000)?;
        expect_head(&bricks.at(name), 300_000, 300_000, &[(0, &first)])?;
        let snapshot = format!("{name}-s");
        // A volume goes after the answer.
        wait_for("the snapshot's volumes to go", || {
            Ok(bricks.held(&snapshot)?.is_empty())
        })?;
        // The name is free.
        fs::write(bricks.at(&snapshot), "new")?;
        expect_at(&bricks.at(&snapshot), 0, b"new")?;
    }
    bricks.check()
}

/// Whoever merges through a mount reads the snapshot's bytes at once, whatever the kernel had of the origin.
fn merged_bytes_are_read_at_once(bricks: &Bricks) -> Result<()> {
    let (first, second) = (pattern(5, 500_000), pattern(6, 500_000));
    for round in 0..40 {
        fs::write(bricks.at("k"), &first)?;
        sh_in(&bricks.mount.join(TOP), "ln -s k k-s")?;
        fs::write(bricks.at("k"), &second)?;
        ensure!(fs::read(bricks.at("k"))? == second);
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(bricks.at("k-s"), "merge", b"1", flags)?;
        ensure!(
            fs::read(bricks.at("k"))? == first,
            "round {round}: old bytes"
        );
    }
    fs::remove_file(bricks.at("k"))?;
    Ok(())
}

/// Heal gives a file that was renamed while a brick was away its new name there before it takes the old one.
/// A rename in between, which rename(2) takes for done, leaves no name either.
fn renames_leave_no_name(rig: &mut Rig, bricks: &Bricks) -> Result<()> {
    fs::write(bricks.at("r"), "renamed")?;
    let top = bricks.volume.bricks()[0].join(TOP);
    fs::hard_link(top.join("r"), top.join("q"))?;
    for number in 0..bricks.volume.bricks().len() {
        // Without AFR above, which would look at both names. A kernel would not ask for it at all.
        let one = rig.mount_brick(&bricks.volume, number)?;
        let volfile = one.with_file_name(format!("brick{number}.vol"));
        let line = format!("printf 'rename\\t/{TOP}/r\\t/{TOP}/q\\n'");
        let program = env!("CARGO_BIN_EXE_gfapi-as");
        let said = sh(&format!("{line} | {program} {} 0", volfile.display()))?.ok()?;
        ensure!(said.stdout.trim() == "0", "brick {number}: {said}");
        rig.unmount(&one)?;
    }
    for brick in bricks.volume.bricks() {
        let top = brick.join(TOP);
        let there = ["r", "q"].map(|name| top.join(name).exists());
        ensure!(there == [false, true], "{}: {there:?}", brick.display());
    }
    expect_at(&bricks.at("q"), 0, b"renamed")?;
    replicas_agree(bricks, 3)?;
    bricks.check()?;
    fs::remove_file(bricks.at("q"))?;
    Ok(())
}

/// All replicas merge, or none does.
fn merges_need_all(rig: &mut Rig, bricks: &Bricks) -> Result<()> {
    let (first, second) = (pattern(7, 300_000), pattern(8, 400_000));
    // With a brick away the others do not merge: heal would not see the difference.
    put(&bricks.at("m0"), 0, &second)?;
    let pids = bricks.volume.brick_pids()?;
    rig.kill9(*pids.last().context("no brick")?)?;
    wait_for("the mount to miss the brick", || {
        let output = bricks.merge("m0-t")?;
        ensure!(output.code != 0, "merged without a brick");
        // The writes just now may have left notes, which are looked at on each brick in turn.
        let said = |text| output.stderr.contains(text);
        Ok(said("not connected") || said("busy"))
    })?;
    expect_at(&bricks.at("m0"), 0, &second)?;
    bricks.volume.start()?;
    bricks.healed(rig)?;
    wait_for("the brick to be back", || {
        Ok(bricks.merge("m0-t")?.code == 0)
    })?;
    wait_for_size(&bricks.at("m0"), 300_000)?;
    expect_head(&bricks.at("m0"), 300_000, 300_000, &[(0, &first)])
}

/// An arbiter on a plain directory has the names and what AFR notes: with one of the others away all
/// goes on, and what that one missed is never read from it.
fn one_beside_the_arbiter(rig: &mut Rig, bricks: &Bricks) -> Result<()> {
    gluster_bd(&["check", bricks.volume.name()])?.ok()?;
    let arbiter = bricks.volume.bricks()[2].join(TOP);
    ensure!(arbiter.is_dir(), "no {}", arbiter.display());
    let (first, late) = (pattern(1, 100_000), pattern(2, 100_000));
    fs::write(bricks.at("p"), &first)?;
    bricks.healed(rig)?;
    gluster_bd(&["check", bricks.volume.name()])?.ok()?;
    rig.kill9(bricks.volume.brick_pids()?[0])?;
    put(&bricks.at("p"), 0, &late)?;
    sh_in(
        &bricks.mount.join(TOP),
        "ln p p-b; ln -s p p-s; cp p p-n; truncate -s 50000 p-b",
    )?;
    bricks.volume.start()?;
    bricks.healed(rig)?;
    rig.kill9(bricks.volume.brick_pids()?[1])?;
    let other = rig.mount(&bricks.volume, &[])?;
    for (name, len) in [
        ("p", 100_000),
        ("p-b", 50_000),
        ("p-s", 100_000),
        ("p-n", 100_000),
    ] {
        let bytes = fs::read(other.join(TOP).join(name))?;
        ensure!(bytes == late[..len], "{name} is not what was written");
        ensure!(fs::metadata(arbiter.join(name))?.len() == 0, "{name}");
    }
    sh_in(&other.join(TOP), "ln p p-c; cmp p p-c; rm p-c")?;
    rig.unmount(&other)?;
    bricks.volume.start()?;
    bricks.healed(rig)
}

/// Commands tell the size of the file, where each brick has a piece of it.
fn commands_see_the_file(bricks: &Bricks) -> Result<()> {
    fs::write(bricks.at("checked"), pattern(3, 100_000))?;
    gluster_bd(&["check", bricks.volume.name()])?.ok()?;
    fs::remove_file(bricks.at("checked"))?;
    let image = |name: &str| format!("{}:{name}", bricks.volume.name());
    let bd = |words: &[&str]| gluster_bd(words)?.ok();
    bd(&["create", &image("q"), "8M"])?;
    bd(&["resize", &image("q"), "-1M", "--force"])?;
    // The mount may remember for a second what it was.
    let is = |size| wait_for("the size", || Ok(size_of(&bricks.at("q"))? == size));
    is(7 * MIB)?;
    bd(&["resize", &image("q"), "+2M"])?;
    is(9 * MIB)?;
    put(&bricks.at("q"), 0, &pattern(1, 3 << 20))?;
    for words in [
        ["info", &image("q")],
        ["list", bricks.volume.name()],
        ["tree", bricks.volume.name()],
    ] {
        let told = bd(&["--json", words[0], words[1]])?.stdout;
        let told: serde_json::Value = serde_json::from_str(&told)?;
        let image = match words[0] {
            "info" => &told,
            _ => &told["images"][0],
        };
        ensure!(image["size"] == 9 * MIB, "{words:?}: {told}");
        let allocated = image["allocated"].as_u64().unwrap_or(0);
        ensure!((3 * MIB..6 * MIB).contains(&allocated), "{words:?}: {told}");
    }
    bd(&["create", &image("t"), "6M", "--thick"])?;
    ensure!(size_of(&bricks.at("t"))? == 6 * MIB);
    // As much as the smallest brick can give, for each piece of two.
    let mut free = u64::MAX;
    for store in &bricks.stores {
        let told = cmd(
            "df",
            &["--output=avail", "-B1", &store.display().to_string()],
        )?
        .ok()?;
        let told = told.stdout.lines().nth(1).context("df tells nothing")?;
        free = free.min(told.trim().parse()?);
    }
    bd(&["create", &image("f"), "10%FREE", "--thick"])?;
    let size = size_of(&bricks.at("f"))?;
    ensure!((free / 6..free / 5 + 1).contains(&size), "{size} of {free}");
    Ok(())
}

/// Parts of a volume that cannot merge alike refuse it.
fn merges_are_refused(bricks: &Bricks) -> Result<()> {
    fs::write(bricks.at("m"), pattern(7, 300_000))?;
    sh_in(&bricks.mount.join(TOP), "ln -s m m-s")?;
    put(&bricks.at("m"), 0, b"later")?;
    let output = bricks.merge("m-s")?;
    ensure!(output.stderr.contains("not supported"), "{output}");
    expect_at(&bricks.at("m"), 0, b"later")?;
    expect_at(&bricks.at("m-s"), 0, &pattern(7, 300_000))
}

/// A check of the volume sees what one brick alone has, whichever it is.
fn check_sees_each_brick(rig: &mut Rig, bricks: &Bricks) -> Result<()> {
    let volume = bricks.volume.name();
    for name in ["same", "short", "lost", "behind"] {
        fs::write(bricks.at(name), pattern(3, 100_000))?;
    }
    sh_in(&bricks.mount.join(TOP), "mkdir d; ln same d/copy")?;
    bricks.healed(rig)?;
    gluster_bd(&["check", volume])?.ok()?;
    for number in [0, 2] {
        // Without AFR above it, a brick does what only it is told.
        let one = rig.mount_brick(&bricks.volume, number)?.join(TOP);
        sh_in(
            &one,
            "truncate -s 50000 short; mv lost /tmp/lost; cp short extra",
        )?;
        let (mut kinds, text) = findings(bricks)?;
        kinds.sort();
        ensure!(kinds == ["missing", "missing", "size"], "{text}");
        let brick = bricks.volume.bricks()[number].display().to_string();
        ensure!(text.matches(&brick).count() == 3, "{brick}: {text}");
        sh_in(&one, "rm extra; truncate -s 100000 short")?;
        rig.unmount(one.parent().context("no mount")?)?;
        // The cure that it names.
        wait_for("all to agree again", || {
            rig.gluster(&["volume", "heal", volume, "full"])?;
            bricks.healed(rig)?;
            Ok(findings(bricks)?.0.is_empty())
        })
        .with_context(|| format!("{:?}", findings(bricks)))?;
    }
    rig.kill9(bricks.volume.brick_pids()?[1])?;
    put(&bricks.at("behind"), 0, b"later")?;
    wait_for("the notes on what is missed", || {
        let (mut kinds, text) = findings(bricks)?;
        kinds.sort();
        Ok(kinds == ["brick_away", "to_heal"] && text.contains("behind"))
    })?;
    bricks.volume.start()?;
    bricks.healed(rig)?;
    gluster_bd(&["check", volume])?.ok()?;
    sh_in(&bricks.mount.join(TOP), "rm -r ./*")?;
    wait_for("the stores to be empty", || Ok(bricks.count()? == 0))
}

#[test]
fn replicated() {
    on("replicated", &["replica", "3"], 3, |rig, bricks| {
        check_sees_each_brick(rig, bricks)?;
        life(rig, bricks)?;
        copies_of_a_user(bricks)?;
        copies_under_load(rig, bricks)?;
        replicas_agree(bricks, 3)?;
        brick_misses_changes(rig, bricks)?;
        replicas_agree(bricks, 3)?;
        times_agree(bricks)?;
        stays_sparse(bricks, "new")?;
        heal_carries_little(rig, bricks)?;
        renames_leave_no_name(rig, bricks)?;
        merged_bytes_are_read_at_once(bricks)?;
        merges(bricks)?;
        merges_need_all(rig, bricks)?;
        replicas_agree(bricks, 3)?;
        snapshots_after_a_change_of_the_graph(rig, bricks)?;
        copy_of_a_stale_source(rig, bricks, true)?;
        ensure!(
            xdata_is_known()? > 0 || !cfg!(debug_assertions),
            "no brick has looked at keys"
        );
        replicas_agree(bricks, 3)
    });
}

#[test]
fn with_an_arbiter() {
    on(
        "with_an_arbiter",
        &["replica", "3", "arbiter", "1"],
        3,
        |rig, bricks| {
            one_beside_the_arbiter(rig, bricks)?;
            life(rig, bricks)?;
            arbiter_keeps_what_others_keep(bricks)?;
            old_name_on_the_arbiter(bricks)?;
            copies_of_a_user(bricks)?;
            copies_under_load(rig, bricks)?;
            merges(bricks)?;
            renamed_before_heal(rig, bricks, "cluster.self-heal-daemon")?;
            brick_misses_changes(rig, bricks)
        },
    );
}

#[test]
fn dispersed() {
    on(
        "dispersed",
        &["disperse", "3", "redundancy", "1"],
        3,
        |rig, bricks| {
            commands_see_the_file(bricks)?;
            life(rig, bricks)?;
            copies_of_a_user(bricks)?;
            copies_under_load(rig, bricks)?;
            merges_are_refused(bricks)?;
            brick_misses_changes(rig, bricks)?;
            times_agree(bricks)?;
            stays_sparse(bricks, "new")?;
            snapshots_after_a_change_of_the_graph(rig, bricks)?;
            copy_of_a_stale_source(rig, bricks, false)
        },
    );
}

#[test]
fn distributed() {
    on("distributed", &[], 2, |rig, bricks| {
        life(rig, bricks)?;
        merges(bricks)?;
        copies_under_load(rig, bricks)?;
        ensure!(
            bricks
                .stores
                .iter()
                .all(|store| fs::read_dir(store).is_ok_and(|mut d| d.next().is_some())),
            "one brick holds nothing"
        );
        replicas_agree(bricks, 1)?;
        snapshots_after_a_change_of_the_graph(rig, bricks)?;
        snapshots_are_no_links(rig, bricks)
    });
}

/// While a brick is away, the volume says that its files are not there: a snapshot of one must not become a
/// symbolic link for good.
fn snapshots_are_no_links(rig: &Rig, bricks: &Bricks) -> Result<()> {
    let all = |script: &str| format!("for n in 1 2 3 4 5 6 7 8; do {script}; done");
    sh_in(&bricks.mount.join(TOP), "mkdir away")?;
    let top = bricks.at("away");
    sh_in(&top, &all("echo $n >o$n"))?;
    rig.kill9(bricks.volume.brick_pids()?[0])?;
    let told = sh_in(&top, &all("ln -s o$n s$n && test ! -L s$n || echo $n"))?;
    let refused = told.stdout.split_whitespace().count();
    ensure!((1..8).contains(&refused), "{told}");
    cmd(
        "ln",
        &[
            "-s",
            "nothing",
            &bricks.at("away/link").display().to_string(),
        ],
    )?
    .fails()?;
    bricks.volume.start()?;
    wait_for("the brick", || {
        Ok(sh_in(&top, &all("cat o$n || exit")).is_ok())
    })?;
    let made = sh_in(&top, "find . -type l; cat s*")?.stdout;
    ensure!(
        made.split_whitespace().count() == 8 - refused,
        "{made}, {told}"
    );
    sh_in(&top, "ln -s nothing link; test -L link; cd ..; rm -r away")?;
    Ok(())
}

/// After a change of the volume's graph the kernel goes on with directories that the new graph knows by their
/// gfids alone: snapshots are made there nevertheless, and no links in silence.
fn snapshots_after_a_change_of_the_graph(rig: &mut Rig, bricks: &Bricks) -> Result<()> {
    let caches = ["--entry-timeout=600", "--attribute-timeout=600"];
    let mount = rig.mount(&bricks.volume, &caches)?;
    let top = mount.join(TOP);
    sh_in(
        &top,
        "mkdir -p w/v/u; echo x >w/x; echo a >w/v/u/a; cat w/x w/v/u/a",
    )?;
    let active = || fs::read_link(mount.join(".meta/graphs/active"));
    let before = active()?;
    bricks.volume.set("performance.write-behind", "off")?;
    wait_for("another graph", || Ok(active()? != before))?;
    sh_in(&top.join("w/v/u"), "ln -s ../../x t; ln -s a s; ln a l")?;
    for brick in bricks.volume.bricks() {
        let links = sh_in(&brick.join(TOP), "find . -type l")?.stdout;
        ensure!(links.is_empty(), "{}: {links}", brick.display());
    }
    let other = rig.mount(&bricks.volume, &[])?;
    sh_in(
        &other.join(TOP).join("w/v/u"),
        "cmp s a; cmp t ../../x; cmp l a; cd ../../..; rm -r w",
    )?;
    rig.unmount(&other)?;
    rig.unmount(&mount)?;
    bricks.volume.set("performance.write-behind", "on")
}
