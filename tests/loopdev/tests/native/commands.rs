//! The commands on the file engine.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use loopdev::{Daemon, Place, Rig, cmd, run, sh, wait_for};

use crate::typed::{self, Bed};

/// A volume of one brick on the file engine, and its servers.
pub(crate) fn bed(rig: &mut Rig) -> Result<(Bed, PathBuf, Daemon, Daemon)> {
    let disk = rig.filesystem("disk", 512)?;
    let (brick, store) = (disk.join("b1"), disk.join("top"));
    std::fs::create_dir(&brick)?;
    std::fs::create_dir(&store)?;
    let server = rig.daemon("gluster-bdd", "gluster-bdd", &[], "gluster-bdd: ready")?;
    let (dir, store) = (brick.display().to_string(), store.display().to_string());
    let words = ["brick", "init", &dir, "--engine", "file", "--store", &store];
    cmd("gluster-bd", &words)?.ok()?;
    let glusterd = rig.glusterd()?;
    let volume = rig.volume("vol", std::slice::from_ref(&brick))?;
    volume.set("user.bd", "on")?;
    volume.start()?;
    let top = "top".to_owned();
    Ok((Bed { volume, top }, brick, server, glusterd))
}

/// What the commands refuse before a server hears of it, or by what any file has. The volume is
/// started and has no images; nothing is left.
fn refused(rig: &mut Rig, bed: &Bed) -> Result<()> {
    let lines = [
        ("create vms:/top/x 10%FREE", 2, "add --thick"),
        ("create vms:/top/x 0%FREE --thick", 2, "0%FREE"),
        ("create vms:/nothere/lv1 4MB", 3, "no such file"),
        ("create vms:/top/x 4Q", 2, "is not a unit"),
        ("create lv1 4MB", 2, "names no volume"),
        ("crate vms:/top/x 4", 2, "create"),
        ("list vms_nothere", 3, "is the name right?"),
        ("create vms:lv1 4MB", 0, "created"),
        ("create vms:/top/lv1 4MB", 5, "exists already"),
        ("snapshot vms:lv1 snap", 0, "snapshot of"),
        ("snapshot vms:/top/lv1 snap", 5, "exists already"),
        ("clone vms:/top/nothere x", 3, "no such file"),
        ("clone vms:/top/lv1 /x", 5, "makes no images"),
        ("merge vms:/top/lv1", 5, "is no snapshot"),
        ("merge vms:nothere", 3, "no such file"),
        ("merge vms:snap", 5, "--force"),
        ("resize vms:lv1 -2M", 5, "--force"),
        ("resize vms:lv1 -1T --force", 1, "no size it can have"),
        ("rename vms:lv1 snap", 5, "exists already"),
        ("info vms:/top", 5, "is not a regular file"),
        ("list vms:/", 0, "/top/snap"),
    ];
    for (words, code, said) in lines {
        typed::expect(bed, words, code, said)?;
    }
    let nobody = "--reuid 65534 --regid 65534 --clear-groups gluster-bd create vms:/top/x 4";
    let output = typed::line(bed, "setpriv", nobody)?;
    ensure!(
        output.code == 1 && output.stderr.contains("permission denied; use a user"),
        "{output}"
    );
    typed::expect(bed, "delete vms:snap vms:lv1", 0, "deleted vms:/top/lv1")?;
    let mount = rig.mount(&bed.volume, &[])?;
    let left = sh(&format!(
        "cd {}; find . ! -path '*/.trashcan*'",
        mount.display()
    ))?;
    ensure!(left.stdout == format!(".\n./{}", bed.top), "{left}");
    rig.unmount(&mount)
}

/// A client that lacks the translator is told so.
fn without_translator(bed: &Bed) -> Result<()> {
    let found = sh("ls /usr/lib/*/glusterfs/*/xlator/features/bd-client.so")?;
    let path = found.stdout.trim().to_owned();
    sh(&format!("mv {path} {path}.away"))?;
    let said = typed::line(bed, "gluster-bd", "list vms")?;
    sh(&format!("mv {path}.away {path}"))?;
    let cause = format!("{path} is missing; it must be built for the installed glusterfs");
    let misleads = said.stderr.contains("is the name right");
    ensure!(said.stderr.contains(&cause) && !misleads, "{said}");
    typed::expect(bed, "list vms", 0, "IMAGE")
}

