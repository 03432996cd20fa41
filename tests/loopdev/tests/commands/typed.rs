//! What an admin types about images, on a volume of either engine.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use loopdev::{Output, Rig, Volume, cmd, sh, wait_for};

/// A volume of the test; in lines `vms` stands for it, and `top` for its image directory.
#[derive(Debug)]
pub(crate) struct Bed {
    /// The volume.
    pub(crate) volume: Volume,
    /// The name of its image directory.
    pub(crate) top: String,
}

/// Runs a line of a program, with the names put in, and taken out of what it says.
pub(crate) fn line(bed: &Bed, program: &str, line: &str) -> Result<Output> {
    let line = line
        .replace("vms", bed.volume.name())
        .replace("top", &bed.top);
    let words: Vec<&str> = line.split(' ').collect();
    let mut output = cmd(program, &words)?;
    for text in [&mut output.stdout, &mut output.stderr] {
        *text = text
            .replace(bed.volume.name(), "vms")
            .replace(&bed.top, "top");
    }
    Ok(output)
}

/// The line of gluster-bd ends with `code`, and says `said` somewhere.
pub(crate) fn expect(bed: &Bed, words: &str, code: i32, said: &str) -> Result<()> {
    let output = line(bed, "gluster-bd", words)?;
    ensure!(
        output.code == code && (output.stdout.contains(said) || output.stderr.contains(said)),
        "expected {code} and {said:?}: {output}"
    );
    Ok(())
}

/// The names that `list` shows.
pub(crate) fn listed(bed: &Bed) -> Result<String> {
    let output = line(bed, "gluster-bd", "list vms")?.ok()?;
    let names = output.lines().into_iter().skip(1);
    let names: Vec<&str> = names
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    Ok(names.join(" "))
}

/// The commands, on a started volume without images.
pub(crate) fn commands(rig: &mut Rig, bed: &Bed) -> Result<()> {
    expect(
        bed,
        "create vms:/top/lv1 4MB",
        0,
        "created vms:/top/lv1, 4 MiB",
    )?;
    expect(
        bed,
        "create vms:lv2 8 --thick",
        0,
        "vms:/top/lv2, 8 MiB, lv",
    )?;
    expect(bed, "resize vms:/top/lv1 +10%FREE", 5, "is thin")?;
    expect(bed, "create vms:x 10%FREE --thick", 0, "created vms:/top/x")?;
    expect(bed, "delete vms:x", 0, "deleted")?;

    let mount = rig.mount(&bed.volume, &[])?;
    let top = mount.join(&bed.top);
    sh(&format!(
        "head -c 4M /dev/urandom | dd of={0}/lv1 bs=1M conv=notrunc,fsync status=none",
        top.display()
    ))?;
    expect(
        bed,
        "clone vms:/top/lv1 clone",
        0,
        "cloned vms:/top/lv1 to vms:/top/clone",
    )?;
    expect(
        bed,
        "snapshot vms:/top/lv1 snap",
        0,
        "snapshot of vms:/top/lv1",
    )?;
    expect(
        bed,
        "snapshot vms:/top/lv1 sized 1",
        5,
        "vms:/top/lv1 is thin",
    )?;
    sh(&format!(
        "cd {} && cmp lv1 clone && cmp lv1 snap",
        top.display()
    ))?;

    // As in GlusterFS 5. 47: volumes, thin ones, clones, snapshots and zeroes on the server.
    let asked = |name: &str, file: &str| -> Result<String> {
        let words = ["--only-values", "--absolute-names", "-n", name, file];
        Ok(cmd("getfattr", &words)?.ok()?.stdout)
    };
    let root = mount.display().to_string();
    let snap = top.join("snap").display().to_string();
    ensure!(asked("volume.type", &root)? == "1");
    ensure!(asked("volume.caps", &root)? == "47");
    ensure!(asked("list-origin", &snap)? == "lv1");
    let plain = top.join("lv1").display().to_string();
    cmd("getfattr", &["-n", "list-origin", plain.as_str()])?.fails()?;

    for (key, name) in [("clone", "old-clone"), ("snapshot", "old-snap")] {
        let into = mount.join(name).display().to_string();
        fs::write(&into, "")?;
        let gfid = asked("glusterfs.gfid.string", &into)?;
        let lv1 = top.join("lv1").display().to_string();
        cmd("setfattr", &["-n", key, "-v", &gfid, &lv1])?.ok()?;
        // The mount remembers the size of the empty file for a second.
        wait_for("the bytes of the copy", || {
            Ok(cmd("cmp", &[&lv1, &into])?.code == 0)
        })?;
        cmd("setfattr", &["-n", key, "-v", &gfid, &lv1])?.fails()?;
        expect(bed, &format!("info vms:/{name}"), 0, "size:       4 MiB")?;
    }
    ensure!(asked("list-origin", &mount.join("old-snap").display().to_string())? == "lv1");
    expect(
        bed,
        "delete vms:/old-snap vms:/old-clone",
        0,
        "deleted vms:/old-clone",
    )?;

    // Only LVM has snapshots with a size of their own.
    let sized = line(bed, "gluster-bd", "snapshot vms:/top/lv2 sized 1")?;
    let refused = sized.code == 1 && sized.stderr.contains("invalid argument");
    ensure!(sized.code == 0 || refused, "{sized}");
    ensure!(
        listed(bed)?.contains("sized") != refused,
        "{}",
        listed(bed)?
    );
    if !refused {
        expect(
            bed,
            "merge vms:sized --force",
            5,
            "a copy-on-write snapshot",
        )?;
        expect(bed, "delete vms:sized", 0, "deleted")?;
    }
    expect(bed, "snapshot vms:/top/lv1 before", 0, "vms:/top/before")?;
    sh(&format!(
        "cd {} && head -c 1M /dev/zero | dd of=lv1 conv=notrunc,fsync status=none && ! cmp -s lv1 snap",
        top.display()
    ))?;
    let json = line(bed, "gluster-bd", "merge vms:before --force --json")?
        .ok()?
        .stdout;
    ensure!(
        json.contains("\"snapshot\": \"/top/before\"") && json.contains("\"path\": \"/top/lv1\""),
        "{json}"
    );
    // Another client's caches follow within a second.
    wait_for("the bytes of the snapshot", || {
        Ok(sh(&format!("cd {} && cmp -s lv1 snap", top.display())).is_ok())
    })?;

    expect(bed, "resize vms:lv1 +4M", 0, "has 8 MiB")?;
    expect(bed, "resize vms:lv1 -4M --mode=script", 0, "has 4 MiB")?;
    expect(bed, "resize vms:lv1 4095k --force", 0, "has 3.99 MiB")?;
    expect(
        bed,
        "rename vms:clone web",
        0,
        "renamed vms:/top/clone to vms:/top/web",
    )?;
    let lines = [
        ("clone vms:web vms:web-2", 0, "to vms:/top/web-2"),
        ("rename vms:web-2 vms:/top/web-3", 0, "to vms:/top/web-3"),
        (
            "rename vms:web-3 other:web-3",
            5,
            "stays in its volume, vms",
        ),
        (
            "list -o image,kind,lv -S -image",
            0,
            "\nvms:/top/web-3  thin  web-3\nvms:/top/web ",
        ),
        ("list -o lv,origin -S origin", 0, "\nsnap "),
        ("list --json -o +kind", 0, "\"kind\": \"thin\""),
        ("delete vms:web-3", 0, "deleted"),
    ];
    for (words, code, said) in lines {
        expect(bed, words, code, said)?;
    }
    expect(bed, "info vms:web", 0, "size:       4 MiB")?;
    ensure!(listed(bed)? == "/top/lv1 /top/lv2 /top/snap /top/web");
    expect(bed, "tree vms", 0, "── /top/snap (4 MiB")?;
    let json = line(bed, "gluster-bd", "list vms --json")?.ok()?.stdout;
    ensure!(
        json.starts_with(
            "{\n  \"volume\": \"vms\",\n  \"images\": [\n    {\n      \"path\": \"/top/lv1\""
        ),
        "{json}"
    );

    sh(&format!("touch {}/plain", mount.display()))?;
    expect(bed, "delete vms:/plain", 5, "not an image")?;
    expect(
        bed,
        "delete vms:/top/lv1 vms:nothere",
        3,
        "deleted vms:/top/lv1",
    )?;
    expect(
        bed,
        "delete vms:lv2 vms:web vms:/top/snap",
        0,
        "deleted vms:/top/snap",
    )?;
    ensure!(listed(bed)?.is_empty());
    let left = sh(&format!("ls -A {} {}", mount.display(), top.display()))?;
    ensure!(!left.stdout.contains(".gluster-bd-"), "{left}");
    rig.unmount(&mount)
}

