//! glusterd, volumes and mounts, all in their default folders: the machine is the rig's own.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::daemon::{Daemon, alive};
use crate::mounts;
use crate::rig::Rig;
use crate::sh::{Output, cmd};
use crate::sweep;
use crate::wait::wait_for;

const GLUSTERD_PID: &str = "/run/glusterd.pid";

/// Options of a mount that may end beside others: on dispersed volumes it keeps no lock after its reads.
///
/// A removal or rename that waits in `features/locks` for a lock of a client that goes is never woken (the
/// clean-up of a client calls no `pl_inode_remove_unlocked`), and hangs for ever on any volume.
pub const KEEPS_NO_LOCKS: &[&str] = &[
    "--xlator-option=*-disperse-0.eager-lock=off",
    "--xlator-option=*-disperse-0.other-eager-lock=off",
];

/// A Gluster volume of the rig.
#[derive(Clone, Debug)]
pub struct Volume {
    name: String,
    bricks: Vec<PathBuf>,
}

/// Runs the stock command line, without questions. Gives its output whatever its code.
fn gluster<S: AsRef<str>>(args: &[S]) -> Result<Output> {
    let mut all = vec!["--mode=script"];
    all.extend(args.iter().map(AsRef::as_ref));
    cmd("gluster", &all)
}

/// This machine's name, as glusterd wants it in brick names.
fn host() -> Result<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").context("cannot read the name")?;
    Ok(name.trim().to_owned())
}

impl Rig {
    /// Starts a glusterd that knows no volume, and waits until it answers. Call it again after a
    /// `stop` or `kill9` of the former one: then it finds its volumes again. With `GBT_MULTIPLEX` set,
    /// all bricks are in one process.
    pub fn glusterd(&mut self) -> Result<Daemon> {
        let args = [
            "--no-daemon",
            "-p",
            GLUSTERD_PID,
            "-l",
            "/var/log/glusterfs/glusterd.log",
        ];
        let daemon = self.daemon("glusterd", "glusterd", &args, "")?;
        wait_for("an answer of glusterd", || {
            if !daemon.running()? {
                let log = fs::read_to_string("/var/log/glusterfs/glusterd.log").unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(5).collect();
                anyhow::bail!("glusterd ended at its start: {}", tail.join("\n"));
            }
            Ok(gluster(&["volume", "list"])?.code == 0)
        })?;
        if std::env::var_os("GBT_MULTIPLEX").is_some() {
            let all = ["volume", "set", "all", "cluster.brick-multiplex", "on"];
            gluster(&all)?.ok()?;
        }
        Ok(daemon)
    }

    /// Runs the stock `gluster` command line in script mode.
    pub fn gluster<S: AsRef<str>>(&self, args: &[S]) -> Result<Output> {
        gluster(args)
    }

    /// This machine's name, as glusterd wants it in brick names.
    pub fn host(&self) -> Result<String> {
        host()
    }

    /// Makes the volume `<prefix>_<part>` on brick folders, which are made where they are missing.
    pub fn volume(&mut self, part: &str, bricks: &[PathBuf]) -> Result<Volume> {
        self.volume_with(part, &[], bricks)
    }

    /// The same with words for `gluster volume create`, such as `["replica", "3"]`.
    pub fn volume_with(
        &mut self,
        part: &str,
        words: &[&str],
        bricks: &[PathBuf],
    ) -> Result<Volume> {
        let volume = self.adopt_volume(&self.name(part), bricks);
        let host = host()?;
        let mut args = vec![
            "volume".to_owned(),
            "create".to_owned(),
            volume.name.clone(),
        ];
        args.extend(words.iter().map(|word| (*word).to_owned()));
        for brick in bricks {
            fs::create_dir_all(brick)
                .with_context(|| format!("cannot make {}", brick.display()))?;
            args.push(format!("{host}:{}", brick.display()));
        }
        args.push("force".to_owned());
        gluster(&args)?.ok()?;
        Ok(volume)
    }

