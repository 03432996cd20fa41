//! The stock volume, as a base line: what fails here is the rig's fault.

use std::fs;

use loopdev::{Place, run};

#[test]
fn plain_volume() {
    run("native::plain_volume", Place::Native, |rig| {
        let disk = rig.filesystem("disk", 512)?;
        let glusterd = rig.glusterd()?;
        let volume = rig.volume("vol", &[disk.join("b1"), disk.join("b2")])?;
        volume.start()?;
        let mount = rig.mount(&volume, &[])?;
        fs::write(mount.join("hello"), "world")?;

        volume.stop()?;
        volume.start()?;
        glusterd.kill9()?;
        rig.glusterd()?;
        let pids = volume.brick_pids()?;
        assert_eq!(pids.len(), 2);
        for pid in pids {
            rig.kill9(pid)?;
        }
        rig.unmount(&mount)?;
        volume.start()?;
        let again = rig.mount(&volume, &[])?;
        assert_eq!(fs::read_to_string(again.join("hello"))?, "world");
        Ok(())
    });
}
