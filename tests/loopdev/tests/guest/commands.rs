//! The commands on volume groups, from empty disks on.

use std::path::Path;

use anyhow::{Result, ensure};
use loopdev::{Output, Place, Rig, Vg, cmd, run, sh, wait_for};

use crate::manual;
use crate::typed::{self, Bed};

fn bd(words: &str) -> Result<Output> {
    cmd("gluster-bd", &words.split(' ').collect::<Vec<_>>())
}

fn expect(words: &str, code: i32, said: &str) -> Result<Output> {
    let output = bd(words)?;
    ensure!(
        output.code == code && (output.stdout.contains(said) || output.stderr.contains(said)),
        "expected {code} and {said:?}: {output}"
    );
    Ok(output)
}

/// Promises the rig to remove a group that gluster-bd makes, and the mount of its brick.
fn owned_group(rig: &mut Rig, part: &str) -> String {
    let vg = rig.name(part);
    let name = vg.clone();
    rig.on_teardown(format!("volume group {vg}"), move || {
        let at = format!("/srv/gluster-bd/{name}");
        if sh("cat /proc/self/mounts")?
            .stdout
            .contains(&format!(" {at} "))
        {
            cmd("umount", &[at.as_str()])?.ok()?;
        }
        let there = cmd("vgs", &["--noheadings", name.as_str()])?.code == 0;
        if there {
            cmd("vgremove", &["-ff", "-y", name.as_str()])?.ok()?;
        }
        Ok(())
    });
    vg
}

fn lvs(vg: &str) -> Result<String> {
    let output = cmd("lvs", &["--noheadings", "-o", "lv_name", vg])?.ok()?;
    Ok(output.lines().join(" "))
}

#[test]
fn storage_commands() {
    run("guest::storage_commands", Place::Guest, |rig| {
        let disk = |rig: &mut Rig, name: &str| -> Result<String> {
            Ok(rig.loop_device(name, 1024)?.display().to_string())
        };
        let (a, b) = (disk(rig, "a")?, disk(rig, "b")?);
        let vg = owned_group(rig, "vg");
        let list = expect("storage list", 0, &a)?;
        ensure!(
            list.lines()
                .iter()
                .any(|line| line.starts_with(&a) && line.ends_with("free")),
            "{list}"
        );
        sh(&format!("mkfs.ext4 -q {b}"))?;
        expect(&format!("storage create {vg} {a} {b}"), 5, "it holds: ext4")?;
        expect(
            &format!("storage create {vg} /dev/nothere"),
            3,
            "/dev/nothere",
        )?;
        expect(
            &format!("storage create {vg} {a} --thinpool 4G"),
            1,
            "cannot make the pool",
        )?;
        ensure!(expect("storage list --free", 0, &a)?.stdout.contains(&a));
        let mounted = rig.folder("mounted")?;
        sh(&format!("mount {b} {}", mounted.display()))?;
        expect(&format!("storage create {vg} {b} --wipe"), 5, "mounted on")?;
        sh(&format!("umount {b}"))?;
        expect(
            &format!("storage create {vg} {a} {b} --wipe"),
            0,
            "vg:         ",
        )?;
        expect(&format!("storage create {vg} {a}"), 5, "exists already")?;
        expect(
            &format!("storage create {vg}2 {a}"),
            5,
            "physical volume of",
        )?;
        expect("pool status", 0, &format!("{vg}/pool"))?;
        expect("pool status nothere", 3, "no thin pool")?;
        pools_grow(&vg)?;
        expect("check", 0, "this host: clean")?;
        sh(&format!("lvchange -q --setautoactivation y {vg}/pool"))?;
        expect("check", 1, "--setautoactivation n")?;
        for bad in ["--zero n", "--errorwhenfull n"] {
            sh(&format!("lvchange -q -y {bad} {vg}/pool"))?;
        }
        let found = expect("check", 1, "this host: 3 findings")?;
        ensure!(found.stdout.contains("run: lvchange --zero y"), "{found}");
        let repaired = expect("check --repair", 0, "ran: lvchange --zero y")?;
        ensure!(
            repaired.stdout.matches("repaired: pool").count() == 3,
            "{repaired}"
        );
        expect("check", 0, "this host: clean")?;

        let (c, d) = (disk(rig, "c")?, disk(rig, "d")?);
        let mirrored = owned_group(rig, "raid");
        expect(
            &format!("storage create {mirrored} {c} --raid1"),
            2,
            "two devices",
        )?;
        expect(
            &format!("storage create {mirrored} {c} {d} --raid1"),
            0,
            "pool",
        )?;
        let data = sh(&format!("lvs -a --noheadings -o segtype {mirrored}"))?;
        ensure!(
            data.lines().iter().filter(|kind| **kind == "raid1").count() >= 2,
            "{data}"
        );

        // The disks first, so that the group goes before them.
        let disks = [disk(rig, "e")?, disk(rig, "f")?, disk(rig, "g")?];
        let group = owned_group(rig, "manual");
        let names: [(&str, &str); 4] = [
            ("vg0", &group),
            ("/dev/sdb", &disks[0]),
            ("/dev/sdc", &disks[1]),
            ("/dev/sdd", &disks[2]),
        ];
        manual::run_blocks(&manual::blocks()?, "guest", &names)
    });
}

