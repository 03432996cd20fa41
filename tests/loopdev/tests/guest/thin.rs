//! LVM and dm-thin under the rig, without gluster-bd.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use loopdev::{Place, run, sh};

#[test]
fn thin_lv_keeps_bytes() {
    run("guest::thin_lv_keeps_bytes", Place::Guest, |rig| {
        let vg = rig.vg("vg", &[256, 256])?;
        vg.thin_pool("pool", 128)?;
        let device = vg.thin_lv("pool", "thin", 64)?;
        let pattern: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
        let mut file = fs::File::options().read(true).write(true).open(&device)?;
        file.seek(SeekFrom::Start(3 << 20))?;
        file.write_all(&pattern)?;
        file.sync_all()?;

        vg.lvm(
            "lvcreate",
            &["-kn", "-s", "-n", "snap", &format!("{}/thin", vg.name())],
        )?
        .ok()?;
        file.seek(SeekFrom::Start(3 << 20))?;
        file.write_all(&vec![0xff; pattern.len()])?;
        file.sync_all()?;
        drop(file);

        let mut snap = fs::File::open(vg.device("snap"))?;
        snap.seek(SeekFrom::Start(3 << 20))?;
        let mut read = vec![0; pattern.len()];
        snap.read_exact(&mut read)?;
        assert!(
            read == pattern,
            "the snapshot does not hold the origin's former bytes"
        );
        assert_eq!(vg.field("snap", "origin")?, "thin");
        assert_eq!(vg.lvs()?, ["pool", "snap", "thin"]);
        Ok(())
    });
    // The rig checks this too; here it is said with LVM's own words.
    assert_eq!(
        sh("vgs --noheadings; dmsetup ls; losetup -l")
            .unwrap()
            .stdout,
        "No devices found"
    );
}
