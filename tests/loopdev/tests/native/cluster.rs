//! Volumes on several hosts, each with a glusterd and a gluster-bdd: hosts that are away, and `check`.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use loopdev::{Cluster, Node, Place, Rig, run, wait_for};

/// Where `gluster-bd brick create vg0` puts the names of a brick.
const AT: &str = "/srv/gluster-bd/vg0";

/// Gives a host the disk of a brick, and a folder of the file engine for a volume group.
fn disk(rig: &mut Rig, node: &Node) -> Result<()> {
    node.disk(rig, "vg0", 512, Path::new(AT))?;
    node.sh(&format!("mkdir {AT}/brick {AT}/store")).map(drop)
}

/// Makes it a brick.
fn brick(node: &Node) -> Result<()> {
    node.gluster_bd(&format!(
        "brick init {AT}/brick --engine file --store {AT}/store --top vg0"
    ))?
    .ok()
    .map(drop)
}

/// `gluster-bd` there ends with `code`, and says `said` somewhere.
fn expect(node: &Node, words: &str, code: i32, said: &str) -> Result<()> {
    let output = node.gluster_bd(words)?;
    ensure!(
        output.code == code && (output.stdout.contains(said) || output.stderr.contains(said)),
        "expected {code} and {said:?}: {output}"
    );
    Ok(())
}

/// Waits until no brick has anything to heal.
fn healed(cluster: &Cluster, bricks: usize) -> Result<()> {
    let node = cluster.node(1);
    wait_for("the bricks to heal", || {
        node.gluster("volume heal vms")?;
        let told = node.gluster("volume heal vms info")?.stdout;
        Ok(told.matches("Number of entries: 0").count() == bricks)
    })
}

/// Three hosts, whatever becomes of the third.
#[test]
fn hosts_go_and_come() {
    run("native::cluster::hosts_go_and_come", Place::Native, |rig| {
        let cluster = rig.cluster(3, 3)?;
        for number in 1..=3 {
            disk(rig, cluster.node(number))?;
            brick(cluster.node(number))?;
        }
        let (first, last) = (cluster.node(1), cluster.node(3));
        let bricks = format!("server1:{AT}/brick server2:{AT}/brick server3:{AT}/brick");
        expect(
            first,
            &format!("volume create vms replica 3 {bricks}"),
            0,
            "",
        )?;
        cluster.done(1, "volume set vms network.ping-timeout 3")?;
        cluster.done(1, "volume start vms")?;
        let mount = rig.mount_from("server1", "vms", &[])?;
        let top = mount.join("vg0");
        wait_for("the image directory", || Ok(top.exists()))?;
        fs::write(top.join("a"), "before")?;
        for number in 1..=3 {
            expect(cluster.node(number), "check vms", 0, "clean")?;
            expect(cluster.node(number), "check", 0, "clean")?;
        }
        // Nobody tells that a host is cut off; libgfapi would wait for the kernel to find out.
        last.cut()?;
        let start = Instant::now();
        let cut = "host server3 does not answer";
        expect(first, "check vms", 1, cut)?;
        ensure!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
        expect(last, "check vms", 4, "is it started")?;
        fs::write(top.join("a"), "while it is cut off")?;
        last.mend()?;
        healed(&cluster, 3)?;

        last.kill()?;
        let dead = "host server3 does not answer (its glusterd does not run), and its brick";
        expect(first, "check vms", 1, dead)?;
        fs::write(top.join("a"), "while it is dead")?;
        last.boot(rig)?;
        healed(&cluster, 3)?;
        for number in 1..=3 {
            let held = cluster
                .node(number)
                .sh(&format!("cat {AT}/store/a"))?
                .stdout;
            ensure!(
                held.starts_with("while it is dead"),
                "server{number}: {held}"
            );
            expect(cluster.node(number), "check vms", 0, "clean")?;
        }

        // What only the brick of another host has.
        last.sh(&format!("rm {AT}/store/a"))?;
        expect(first, "check vms", 1, "no volume on server3:")?;
        Ok(())
    });
}
