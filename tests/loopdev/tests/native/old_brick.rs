//! A brick of GlusterFS 5 whose volume glusterd still knows.

use std::fs;

use anyhow::{Result, bail, ensure};
use bd_proto::{Adoption, BrickSpec, Client, EngineSpec, Reply, Request};
use loopdev::{Place, Rig, run, wait_for};

use crate::images::tools::pattern;
use crate::old;

#[test]
fn of_a_volume_that_is_there() {
    run(
        "native::old_brick::of_a_volume_that_is_there",
        Place::Native,
        body,
    );
}

fn body(rig: &mut Rig) -> Result<()> {
    let disk = rig.filesystem("disk", 512)?;
    let (brick, store) = (disk.join("old"), disk.join("vg0"));
    fs::create_dir(&store)?;
    rig.bdd()?;
    let glusterd = rig.glusterd()?;
    let volume = rig.volume("vol", std::slice::from_ref(&brick))?;
    let size = 8 << 20;
    let images = [("vm1", "thin:8388608"), ("dir/vm2", "thin:5000000")];
    let images = old::make(rig, &volume, &images, "plain")?;
    for (seed, image) in (0..).zip(&images) {
        fs::write(store.join(image.gfid.to_string()), pattern(seed, size))?;
    }
    // As GlusterFS 5 keeps such a volume.
    glusterd.stop()?;
    let kept = format!("/var/lib/glusterd/vols/{}", volume.name());
    let append = |path: &str, line: &str| -> Result<()> {
        let text = fs::read_to_string(path)?;
        Ok(fs::write(path, format!("{text}{line}\n"))?)
    };
    append(&format!("{kept}/info"), "caps=15")?;
    for entry in fs::read_dir(format!("{kept}/bricks"))? {
        append(&entry?.path().to_string_lossy(), "vg=vg0")?;
    }
    let _glusterd = rig.glusterd()?;

    let mut client = Client::connect(&bd_proto::socket_path(), "test")?;
    let mut adopt = |really: bool| -> Result<Adoption> {
        let spec = BrickSpec {
            dir: brick.clone(),
            engine: EngineSpec::File {
                store: store.clone(),
            },
            top: None,
            adopt: true,
        };
        match client.call(&Request::AdoptBrick { spec, really })? {
            Reply::Adoption(told) => Ok(told),
            other => bail!("{other:?}"),
        }
    };
    // Nothing is taken from a brick that is served.
    volume.start()?;
    let served = adopt(true)?;
    ensure!(
        served.brick.is_none() && served.refused[0].contains("served"),
        "{served:?}"
    );
    volume.stop()?;
    ensure!(adopt(false)?.fits());
    ensure!(adopt(true)?.brick.is_some());

    // Without our translator it would be files of zeros.
    let start = ["volume", "start", volume.name(), "force"];
    rig.gluster(&start)?;
    let log = format!(
        "/var/log/glusterfs/bricks/{}.log",
        brick.display().to_string()[1..].replace('/', "-")
    );
    wait_for("the plain brick to be refused", || {
        Ok(fs::read_to_string(&log)?.contains("676c7573-7465-722d-6264-2d627269636b"))
    })?;
    volume.serve_images()?;
    volume.start()?;
    let mount = rig.mount(&volume, &[])?;
    for (seed, image) in (0..).zip(&images) {
        old::expect(&mount, image, &pattern(seed, size))?;
    }
    ensure!(fs::read_to_string(mount.join("plain"))? == "plain");
    fs::write(mount.join("vg0/new"), "new")?;
    ensure!(store.join("new").is_file());
    loopdev::gluster_bd(&["check", &brick.to_string_lossy()])?.ok()?;
    Ok(())
}
