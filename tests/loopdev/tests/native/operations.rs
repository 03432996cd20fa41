//! docs/operations.md, as far as it needs no disks.

use anyhow::{Result, ensure};
use loopdev::{Place, cmd, run, sh};

use crate::{completions, manual};

#[test]
fn the_manual_can_be_typed() {
    run("native::the_manual_can_be_typed", Place::Native, |rig| {
        let blocks = manual::blocks()?;
        ensure!(blocks.len() > 10, "{blocks:?}");
        let disk = rig.filesystem("disk", 1024)?;
        let (brick, store) = (disk.join("b1"), disk.join("vg0"));
        let (mount, backup) = (disk.join("mnt"), disk.join("backup"));
        for folder in [&brick, &store, &mount, &backup] {
            std::fs::create_dir(folder)?;
        }
        rig.bdd()?;
        let text = |path: &std::path::Path| path.display().to_string();
        let words = [
            "brick",
            "init",
            &text(&brick),
            "--engine",
            "file",
            "--store",
        ];
        cmd("gluster-bd", &[&words[..], &[&text(&store)]].concat())?.ok()?;
        rig.glusterd()?;
        let volume = rig.volume("vol", std::slice::from_ref(&brick))?;
        volume.set("user.bd", "on")?;
        volume.start()?;
        let mounted = text(&mount);
        let at = mounted.clone();
        rig.on_teardown("the mount of the manual", move || {
            let there = sh("cat /proc/self/mounts")?
                .stdout
                .contains(&format!(" {at} "));
            if there {
                cmd("umount", &[at.as_str()])?.ok()?;
            }
            Ok(())
        });
        let host = rig.host()?;
        let names: [(&str, &str); 5] = [
            ("/srv/gluster-bd/vg0/brick", &text(&brick)),
            ("server1", &host),
            ("/mnt", &mounted),
            ("/backup/", &format!("{}/", text(&backup))),
            ("vms", volume.name()),
        ];
        let result: Result<()> = manual::run_blocks(&blocks, "native", &names);
        result?;
        completions::work(rig, volume.name())?;
        ensure!(backup.join("vm1.qcow2").exists(), "there is no backup");
        Ok(())
    });
}