    /// Takes a volume made by other means (such as `gluster-bd volume create`) into the rig, so
    /// that it is stopped and deleted at the end. It need not exist yet.
    pub fn adopt_volume(&mut self, name: &str, bricks: &[PathBuf]) -> Volume {
        let volume = Volume {
            name: name.to_owned(),
            bricks: bricks.to_vec(),
        };
        let owned = volume.clone();
        self.on_teardown(format!("volume {name}"), move || owned.remove());
        volume
    }

    /// Mounts a volume through FUSE with more options of glusterfs(8), such as `--entry-timeout=0`.
    /// Gives the mount point, a new folder for each call.
    ///
    /// mount(8) would run a script which does the same with some dozens of programs: seconds under
    /// emulation. The manual's blocks are typed with it.
    pub fn mount(&mut self, volume: &Volume, options: &[&str]) -> Result<PathBuf> {
        self.mount_from(&host()?, &volume.name, options)
    }

    /// As [`Rig::mount`], of the volume with that name, which the glusterd of `server` knows.
    pub fn mount_from(&mut self, server: &str, name: &str, options: &[&str]) -> Result<PathBuf> {
        let number = fs::read_dir(self.dir())?.count();
        let at = self.folder(&format!("mnt{number}"))?;
        let owned = at.clone();
        self.on_teardown(format!("mount {}", at.display()), move || {
            mounts::unmount(&owned)
        });
        let mut args: Vec<String> = options.iter().map(|word| (*word).to_owned()).collect();
        args.extend([
            format!("--log-file=/var/log/glusterfs/{name}-mnt{number}.log"),
            "--process-name=fuse".to_owned(),
            format!("--volfile-server={server}"),
            format!("--volfile-id=/{name}"),
            at.to_string_lossy().into_owned(),
        ]);
        cmd("glusterfs", &args)?.ok()?;
        // As that script does: the root of a file system that answers has this number.
        wait_for(&format!("the mount {}", at.display()), || {
            Ok(fs::metadata(&at).is_ok_and(|root| root.ino() == 1))
        })?;
        Ok(at)
    }

    /// Mounts one brick of a volume without the others: the brick with that number, from zero.
    pub fn mount_brick(&mut self, volume: &Volume, number: usize) -> Result<PathBuf> {
        let brick = volume.bricks.get(number).context("no such brick")?;
        let at = self.folder(&format!("brick{number}"))?;
        let volfile = self.dir().join(format!("brick{number}.vol"));
        let text = format!(
            "volume one\n type protocol/client\n option remote-host {}\n option remote-subvolume {}\n \
             option transport-type socket\nend-volume\n",
            host()?,
            brick.display()
        );
        fs::write(&volfile, text)?;
        let owned = at.clone();
        let target = at.to_string_lossy().into_owned();
        self.on_teardown(format!("mount {target}"), move || mounts::unmount(&owned));
        let volfile = format!("--volfile={}", volfile.display());
        let log = format!("--log-file=/var/log/glusterfs/brick{number}.log");
        cmd("glusterfs", &[volfile.as_str(), log.as_str(), &target])?.ok()?;
        Ok(at)
    }