/// A pool grows by sizes and shares, and what it cannot have is refused with the figures.
fn pools_grow(vg: &str) -> Result<()> {
    let pool = format!("{vg}/pool");
    let sizes = || -> Result<Vec<u64>> {
        let fields = "lv_size,lv_metadata_size,vg_free";
        let args = ["--noheadings", "--nosuffix", "--units", "m", "-o", fields];
        let output = cmd("lvs", &[&args[..], &[pool.as_str()]].concat())?.ok()?;
        let mib = |word: &str| Ok(word.split('.').next().unwrap_or(word).parse()?);
        output.stdout.split_whitespace().map(mib).collect()
    };
    let before = sizes()?;
    let [data, metadata, free] = before[..] else {
        anyhow::bail!("{before:?}");
    };
    expect(&format!("pool extend {vg}/nopool +4M"), 3, "no thin pool")?;
    expect(&format!("pool extend {pool} 4M"), 5, "cannot shrink")?;
    expect(&format!("pool extend {pool} +0"), 5, "already")?;
    expect(&format!("pool extend {pool} +1T"), 1, "free in")?;
    expect(&format!("pool extend {pool} --metadata +1T"), 1, "vgextend")?;
    ensure!(sizes()? == before, "a refusal changed {before:?}");
    expect(&format!("pool extend {pool} +8M"), 0, "(was ")?;
    // LVM lets the spare copy of the metadata grow with them.
    expect(
        &format!("pool extend {pool} +4M --metadata +4M"),
        0,
        "metadata: ",
    )?;
    let after = sizes()?;
    ensure!(
        after[..2] == [data + 12, metadata + 4],
        "{before:?} {after:?}"
    );
    expect(
        &format!("pool extend {pool} +50%FREE --json"),
        0,
        "\"size_before\"",
    )?;
    let half = sizes()?;
    ensure!(
        half[0] > after[0] && half[2] + 4 >= after[2] / 2 && half[2] < free,
        "{after:?} {half:?}"
    );
    expect(
        &format!("pool extend {pool} +100%FREE"),
        0,
        "vg free:    0 B",
    )?;
    expect(&format!("pool extend {pool} +100%FREE"), 1, "0 B free in")?;
    Ok(())
}