/// Ctrl-C at many moments of a command: it is done or undone, whatever the moment.
pub(crate) fn interrupted(rig: &mut Rig, bed: &Bed) -> Result<()> {
    let mount = rig.mount(&bed.volume, &[])?;
    for moment in 0..12 {
        let image = format!("{}:/{}/image{moment}", bed.volume.name(), bed.top);
        let mut words = vec!["create", &image, "16"];
        if moment % 2 == 1 {
            words.push("--thick");
        }
        let mut child = Command::new("gluster-bd")
            .args(&words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        std::thread::sleep(Duration::from_millis(moment * 20));
        // It may have ended; that is one of the moments.
        cmd("kill", &["-INT".to_owned(), child.id().to_string()])?;
        let done = child.wait()?.success();
        let there = listed(bed)?.contains(&format!("/image{moment}"));
        ensure!(done == there, "moment {moment}: done {done}, there {there}");
    }
    let hidden = sh(&format!("ls -A {}", mount.display()))?;
    ensure!(hidden.stdout == bed.top, "{hidden}");
    rig.unmount(&mount)
}

/// What clients say whose servers are gone, in turn: gluster-bdd, the volume, glusterd.
pub(crate) fn servers_gone(
    bed: &Bed,
    server: &loopdev::Daemon,
    glusterd: &loopdev::Daemon,
) -> Result<()> {
    server.stop()?;
    expect(bed, "create vms:late 4", 4, "is gluster-bdd running")?;
    ensure!(listed(bed)?.is_empty());
    bed.volume.stop()?;
    expect(bed, "list vms", 4, "is it started")?;
    glusterd.stop()?;
    // Before anything is made.
    expect(
        bed,
        "volume create other localhost:/tmp",
        1,
        "volume info other failed: Connection failed",
    )?;
    expect(bed, "list vms", 4, "cannot ask glusterd of this host")
}
