//! The stock volume under the guest's kernel.

use std::fs;

use loopdev::{Place, run};

#[test]
fn plain_volume() {
    run("guest::plain_volume", Place::Guest, |rig| {
        let disk = rig.filesystem("disk", 512)?;
        rig.glusterd()?;
        let volume = rig.volume("vol", &[disk.join("b")])?;
        volume.start()?;
        let mount = rig.mount(&volume, &[])?;
        fs::write(mount.join("hello"), "world")?;
        rig.unmount(&mount)?;
        let again = rig.mount(&volume, &[])?;
        assert_eq!(fs::read_to_string(again.join("hello"))?, "world");
        Ok(())
    });
}