#[test]
fn the_old_sequence() {
    run("guest::the_old_sequence", Place::Guest, |rig| {
        let disk = rig.loop_device("disk", 2048)?.display().to_string();
        let vg = owned_group(rig, "vg");
        expect(&format!("storage create {vg} {disk}"), 0, "pool")?;
        let server = rig.daemon("gluster-bdd", "gluster-bdd", &[], "gluster-bdd: ready")?;
        let glusterd = rig.glusterd()?;
        let dir = Path::new("/srv/gluster-bd").join(&vg).join("brick");
        let bed = Bed {
            volume: rig.adopt_volume(&rig.name("vol"), &[dir]),
            top: vg.clone(),
        };
        let host = rig.host()?;
        let gluster = |words: &str| typed::line(&bed, "gluster", words);
        gluster("volume create vms device lvm nothere:/top")?.fails()?;
        gluster("volume create vms device vg nothere.invalid:/top")?.fails()?;
        gluster(&format!("volume create vms device vg {host}:/top"))?.ok()?;
        gluster(&format!("volume create vms device vg {host}:/top"))?.fails()?;
        ensure!(sh("cat /etc/fstab")?.stdout.contains(&vg));
        bed.volume.start()?;

        let mount = rig.mount(&bed.volume, &[])?;
        let top = mount.join(&vg).display().to_string();
        sh(&format!(
            "cd {top} && touch lv1 && truncate -s 16M lv1 && ln lv1 lv2 && rm lv1"
        ))?;
        gluster("bd create vms:/top/lv3 4MB")?.ok()?;
        gluster("bd clone vms:/top/lv3 lv4")?.ok()?;
        gluster("bd snapshot vms:/top/lv3 lv5")?.ok()?;
        ensure!(
            lvs(&vg)? == "gluster_bd_brick lv2 lv3 lv4 lv5 pool",
            "{}",
            lvs(&vg)?
        );
        gluster("bd delete vms:/top/lv3")?.ok()?;
        ensure!(gluster("bd list vms")?.ok()?.stdout.contains("/top/lv5"));
        ensure!(gluster("bd info vms:/top/lv3")?.code == 3);
        gluster("--mode=script bd delete vms:lv2 vms:lv4 vms:lv5")?.ok()?;
        ensure!(gluster("volume list")?.ok()?.stdout == "vms");
        ensure!(gluster("volume nonsense")?.code == 1);
        rig.unmount(&mount)?;

        typed::commands(rig, &bed)?;
        ensure!(lvs(&vg)? == "gluster_bd_brick pool", "{}", lvs(&vg)?);
        expect("volume set-virt nothere", 1, "nothere")?;
        typed::expect(&bed, "volume set-virt vms", 0, "gluster-bd-virt")?;
        typed::servers_gone(&bed, &server, &glusterd)
    });
}

/// An empty disk becomes a mounted volume by one command, which can be given again.
#[test]
fn a_disk_becomes_a_volume() {
    run("guest::a_disk_becomes_a_volume", Place::Guest, |rig| {
        let disk = rig.loop_device("disk", 1024)?.display().to_string();
        let other = rig.loop_device("other", 128)?.display().to_string();
        let name = owned_group(rig, "vol");
        rig.daemon("gluster-bdd", "gluster-bdd", &[], "gluster-bdd: ready")?;
        rig.glusterd()?;
        let dir = Path::new("/srv/gluster-bd").join(&name).join("brick");
        rig.adopt_volume(&name, &[dir]);
        let host = rig.host()?;
        let at = rig.folder("mounted")?.display().to_string();
        let mounted = at.clone();
        rig.on_teardown(format!("mount {at}"), move || {
            let mounts = sh("cat /proc/self/mounts")?.stdout;
            match mounts.contains(&format!(" {mounted} ")) {
                true => cmd("umount", &[mounted.as_str()])?.ok().map(drop),
                false => Ok(()),
            }
        });
        let create = format!("volume create {name} {host}:{disk}");
        let all = format!("{create} --virt --start --mount {at}");

        sh(&format!("mkfs.ext4 -q {disk}"))?;
        expect(&all, 5, "it holds: ext4")?;
        expect(&format!("{create} {host}:{disk},{other}"), 5, "ext4")?;
        let plan = expect(&format!("{all} --wipe --dry-run"), 0, "mount -t glusterfs")?;
        let made = format!("gluster-bd brick create {name} --disk {disk} --wipe --top {name}");
        ensure!(plan.lines().first() == Some(&made.as_str()), "{plan}");
        expect("volume create 1%2 localhost:/dev/nothere", 2, "1%2")?;
        ensure!(
            cmd("vgs", &[name.as_str()])?.code != 0,
            "a plan made a group"
        );
        sh(&format!("wipefs -qa {disk}"))?;

        // The group is made of it, as before a kill, and the command goes on with it.
        expect(&format!("storage create {name} {disk}"), 0, "pool")?;
        expect(&format!("{create},{other}"), 5, "exists already")?;
        let done = format!("it is started and mounted on {at}");
        expect(&all, 0, &done)?;
        expect(&all, 0, &done)?;
        expect(&create, 5, "exists already")?;
        expect(&format!("create {name}:vm1 8M"), 0, "8 MiB, thin")?;
        ensure!(lvs(&name)?.contains("vm1"), "{}", lvs(&name)?);
        ensure!(Path::new(&at).join(&name).join("vm1").is_file());
        let line = format!("{host}:/{name} {at} glusterfs _netdev,nofail 0 0");
        ensure!(sh("cat /etc/fstab")?.stdout.contains(&line));
        expect(&format!("check {name}"), 0, "clean")?;

        // Nothing of it goes while somebody has it, or while it holds something.
        let delete = format!("--mode=script volume delete {name}");
        expect(&delete, 5, "such as")?;
        let open = std::fs::File::open(Path::new(&at).join(&name).join("vm1"))?;
        expect(&format!("{delete} --wipe"), 1, "busy")?;
        drop(open);
        ensure!(lvs(&name)?.contains("vm1"), "{}", lvs(&name)?);
        expect(
            &format!("{delete} --wipe"),
            0,
            &format!("deleted {name}:/{name}/vm1"),
        )?;
        ensure!(lvs(&name)? == "pool", "{}", lvs(&name)?);
        let left = format!("{}{}", sh("cat /etc/fstab")?, sh("cat /proc/self/mounts")?);
        ensure!(!left.contains(&name), "{left}");
        let tags = cmd("vgs", &["--noheadings", "-o", "vg_tags", name.as_str()])?.ok()?;
        ensure!(tags.stdout.trim().is_empty(), "{tags}");
        // And once more on the same group.
        let again = format!("volume create {name} {host}:/{name} --mount {at}");
        expect(&again, 0, "mounted on")?;
        expect(&delete, 0, "success")?;
        ensure!(lvs(&name)? == "pool", "{}", lvs(&name)?);
        ensure!(rig.gluster(&["volume", "list"])?.stdout.is_empty());
        Ok(())
    });
}

