//! A host of a cluster: a network, a host name and mounts of its own on this machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::daemon::{Daemon, alive};
use crate::network::Cable;
use crate::rig::Rig;
use crate::sh::{Output, cmd};
use crate::sweep::end_process;
use crate::wait::wait_for;

/// Runs as the first process of a host, which holds its namespaces. Each host has an empty `/run`, `/srv`
/// and `/mnt`, state and logs of its own, and a glusterd that notices within seconds that another one is
/// gone: in Debian's configuration it would wait for the kernel.
const HOLDER: &str = r#"
set -euo pipefail
name=$1 folder=$2
hostname "$name"
mkdir -p "$folder"/{glusterd,log,state}
for kept in hooks groups; do
	[ ! -e /var/lib/glusterd/$kept ] || cp -r /var/lib/glusterd/$kept "$folder/glusterd"
done
sed 's/option ping-timeout .*/option ping-timeout 3/' /etc/glusterfs/glusterd.vol >"$folder/glusterd.vol"
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=755 srv /srv
mount -t tmpfs -o mode=755 mnt /mnt
mkdir -p /run/gluster /run/lock /var/lib/gluster-bd
mount --bind "$folder/glusterd" /var/lib/glusterd
mount --bind "$folder/log" /var/log/glusterfs
mount --bind "$folder/state" /var/lib/gluster-bd
mount --bind "$folder/glusterd.vol" /etc/glusterfs/glusterd.vol
ip link set lo up
echo ready
exec sleep infinity
"#;

/// A host with a glusterd and a gluster-bdd.
#[derive(Clone, Debug)]
pub struct Node {
    name: String,
    holder: Daemon,
    cable: Cable,
}

impl Rig {
    /// Starts the host with that number, from one, without any server.
    pub(crate) fn node(&mut self, number: usize, name: &str) -> Result<Node> {
        let folder = self.folder(name)?;
        let folder = folder.display().to_string();
        let words = ["--net", "--mount", "--uts", "bash", "-c", HOLDER, "bash"];
        let args = [&words[..], &[name, &folder]].concat();
        let holder = self.daemon(name, "unshare", &args, "ready")?;
        let cable = Cable::plug(number, holder.pid()?)?;
        let node = Node {
            name: name.to_owned(),
            holder,
            cable,
        };
        let owned = node.clone();
        self.on_teardown(format!("host {name}"), move || owned.kill());
        Ok(node)
    }
}

/// The network of a process; none where it has ended.
fn network(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/net")).ok()
}

/// Processes on hosts of clusters: all that have another network than this one.
pub(crate) fn elsewhere() -> Result<Vec<i32>> {
    let here = fs::read_link("/proc/self/ns/net").context("cannot read the own namespace")?;
    Ok(processes(|network| *network != here))
}

fn processes(wanted: impl Fn(&PathBuf) -> bool) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| network(*pid).as_ref().is_some_and(&wanted) && alive(*pid))
        .collect()
}

impl Node {
    /// Its name, which all hosts of the cluster and this machine know.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The words that run a program there.
    fn inside(&self) -> Result<[String; 7]> {
        let pid = self.holder.pid()?.to_string();
        // All may run in a root of its own, which a namespace of mounts does not know.
        Ok(["-t", &pid, "-n", "-m", "-u", "--root", "--wd"].map(str::to_owned))
    }

    /// Runs a program there. Gives its output whatever its code.
    pub fn cmd<S: AsRef<str>>(&self, program: &str, args: &[S]) -> Result<Output> {
        let mut all = self.inside()?.to_vec();
        all.push(program.to_owned());
        all.extend(args.iter().map(|arg| arg.as_ref().to_owned()));
        let mut output = cmd("nsenter", &all)?;
        let words: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
        output.command = format!("{}: {program} {}", self.name, words.join(" "));
        Ok(output)
    }

    /// Runs a line of bash there, with `set -euo pipefail`; fails unless it ends with 0.
    pub fn sh(&self, line: &str) -> Result<Output> {
        self.cmd("bash", &["-euo", "pipefail", "-c", line])?.ok()
    }

    /// Runs a line of the stock `gluster` there, in script mode. Gives its output whatever its code.
    pub fn gluster(&self, line: &str) -> Result<Output> {
        let words: Vec<&str> = line.split(' ').collect();
        self.cmd("gluster", &[&["--mode=script"], &words[..]].concat())
    }

    /// Runs a line of `gluster-bd` there. Gives its output whatever its code.
    pub fn gluster_bd(&self, line: &str) -> Result<Output> {
        self.cmd("gluster-bd", &line.split(' ').collect::<Vec<_>>())
    }

    /// Starts gluster-bdd and glusterd, as the start of the host does, and waits until they answer.
    pub fn boot(&self, rig: &mut Rig) -> Result<()> {
        self.start(rig, "gluster-bdd", &[], "gluster-bdd: ready")?;
        let log = "/var/log/glusterfs/glusterd.log";
        let args = ["--no-daemon", "-p", "/run/glusterd.pid", "-l", log];
        let glusterd = self.start(rig, "glusterd", &args, "")?;
        wait_for(&format!("glusterd of {}", self.name), || {
            anyhow::ensure!(glusterd.running()?, "glusterd of {} ended", self.name);
            Ok(self.gluster("volume list")?.code == 0)
        })
    }

    fn start(&self, rig: &mut Rig, program: &str, args: &[&str], ready: &str) -> Result<Daemon> {
        let mut all = self.inside()?.to_vec();
        all.push(program.to_owned());
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        rig.daemon(&format!("{}-{program}", self.name), "nsenter", &all, ready)
    }

    /// Gives it a disk of `mib` MiB (300 at least) with XFS, mounted at `at` there and nowhere else.
    pub fn disk(&self, rig: &mut Rig, name: &str, mib: u64, at: &Path) -> Result<()> {
        let device = rig.loop_device(&format!("{}-{name}", self.name), mib)?;
        // It is free when the last process of the host has gone.
        let owned = self.clone();
        rig.on_teardown(format!("disks of host {}", self.name), move || {
            owned.kill()?;
            owned.holder.kill9()
        });
        let (device, at) = (device.display(), at.display());
        self.sh(&format!(
            "mkfs.xfs -q -K -m reflink=1 {device}; mkdir -p {at}; mount {device} {at}"
        ))?;
        Ok(())
    }

    /// Processes that run there, but for the one that holds it.
    fn processes(&self) -> Result<Vec<i32>> {
        let holder = self.holder.pid()?;
        let Some(own) = network(holder) else {
            return Ok(Vec::new());
        };
        let mut pids = processes(|network| *network == own);
        pids.retain(|pid| *pid != holder);
        Ok(pids)
    }

    /// Ends all that runs there with SIGKILL, as a power cut does to all processes at once. What they had
    /// written is there when the host boots again; what they kept in `/run` is not.
    pub fn kill(&self) -> Result<()> {
        if !self.holder.running()? {
            return Ok(());
        }
        wait_for(&format!("the end of all of {}", self.name), || {
            let pids = self.processes()?;
            for pid in &pids {
                end_process(*pid, Signal::SIGKILL)?;
            }
            Ok(pids.is_empty())
        })?;
        self.sh("umount -a -l -t fuse.glusterfs; find /run/gluster -mindepth 1 -delete")?;
        Ok(())
    }

    /// Takes it off the network. Nobody is told: packets get lost.
    pub fn cut(&self) -> Result<()> {
        self.cable.cut()
    }

    /// Puts it on the network again.
    pub fn mend(&self) -> Result<()> {
        self.cable.mend()
    }
}
