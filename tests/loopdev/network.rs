//! A network of its own for the hosts of a cluster, with this machine as one more host.

use std::fs;

use anyhow::{Context, Result};

use crate::rig::Rig;
use crate::sh::{cmd, sh};

/// The bridge that all hosts are plugged into.
const BRIDGE: &str = "gbt-net";
/// What the ends of cables on this machine begin with.
const CABLE: &str = "gbt-host";
/// What all addresses begin with.
const PREFIX: &str = "10.77.0.";
/// Where names are looked up.
const HOSTS: &str = "/etc/hosts";

/// The cable of one host, by the number of the host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cable(usize);

impl Rig {
    /// Makes the network. `names` are those of the hosts, whose addresses count from one.
    pub(crate) fn network(&mut self, names: &[String]) -> Result<()> {
        let known = fs::read_to_string(HOSTS).context("cannot read the hosts")?;
        // Those of a test that was killed.
        let mut lines: Vec<String> = known
            .lines()
            .filter(|line| !line.starts_with(PREFIX))
            .map(str::to_owned)
            .collect();
        let before = lines.join("\n") + "\n";
        for (number, name) in (1..).zip(names) {
            lines.push(format!("{PREFIX}{number} {name}"));
        }
        fs::write(HOSTS, lines.join("\n") + "\n")?;
        self.on_teardown("the names of hosts", move || Ok(fs::write(HOSTS, before)?));
        sweep()?;
        sh(&format!(
            "ip link add {BRIDGE} type bridge; ip addr add {PREFIX}254/24 dev {BRIDGE}; \
             ip link set {BRIDGE} up"
        ))?;
        self.on_teardown("the network", sweep);
        Ok(())
    }
}

/// Removes the network, where there is one, and cables whose hosts have just ended: the kernel takes them away
/// later.
pub(crate) fn sweep() -> Result<()> {
    sh(&format!(
        "for link in $(ip -o link show | sed -nE 's/^[0-9]+: ({BRIDGE}|{CABLE}[0-9]+)[@:].*/\\1/p'); do \
             ip link del $link || true; \
         done"
    ))
    .map(drop)
}

impl Cable {
    /// Plugs in the host with that number, whose network namespace is that of `pid`.
    pub(crate) fn plug(number: usize, pid: i32) -> Result<Cable> {
        let cable = Cable(number);
        let near = cable.near();
        sh(&format!(
            "ip link add {near} type veth peer name eth0 netns {pid}; \
             ip link set {near} master {BRIDGE} up; \
             nsenter -t {pid} -n ip addr add {PREFIX}{number}/24 dev eth0; \
             nsenter -t {pid} -n ip link set eth0 up"
        ))?;
        Ok(cable)
    }

    /// Its end on this machine.
    fn near(self) -> String {
        format!("{CABLE}{}", self.0)
    }

    /// Lets nothing through any more. Nobody hears of that: packets get lost.
    pub(crate) fn cut(self) -> Result<()> {
        cmd("ip", &["link", "set", &self.near(), "down"])?
            .ok()
            .map(drop)
    }

    /// Lets everything through again.
    pub(crate) fn mend(self) -> Result<()> {
        cmd("ip", &["link", "set", &self.near(), "up"])?
            .ok()
            .map(drop)
    }
}
