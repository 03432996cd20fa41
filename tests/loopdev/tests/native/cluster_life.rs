//! The life of a cluster as docs/operations.md tells it: three hosts, a fourth, a lost one.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use loopdev::{Cluster, Node, Output, Place, Rig, run, wait_for};

use crate::manual::{self, CLUSTER, REFUSED};

/// The images of the test, so many that a rebalance moves one.
const IMAGES: usize = 8;

/// The hosts, with what they have besides: room for bricks, below `/srv`.
fn hosts(rig: &mut Rig) -> Result<Cluster> {
    let cluster = rig.cluster(5, 1)?;
    for number in 1..=5 {
        cluster
            .node(number)
            .disk(rig, "disk", 600, Path::new("/srv"))?;
    }
    Ok(cluster)
}

/// What makes a brick where there are no volume groups.
fn init(vg: &str) -> String {
    let at = format!("/srv/gluster-bd/{vg}");
    format!(
        "mkdir -p {at}/brick {at}/store && \
         gluster-bd brick init {at}/brick --engine file --store {at}/store --top vg0"
    )
}

/// What hosts type, with other names and with M for G in sizes.
#[derive(Debug)]
struct Typed {
    hosts: Vec<String>,
    is_refused: bool,
    text: String,
}

/// The blocks for hosts below a heading of the manual, in order; fails where there is none.
fn typed_below(section: &str, names: &[(&str, &str)]) -> Result<Vec<Typed>> {
    let mut found = Vec::new();
    let blocks = manual::blocks()?;
    for block in blocks.iter().filter(|block| block.section == section) {
        let refused = block.marker.strip_prefix(REFUSED);
        let Some(hosts) = refused.or_else(|| block.marker.strip_prefix(CLUSTER)) else {
            continue;
        };
        let mut text = manual::small(&block.text);
        for (from, to) in names {
            text = text.replace(from, to);
        }
        found.push(Typed {
            hosts: hosts.split(' ').map(str::to_owned).collect(),
            is_refused: refused.is_some(),
            text,
        });
    }
    ensure!(
        !found.is_empty(),
        "no host types anything below {section:?}"
    );
    Ok(found)
}

/// Types what stands below a heading. What a host refuses names what is typed on the others next.
fn type_section(cluster: &Cluster, section: &str) -> Result<()> {
    let here = |vg: &str| format!("server1:/srv/gluster-bd/{vg}/brick");
    let create = |vg: &str| format!("gluster-bd brick create {vg} --top vg0");
    let names =
        ["vg0", "vg1"].map(|vg| [(create(vg), init(vg)), (format!("server1:/{vg}"), here(vg))]);
    let names: Vec<(&str, &str)> = names
        .iter()
        .flatten()
        .map(|(from, to)| (from.as_str(), to.as_str()))
        .collect();
    let mut wanted: Vec<String> = Vec::new();
    for typed in typed_below(section, &names)? {
        for host in &typed.hosts {
            let number: usize = host.trim_start_matches("server").parse()?;
            let line = format!("set -euo pipefail\n{}", typed.text);
            let output = cluster.node(number).cmd("bash", &["-c", &line])?;
            if typed.is_refused {
                ensure!(output.code == 5, "not refused: {output}");
                wanted = output.stderr.lines().map(str::to_owned).collect();
                wanted.retain(|line| line.starts_with("on server"));
                ensure!(!wanted.is_empty(), "{output}");
                continue;
            }
            output
                .ok()
                .with_context(|| format!("the manual says: {}", typed.text))?;
            wanted.retain(|line| {
                let told = line
                    .strip_prefix(&format!("on {host}: "))
                    .unwrap_or_default();
                let vg = told.split(' ').nth(3).unwrap_or_default();
                vg.is_empty() || typed.text.trim() != init(vg)
            });
            println!("measured: ran a block on {host}");
            if typed.text.contains("peer probe") {
                joined(cluster)?;
            }
        }
    }
    ensure!(wanted.is_empty(), "the manual leaves out: {wanted:?}");
    Ok(())
}

