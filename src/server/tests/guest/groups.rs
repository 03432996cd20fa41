//! The crash tests on volume groups.

use std::cell::RefCell;

use bd_proto::EngineSpec;
use loopdev::{Place, Vg, run};

use super::crash;
use super::support::Bed;

/// Gives the group back as it was: without claim, and without LVs but the pool.
fn empty(vg: &Vg) {
    for lv in vg.lvs().unwrap() {
        if lv != "pool" {
            let lv = format!("{}/{lv}", vg.name());
            vg.lvm("lvremove", &["-y", &lv]).unwrap().ok().unwrap();
        }
    }
    let tags = vg
        .lvm("vgs", &["--noheadings", "-o", "vg_tags", vg.name()])
        .unwrap();
    for tag in tags.stdout.trim().split(',').filter(|tag| !tag.is_empty()) {
        let args = ["--deltag", tag, vg.name()];
        vg.lvm("vgchange", &args).unwrap().ok().unwrap();
    }
}

/// Runs the crash tests on a group of the rig.
pub(crate) fn survive(name: &str, pool: Option<&str>, points: &[&str]) {
    run(name, Place::Guest, |rig| {
        let vg = rig.vg("vg", &[1024])?;
        if let Some(pool) = pool {
            vg.thin_pool(pool, 512)?;
        }
        let disk = rig.filesystem("disk", 512)?;
        let bed = || {
            empty(&vg);
            let spec = EngineSpec::Lvm {
                vg: vg.name().parse().unwrap(),
                pool: pool.map(|pool| pool.parse().unwrap()),
            };
            Bed::new(tempfile::tempdir_in(&disk).unwrap(), spec)
        };
        let admin = |_: &Bed, name: &str| {
            let args = ["-y", "-Zn", "-an", "-L", "8m", "-n", name, vg.name()];
            vg.lvm("lvcreate", &args).unwrap().ok().unwrap();
        };
        let kept = RefCell::default();
        let ground = crash::Ground {
            bed: &bed,
            admin: &admin,
            kept: Some(&kept),
        };
        for point in points {
            crash::survive(&ground, point);
        }
        empty(&vg);
        Ok(())
    });
}
