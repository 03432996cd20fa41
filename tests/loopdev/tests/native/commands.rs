//! The commands on the file engine.

use loopdev::{Place, run};

use crate::typed;

#[test]
fn image_commands() {
    run("native::image_commands", Place::Native, |rig| {
        let disk = rig.filesystem("disk", 512)?;
        let (brick, store) = (disk.join("b1"), disk.join("top"));
        std::fs::create_dir(&brick)?;
        std::fs::create_dir(&store)?;
        let server = rig.daemon("gluster-bdd", "gluster-bdd", &[], "gluster-bdd: ready")?;
        let (dir, store) = (brick.display().to_string(), store.display().to_string());
        let words = ["brick", "init", &dir, "--engine", "file", "--store", &store];
        loopdev::cmd("gluster-bd", &words)?.ok()?;
        let glusterd = rig.glusterd()?;
        let volume = rig.volume("vol", &[brick])?;
        volume.set("user.bd", "on")?;
        volume.start()?;
        let bed = typed::Bed {
            volume,
            top: "top".to_owned(),
        };
        typed::commands(rig, &bed)?;
        typed::servers_gone(&bed, &server, &glusterd)
    });
}