#[test]
fn image_commands() {
    run("native::image_commands", Place::Native, |rig| {
        let (bed, brick, server, glusterd) = bed(rig)?;
        refused(rig, &bed)?;
        without_translator(&bed)?;
        typed::commands(rig, &bed)?;
        let remove = format!("brick remove {}", brick.display());
        typed::expect(&bed, &remove, 5, "stop its volume first")?;
        typed::servers_gone(&bed, &server, &glusterd)?;
        typed::expect(&bed, &remove, 4, "gluster-bdd")?;
        let _server = rig.daemon("gluster-bdd", "gluster-bdd", &[], "gluster-bdd: ready")?;
        typed::expect(&bed, &remove, 0, "is no brick any more")?;
        typed::expect(&bed, &remove, 3, "is not a brick of gluster-bd")
    });
}

#[test]
fn interrupted_commands() {
    run("native::interrupted_commands", Place::Native, |rig| {
        let (bed, ..) = bed(rig)?;
        typed::interrupted(rig, &bed)
    });
}

#[test]
fn a_brick_that_nobody_configured() {
    run(
        "native::a_brick_that_nobody_configured",
        Place::Native,
        |rig| {
            let disk = rig.filesystem("disk", 512)?;
            let (brick, store) = (disk.join("b1"), disk.join("top"));
            std::fs::create_dir(&store)?;
            let glusterd = rig.glusterd()?;
            let volume = rig.volume("vol", std::slice::from_ref(&brick))?;
            let name = brick.display().to_string();
            let log = name.trim_start_matches('/').replace('/', "-");
            let log = PathBuf::from(format!("/var/log/glusterfs/bricks/{log}.log"));
            let cure = format!("gluster-bd brick init {name} --vg VG");
            volume.set("user.bd", "on")?;
            wait_for("the warning in the brick's log", || {
                Ok(std::fs::read_to_string(&log).is_ok_and(|text| text.contains(&cure)))
            })?;
            volume.start()?;
            let found = cmd("gluster-bd", &["check"])?;
            ensure!(found.code == 1 && found.stdout.contains(&cure), "{found}");
            // So does a check of the volume, from any host.
            let found = cmd("gluster-bd", &["check", volume.name()])?;
            let said = format!("{name} of volume {} serves no images", volume.name());
            ensure!(found.code == 1 && found.stdout.contains(&said), "{found}");
            for words in ["list VOL", "tree VOL", "create VOL:/x 4M", "info VOL:/x"] {
                let words = words.replace("VOL", volume.name());
                let words: Vec<&str> = words.split(' ').collect();
                let said = cmd("gluster-bd", &words)?;
                ensure!(
                    said.code == 1 && said.stderr.contains("serves no images"),
                    "{said}"
                );
            }
            // After the cure nothing is found, and a release is asked for of the brick.
            let server = rig.bdd()?;
            let store = store.display().to_string();
            let words = [
                "brick", "init", &name, "--engine", "file", "--store", &store,
            ];
            cmd("gluster-bd", &words)?.ok()?;
            volume.stop()?;
            volume.start()?;
            cmd("gluster-bd", &["check", volume.name()])?.ok()?;
            let found = cmd("gluster-bd", &["check"])?;
            ensure!(
                !found.stdout.contains(&cure) && !found.stdout.contains("release"),
                "{found}"
            );
            // Services that a brick needs.
            for (service, name) in [(&server, "gluster-bdd"), (&glusterd, "glusterd")] {
                let said = format!("{name} does not answer, and volume {}", volume.name());
                ensure!(!cmd("gluster-bd", &["check"])?.stdout.contains(&said));
                service.stop()?;
                let found = cmd("gluster-bd", &["check"])?;
                let cure = format!("run: systemctl start {name}");
                let has_both = found.stdout.contains(&said) && found.stdout.contains(&cure);
                ensure!(found.code == 1 && has_both, "{found}");
            }
            for words in [&["list"][..], &["list", volume.name()]] {
                let said = cmd("gluster-bd", words)?;
                let cure = "its glusterd does not run; run: systemctl start glusterd";
                ensure!(said.code == 4 && said.stderr.contains(cure), "{said}");
            }
            let words = ["list", volume.name(), "--remote-host", "nobody.invalid"];
            let said = cmd("gluster-bd", &words)?;
            ensure!(
                said.code == 4 && said.stderr.contains("is the name right"),
                "{said}"
            );
            Ok(())
        },
    );
}
