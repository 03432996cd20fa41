//! A brick of GlusterFS 5 on a volume group, thick and thin, with snapshots.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bd_model::{Gfid, xattr};
use loopdev::{Place, Rig, Vg, gluster_bd, run, sh};

use crate::images::tools::{MIB, pattern};
use crate::old;

#[test]
fn is_taken_over() {
    run("guest::old_brick::is_taken_over", Place::Guest, body);
}

/// All that an adoption may change.
fn state(vg: &Vg, brick: &Path) -> Result<String> {
    let lvs = vg.lvm(
        "lvs",
        &["-a", "-o", "vg_tags,name,size,tags,attr,origin", vg.name()],
    )?;
    let vg = lvs.ok()?.stdout;
    let files = sh(&format!(
        "cd '{}'; find . | sort; find . -type f -o -type d | sort | xargs getfattr -h -d -m - -e hex; \
         find . -type f | sort | xargs stat -c '%n %s %y %z %h'",
        brick.display()
    ))?;
    Ok(format!("{vg}{}", files.stdout))
}

fn body(rig: &mut Rig) -> Result<()> {
    let vg = rig.vg("vg", &[256])?;
    vg.thin_pool("pool", 96)?;
    let disk = rig.filesystem("disk", 320)?;
    let brick = disk.join("old");
    rig.bdd()?;
    let _glusterd = rig.glusterd()?;
    let volume = rig.volume("vol", std::slice::from_ref(&brick))?;
    let images = [
        ("thin", "thin:8388608"),
        ("snapshot", "thin:8388608"),
        // GlusterFS 5 did not round in the mark, and LVM did.
        ("dir/thick", "lv:5000000"),
        ("dir/cow", "lv:4194304"),
    ];
    let images = old::make(rig, &volume, &images, "plain")?;
    let [thin, snapshot, thick, cow] = &images[..] else {
        anyhow::bail!("not four images");
    };
    let lv = |args: &[&str]| -> Result<()> { vg.lvm("lvcreate", args)?.ok().map(drop) };
    let name = |old: &old::Old| old.gfid.to_string();
    let node = |old: &old::Old| vg.device(&name(old));
    let write = |old: &old::Old, seed: u8, at: u64, len: usize| -> Result<()> {
        let file = fs::File::options().write(true).open(node(old))?;
        file.write_all_at(&pattern(seed.into(), len), at)?;
        Ok(file.sync_all()?)
    };
    let group = vg.name();
    let size = usize::try_from(8 * MIB)?;
    let pool = format!("{group}/pool");
    lv(&[
        "--thin",
        &pool,
        "--name",
        &name(thin),
        "--virtualsize",
        "8388608B",
    ])?;
    lv(&["-an", "-Zn", "-L8388608B", "-n", &name(thick), group])?;
    vg.lvm("lvchange", &["-ay", &format!("{group}/{}", name(thick))])?
        .ok()?;
    write(thin, 1, 0, size)?;
    write(thick, 2, 0, size)?;
    let of = |old: &old::Old| format!("{group}/{}", name(old));
    lv(&["-kn", "--snapshot", &of(thin), "--name", &name(snapshot)])?;
    lv(&["--snapshot", &of(thick), "--name", &name(cow), "-L4194304B"])?;
    write(thin, 3, MIB, 4096)?;
    write(thick, 4, MIB, 4096)?;
    let tag = "trusted.glusterfs.volume-id:01020304-0506-0708-090a-0b0c0d0e0f10";
    vg.lvm("vgchange", &["--addtag", tag, group])?.ok()?;
    rig.gluster(&["volume", "delete", volume.name()])?.ok()?;

    let dir = brick.to_string_lossy().into_owned();
    let adopt = ["adopt", &dir, "--vg", group];
    let before = state(&vg, &brick)?;
    let held = fs::File::open(node(cow))?;
    let told = gluster_bd(&adopt)?.fails()?;
    ensure!(told.stdout.contains("is open; stop who uses it"), "{told}");
    drop(held);
    let told = gluster_bd(&adopt)?.ok()?;
    println!("measured: {}", told.stdout);
    ensure!(
        told.stdout.contains("4 images, 0 of them do not fit"),
        "{told}"
    );
    ensure!(
        told.stdout
            .contains(&format!("a snapshot of {}", name(thin))),
        "{told}"
    );
    ensure!(state(&vg, &brick)? == before, "a dry run has left a trace");
    gluster_bd(&["brick", "init", &dir, "--vg", group])?.fails()?;
    ensure!(state(&vg, &brick)? == before, "a refusal has left a trace");
    gluster_bd(&[&adopt[..], &["--yes"]].concat())?.ok()?;
    // Nothing is left to do, and the group has all tags that it had.
    let again = gluster_bd(&[&adopt[..], &["--yes"]].concat())?.ok()?;
    ensure!(
        again.stdout.matches("it was done before").count() == 4,
        "{again}"
    );
    let tags = vg
        .lvm("vgs", &["--noheadings", "-o", "vg_tags", group])?
        .ok()?;
    ensure!(tags.stdout.contains(tag), "{tags}");

    let host = rig.host()?;
    let place = format!("{host}:{dir}");
    gluster_bd(&["volume", "create", volume.name(), &place, "force"])?.ok()?;
    volume.start()?;
    let mount = rig.mount(&volume, &[])?;
    let bytes = |seed, changed: Option<u64>| {
        let mut bytes = pattern(seed, size);
        if let Some(seed) = changed {
            let at = 1 << 20;
            bytes[at..at + 4096].copy_from_slice(&pattern(seed, 4096));
        }
        bytes
    };
    old::expect(&mount, thin, &bytes(1, Some(3)))?;
    old::expect(&mount, snapshot, &bytes(1, None))?;
    old::expect(&mount, thick, &bytes(2, Some(4)))?;
    // GlusterFS 5 cut it off behind the size of its copy-on-write space.
    old::expect(&mount, cow, &bytes(2, None))?;
    // They live on as images do.
    let url = |path: &str| format!("{}:/{path}", volume.name());
    gluster_bd(&["merge", &url("snapshot"), "--force"])?.ok()?;
    ensure!(
        fs::read(mount.join("thin"))? == bytes(1, None),
        "not merged"
    );
    gluster_bd(&["delete", &url("dir/cow"), &url("dir/thick")])?.ok()?;
    fs::write(mount.join(group).join("new"), "new")?;
    gluster_bd(&["check", &dir])?.ok()?;
    loopdev::wait_for("the LVs of what was removed to go", || {
        let mut lvs = vg.lvs()?;
        lvs.sort();
        let mut wanted = vec!["new".to_owned(), "pool".to_owned(), name(thin)];
        wanted.sort();
        Ok(lvs == wanted)
    })
    .with_context(|| format!("{:?}", vg.lvs()))?;

    // The way back: what GlusterFS 5 wants to see.
    rig.unmount(&mount)?;
    volume.stop()?;
    gluster_bd(&["brick", "remove", "--keep", &dir])?.ok()?;
    let mut root = [0; 16];
    rustix::fs::lgetxattr(&brick, "trusted.gfid", &mut root[..])?;
    ensure!(root == *Gfid::ROOT.as_bytes(), "{root:?}");
    let mut mark = [0; 16];
    let len = rustix::fs::lgetxattr(brick.join("thin"), xattr::IMAGE, &mut mark[..])?;
    ensure!(&mark[..len] == b"thin", "{mark:?}");
    vg.lvm("lvchange", &["-ay", &of(thin)])?.ok()?;
    ensure!(fs::read(node(thin))? == bytes(1, None), "another LV");
    Ok(())
}