/// Shares are LVM's: of the free extents of the group, rounded down to whole ones.
fn shares_of_what_is_free(bed: &Bed, vg: &Vg) -> Result<()> {
    let free = || -> Result<u64> {
        let said = cmd("vgs", &["--noheadings", "-o", "vg_free_count", vg.name()])?.ok()?;
        Ok(said.stdout.trim().parse()?)
    };
    let size = |lv: &str| -> Result<u64> { Ok(vg.field(lv, "lv_size")?.parse::<u64>()? >> 22) };
    // A volume goes after its name has gone.
    wait_for("an empty group", || Ok(vg.lvs()?.is_empty()))?;
    let all = free()?;
    typed::expect(bed, "create vms:share 33%FREE", 0, "created")?;
    ensure!(
        size("share")? == all * 33 / 100,
        "{} of {all}",
        size("share")?
    );
    let left = free()?;
    typed::expect(bed, "create vms:half 50%FREE --thick", 0, "created")?;
    ensure!(size("half")? == left / 2, "{} of {left}", size("half")?);
    typed::expect(bed, "resize vms:share +100%FREE", 0, "has ")?;
    ensure!(free()? == 0, "{} are free", free()?);
    ensure!(size("share")? + size("half")? == all);
    typed::expect(bed, "create vms:more 100%FREE", 1, "0 B free")?;
    typed::expect(bed, "resize vms:share +1%FREE", 1, "0 B free")?;
    typed::expect(bed, "delete vms:share vms:half", 0, "deleted")?;
    wait_for("an empty group", || Ok(vg.lvs()?.is_empty()))
}

