//! Volumes on several hosts, each with a glusterd and a gluster-bdd: hosts that are away, and `check`.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use loopdev::{Cluster, Node, Output, Place, Rig, run, wait_for};

/// Where `gluster-bd brick create vg0` puts the names of a brick.
const AT: &str = "/srv/gluster-bd/vg0";

/// Gives a host the disk of a brick, and a folder of the file engine for a volume group.
fn disk(rig: &mut Rig, node: &Node) -> Result<()> {
    node.disk(rig, "vg0", 512, Path::new(AT))?;
    node.sh(&format!("mkdir {AT}/brick {AT}/store")).map(drop)
}

/// Whether glusterd has marked a host's brick for a volume.
fn is_marked(node: &Node) -> Result<bool> {
    let name = "trusted.glusterfs.volume-id";
    Ok(node
        .cmd("getfattr", &["-n", name, &format!("{AT}/brick")])?
        .code
        == 0)
}

/// Makes it a brick.
fn brick(node: &Node) -> Result<Output> {
    let words = format!("brick init {AT}/brick --engine file --store {AT}/store --top vg0");
    node.gluster_bd(&words)?.ok()
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

/// A volume on three hosts comes to be, whatever was not ready before, and what is refused leaves no trace.
fn is_made(rig: &mut Rig, cluster: &Cluster) -> Result<()> {
    let [first, second, third] = [1, 2, 3].map(|number| cluster.node(number));
    let create =
        format!("volume create vms replica 3 server1:{AT}/brick server2:/vg0 server3:/vg0");
    let [on_second, on_third] =
        [2, 3].map(|n| format!("\non server{n}: gluster-bd brick create vg0 --top vg0"));
    disk(rig, first)?;
    brick(first)?;
    disk(rig, second)?;
    let few = format!("volume create vms replica 3 server1:{AT}/brick server2:/vg0");
    expect(first, &few, 2, "name 3 or 6")?;
    let stranger = create.replace("server3", "203.0.113.1");
    expect(first, &stranger, 5, "run: gluster peer probe 203.0.113.1")?;

    // The directory on the second host is no brick of ours, and the third host has none.
    for said in [&on_second, &on_third] {
        expect(first, &create, 5, said)?;
        ensure!(!is_marked(first)?, "server1 is marked");
        // It says so itself when it is asked again, where glusterd has marked it meanwhile.
        ensure!(
            is_marked(second)?,
            "glusterd marks no brick before all hosts agree"
        );
    }
    disk(rig, third)?;
    brick(third)?;
    second.sh(&format!(
        "setfattr -x trusted.glusterfs.volume-id {AT}/brick"
    ))?;
    expect(first, &create, 5, "no brick of server2:")?;
    ensure!(
        !is_marked(first)? && is_marked(third)?,
        "other marks are left"
    );
    ensure!(first.gluster("volume list")?.stdout.is_empty());

    // As the command says, also where it was done before.
    let free = "is free for a volume again";
    for node in [second, third] {
        let told = brick(node)?;
        ensure!(told.stdout.contains(free), "{told}");
    }
    // Killed before its last step, it goes on where it was.
    let bricks = [1, 2, 3].map(|n| format!("server{n}:{AT}/brick")).join(" ");
    let half = format!("volume create vms replica 3 {bricks}");
    first.gluster(&half)?.ok()?;
    expect(first, &create, 0, "please start it")?;
    let made = first.gluster("volume info vms")?.stdout;
    ensure!(made.contains("user.bd: on"), "{made}");
    expect(first, &create, 5, "exists already")?;
    // A mark of a volume that is there stays.
    let told = brick(third)?;
    ensure!(!told.stdout.contains(free) && is_marked(third)?, "{told}");
    Ok(())
}

/// Three hosts, whatever becomes of the third.
#[test]
fn hosts_go_and_come() {
    run("native::cluster::hosts_go_and_come", Place::Native, |rig| {
        let cluster = rig.cluster(3, 3)?;
        is_made(rig, &cluster)?;
        let (first, last) = (cluster.node(1), cluster.node(3));
        let set = "volume set vms network.ping-timeout 3";
        first.gluster(set)?.ok()?;
        first.gluster("volume start vms")?.ok()?;
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