    /// Mounts a volume as if the brick with that number, from zero, were away. As with
    /// [`KEEPS_NO_LOCKS`], it keeps no lock.
    pub fn mount_without(&mut self, volume: &Volume, number: usize) -> Result<PathBuf> {
        let name = &volume.name;
        let kept = format!("/var/lib/glusterd/vols/{name}/trusted-{name}.tcp-fuse.vol");
        let text = fs::read_to_string(&kept).with_context(|| format!("cannot read {kept}"))?;
        // Nobody listens on that port.
        let block = format!("volume {name}-client-{number}\n    type protocol/client\n");
        let away = format!("{block}    option remote-port 1\n");
        anyhow::ensure!(text.contains(&block), "{kept} has no brick {number}");
        let count = fs::read_dir(self.dir())?.count();
        let at = self.folder(&format!("without{count}"))?;
        let volfile = self.dir().join(format!("without{count}.vol"));
        let disperse = "    type cluster/disperse\n";
        let eager = "    option eager-lock off\n    option other-eager-lock off\n";
        let text = text
            .replace(&block, &away)
            .replace(disperse, &format!("{disperse}{eager}"));
        fs::write(&volfile, text)?;
        let owned = at.clone();
        self.on_teardown(format!("mount {}", at.display()), move || {
            mounts::unmount(&owned)
        });
        let volfile = format!("--volfile={}", volfile.display());
        let log = format!("--log-file=/var/log/glusterfs/without{count}.log");
        cmd(
            "glusterfs",
            &[volfile.as_str(), log.as_str(), &at.display().to_string()],
        )?
        .ok()?;
        wait_for(&format!("the mount {}", at.display()), || {
            Ok(fs::metadata(&at).is_ok_and(|root| root.ino() == 1))
        })?;
        Ok(at)
    }

    /// Unmounts what [`Rig::mount`] has mounted; no error where it is not mounted.
    pub fn unmount(&self, at: &Path) -> Result<()> {
        mounts::unmount(at)
    }
}

impl Volume {
    /// The name, with the rig's prefix.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its brick folders on this machine.
    pub fn bricks(&self) -> &[PathBuf] {
        &self.bricks
    }

    /// Starts it and waits until every brick has a process and is reported online. Right after a
    /// kill of a brick, `force` starts what is missing.
    pub fn start(&self) -> Result<()> {
        gluster(&["volume", "start", &self.name, "force"])?.ok()?;
        wait_for(&format!("the bricks of {}", self.name), || {
            let pids = self.brick_pids()?;
            Ok(pids.len() == self.bricks.len()
                && pids.iter().all(|pid| alive(*pid))
                && self.online()?)
        })
    }

    fn online(&self) -> Result<bool> {
        let output = gluster(&["volume", "status", &self.name, "--xml"])?;
        Ok(output.code == 0
            && output.stdout.matches("<peerid>").count() >= self.bricks.len()
            && !output.stdout.contains("<status>0</status>"))
    }

    /// Stops it; no error where it is not started.
    pub fn stop(&self) -> Result<()> {
        // As glusterd keeps it: its own command line takes long in the guest.
        let kept = format!("/var/lib/glusterd/vols/{}/info", self.name);
        let kept = fs::read_to_string(kept).unwrap_or_default();
        if kept.lines().any(|line| line == "status=1") {
            // glusterd refuses while another transaction runs.
            wait_for(&format!("the stop of {}", self.name), || {
                Ok(gluster(&["volume", "stop", &self.name, "force"])?.code == 0)
            })?;
        }
        Ok(())
    }

    /// Sets an option.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        gluster(&["volume", "set", &self.name, key, value])?.ok()?;
        Ok(())
    }

    /// Processes of its bricks, in the order of the bricks, by glusterd's pid files; those that
    /// never started are missing.
    pub fn brick_pids(&self) -> Result<Vec<i32>> {
        let host = host()?;
        let mut pids = Vec::new();
        for brick in &self.bricks {
            let name = brick
                .to_string_lossy()
                .trim_start_matches('/')
                .replace('/', "-");
            let file = format!("/run/gluster/vols/{}/{host}-{name}.pid", self.name);
            if let Ok(text) = fs::read_to_string(&file)
                && let Ok(pid) = text.trim().parse()
            {
                pids.push(pid);
            }
        }
        Ok(pids)
    }

    /// Stops it: what glusterd knows goes with the machine, or with the next rig. Where glusterd is
    /// gone, its bricks are ended by signal.
    fn remove(&self) -> Result<()> {
        let pid = fs::read_to_string(GLUSTERD_PID).unwrap_or_default();
        if pid.trim().parse().is_ok_and(alive) {
            self.stop()?;
        }
        for pid in self.brick_pids()? {
            sweep::end_process(pid, Signal::SIGTERM)?;
        }
        Ok(())
    }
}