/// The only pool of a group is taken and set as a check wants it; of several, one is to be chosen.
fn pools_of_a_new_brick(rig: &mut Rig, names: &Path) -> Result<()> {
    let vg = rig.vg("pooled", &[256])?;
    let group = vg.name();
    let dir = names.join("pooled");
    std::fs::create_dir(&dir)?;
    // As the README says.
    sh(&format!(
        "lvcreate -q --type thin-pool -l 50%FREE -n pool {group}"
    ))?;
    sh(&format!(
        "lvcreate -q --type thin-pool -L 16M -n more {group}"
    ))?;
    let init = format!("brick init {} --vg {group}", dir.display());
    expect(&init, 5, "more than one thin pool (more, pool)")?;
    expect(&format!("{init} --thick"), 0, "images are thick")?;
    expect(&format!("brick remove {}", dir.display()), 0, "")?;
    sh(&format!("lvremove -q -y {group}/more"))?;
    let made = expect(&init, 0, "pool:       pool")?;
    ensure!(
        made.stdout.contains("ran: lvchange --setautoactivation n"),
        "{made}"
    );
    let found = bd("check")?;
    ensure!(!found.stdout.contains("lvchange"), "{found}");
    expect(&format!("brick remove {}", dir.display()), 0, "").map(drop)
}

/// An admin's vgrename is no event: the brick follows its group, while it runs and when it starts.
fn renamed_group(rig: &Rig, bed: &Bed, vg: &Vg) -> Result<()> {
    let (old, new) = (vg.name(), format!("{}_new", vg.name()));
    let rename = |from: &str, to: &str| cmd("vgrename", &[from, to])?.ok();
    typed::expect(bed, "create vms:before 8", 0, "8 MiB, lv")?;
    rename(old, &new)?;
    typed::expect(bed, "create vms:after 8", 0, "8 MiB, lv")?;
    typed::expect(bed, "resize vms:before 12", 0, "12 MiB")?;
    ensure!(lvs(&new)? == "after before", "{}", lvs(&new)?);
    // While the brick does not run.
    bed.volume.stop()?;
    rename(&new, old)?;
    bed.volume.start()?;
    rig.gluster(&["volume", "status", bed.volume.name()])?
        .ok()?;
    typed::expect(bed, "list vms", 0, "after")?;
    typed::expect(bed, "delete vms:before vms:after", 0, "deleted")?;
    wait_for("an empty group", || Ok(vg.lvs()?.is_empty()))
}

#[test]
fn a_brick_in_a_directory() {
    run("guest::a_brick_in_a_directory", Place::Guest, |rig| {
        let vg = rig.vg("vg", &[512])?;
        let names = rig.filesystem("names", 400)?;
        let dir = names.join("b1");
        rig.daemon("gluster-bdd", "gluster-bdd", &[], "gluster-bdd: ready")?;
        rig.glusterd()?;
        let bed = Bed {
            volume: rig.adopt_volume(&rig.name("vol"), std::slice::from_ref(&dir)),
            top: vg.name().to_owned(),
        };
        let brick = |dir: &Path| {
            let brick = format!("{}:{}?{}", rig.host()?, dir.display(), vg.name());
            typed::line(&bed, "gluster", &format!("volume create vms {brick} force"))
        };
        // The last part of the directory is made, as the stock command does.
        let deep = brick(&names.join("nothere/b1"))?;
        ensure!(
            deep.code == 3 && deep.stderr.contains("its last part alone"),
            "{deep}"
        );
        brick(&dir)?.ok()?;
        bed.volume.start()?;
        // The group has no pool.
        typed::expect(&bed, "create vms:lv1 8", 0, "8 MiB, lv")?;
        ensure!(vg.lvs()? == ["lv1"]);
        // As the old command wrote it: the space of a copy-on-write snapshot, in MiB.
        typed::line(&bed, "gluster", "bd snapshot vms:lv1 snap 1")?.ok()?;
        let size = |lv: &str| vg.field(lv, "lv_size");
        ensure!(size("snap")? == "4194304", "{}", size("snap")?);
        typed::expect(&bed, "snapshot vms:lv1 whole", 0, "snapshot of")?;
        ensure!(size("whole")? == "12582912", "{}", size("whole")?);
        typed::expect(
            &bed,
            "merge vms:snap --force",
            5,
            "a copy-on-write snapshot",
        )?;
        ensure!(vg.lvs()? == ["lv1", "snap", "whole"]);
        let all = "delete vms:snap vms:whole vms:lv1";
        typed::expect(&bed, all, 0, "deleted vms:/top/lv1")?;
        shares_of_what_is_free(&bed, &vg)?;
        renamed_group(rig, &bed, &vg)?;
        pools_of_a_new_brick(rig, &names)?;
        typed::interrupted(rig, &bed)
    });
}