/// Waits until each host that was probed has joined, as the manual says.
fn joined(cluster: &Cluster) -> Result<()> {
    wait_for("new hosts to join", || {
        let told = cluster.node(1).gluster("peer status")?.stdout;
        let states = told.matches("State: ").count();
        Ok(told.matches("State: Peer in Cluster").count() == states)
    })
}

/// Waits until no brick has anything to heal.
fn healed(node: &Node, bricks: usize) -> Result<()> {
    wait_for("the bricks to heal", || {
        // By itself it goes on within ten minutes.
        node.gluster("volume heal vms")?;
        let told = node.gluster("volume heal vms info")?.stdout;
        Ok(told.matches("Number of entries: 0").count() == bricks)
    })
}

/// What the images hold, through the mount of the first host.
fn sums(node: &Node) -> Result<String> {
    Ok(node.sh("cd /mnt/vg0 && sha256sum *")?.stdout)
}

/// How many images a brick has, each with the bytes of one of them. An LV is larger than its image.
fn holds(node: &Node, vg: &str, sums: &str) -> Result<usize> {
    let store = format!("/srv/gluster-bd/{vg}/store");
    let each = "for lv in *; do head -c 1M $lv | sha256sum; done";
    let held = node
        .sh(&format!("shopt -s nullglob; cd {store}; {each}"))?
        .stdout;
    for line in held.lines() {
        let sum = line.trim_end_matches(['-', ' ']);
        ensure!(
            sums.contains(sum),
            "{} holds other bytes: {held}",
            node.name()
        );
    }
    Ok(held.lines().count())
}

#[test]
fn is_as_the_manual_says() {
    let name = "native::cluster_life::is_as_the_manual_says";
    run(name, Place::Native, |rig| {
        let cluster = hosts(rig)?;
        let first = cluster.node(1);
        first.sh(&format!("{}; {}", init("vg0"), init("vg1")))?;
        type_section(&cluster, "On three hosts")?;
        first.sh(&format!(
            "cd /mnt/vg0; for n in $(seq {IMAGES}); do \
             head -c 1M /dev/urandom | dd of=vm$n bs=1M conv=fsync status=none; done"
        ))?;
        let before = sums(first)?;
        first.gluster_bd("check vms")?.ok()?;

        type_section(&cluster, "More hosts")?;
        wait_for("the end of the rebalance", || {
            let told = first.gluster("volume rebalance vms status")?.stdout;
            ensure!(!told.contains("failed "), "{told}");
            Ok(told.contains("completed") && !told.contains("in progress"))
        })?;
        ensure!(sums(first)? == before, "other bytes after the rebalance");
        first.gluster_bd("check vms")?.ok()?;
        let moved = holds(cluster.node(4), "vg0", &before)?;
        println!("measured: {moved} of {IMAGES} images are on the new bricks");
        ensure!(moved > 0, "the new bricks are empty");

        cluster.node(3).cut()?;
        cluster.node(3).kill()?;
        wait_for("the others to notice", || {
            let seen = |number| cluster.node(number).gluster("peer status");
            let gone = |told: Output| told.stdout.contains("(Disconnected)");
            Ok(gone(seen(1)?) && gone(seen(2)?) && gone(seen(4)?))
        })?;
        type_section(&cluster, "A host is lost")?;
        healed(first, 6)?;
        let held = holds(cluster.node(5), "vg0", &before)?;
        ensure!(
            held == IMAGES - moved,
            "{held} of {IMAGES} images were healed"
        );
        ensure!(sums(first)? == before, "other bytes after the heal");

        let second = cluster.node(2);
        second.kill()?;
        second.sh("rm -r /srv/gluster-bd/vg0")?;
        second.boot(rig)?;
        cluster.joined(&[1, 2, 4, 5])?;
        type_section(&cluster, "Its disks alone are lost")?;
        healed(first, 6)?;
        let again = holds(second, "vg0", &before)?;
        ensure!(again == held, "{again} of {held} images were healed");
        first.gluster_bd("check vms")?.ok()?;
        for number in [1, 2, 4, 5] {
            cluster.node(number).gluster_bd("check")?.ok()?;
        }
        Ok(())
    });
}
