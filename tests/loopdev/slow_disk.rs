//! A disk that answers nobody: the kernel's I/O controller keeps what some processes want of it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::{fs, io};

use anyhow::{Context, Result, bail, ensure};

use crate::rig::Rig;
use crate::wait::wait_for;

/// Where the controller is: version 1 (a hierarchy of its own) or 2.
const HIERARCHIES: [(&str, bool); 2] = [("/sys/fs/cgroup/blkio", false), ("/sys/fs/cgroup", true)];

/// Processes in a group of the I/O controller, by which a disk can be withheld from them.
#[derive(Clone, Debug)]
pub struct SlowDisk {
    root: PathBuf,
    group: PathBuf,
    /// Its numbers, as `8:0`.
    disk: String,
    pids: Vec<i32>,
    is_unified: bool,
}

impl Rig {
    /// The disk of the file system at `place`, for processes from which it will be withheld.
    ///
    /// Needs a cgroup hierarchy with the I/O controller (`blkio` of version 1, `io` of version 2;
    /// cgroups(7)).
    pub fn slow_disk(&mut self, place: &Path, pids: &[i32]) -> Result<SlowDisk> {
        let device = fs::metadata(place)?.dev();
        let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
        let (root, is_unified) = hierarchy()?;
        let slow = SlowDisk {
            group: root.join(self.name("slow")),
            root,
            disk: format!("{major}:{minor}"),
            pids: pids.to_vec(),
            is_unified,
        };
        fs::create_dir(&slow.group)?;
        let owned = slow.clone();
        self.on_teardown(format!("group {}", slow.group.display()), move || {
            owned.remove()
        });
        if is_unified {
            put(&slow.root.join("cgroup.subtree_control"), "+io")?;
        }
        for pid in pids {
            put(&slow.group.join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(slow)
    }
}

/// While it lives nothing of the disk reaches the processes, nor the other way.
///
/// It ends with the test's process, too, however that ends: processes that wait for a disk cannot be
/// killed.
#[derive(Debug)]
pub struct Hold(Child);

impl SlowDisk {
    /// Lets one byte pass in a second.
    pub fn hold(&self) -> Result<Hold> {
        // It lets go at the end of its input, which is the end of this value or of this process.
        let mut command = Command::new("setsid");
        command.args([
            "bash",
            "-ec",
            "cat; while [ $# != 0 ]; do echo \"$2\" >\"$1\"; shift 2; done",
            "-",
        ]);
        for (file, text) in self.limits(None) {
            command.arg(file).arg(text);
        }
        let helper = command
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot start setsid")?;
        let hold = Hold(helper);
        for (file, text) in self.limits(Some(1)) {
            put(&file, &text)?;
        }
        Ok(hold)
    }

    /// Files of the group, and what they are told for so many bytes in a second.
    fn limits(&self, bytes: Option<u32>) -> Vec<(PathBuf, String)> {
        let (group, disk) = (&self.group, &self.disk);
        if self.is_unified {
            let bytes = bytes.map_or("max".to_owned(), |bytes| bytes.to_string());
            return vec![(
                group.join("io.max"),
                format!("{disk} rbps={bytes} wbps={bytes}"),
            )];
        }
        let line = format!("{disk} {}", bytes.unwrap_or(0));
        ["read", "write"]
            .map(|way| {
                (
                    group.join(format!("blkio.throttle.{way}_bps_device")),
                    line.clone(),
                )
            })
            .into()
    }

    fn remove(&self) -> Result<()> {
        for pid in &self.pids {
            if Path::new("/proc").join(pid.to_string()).exists() {
                put(&self.root.join("cgroup.procs"), &pid.to_string())?;
            }
        }
        wait_for(&format!("the end of {}", self.group.display()), || {
            Ok(fs::remove_dir(&self.group).is_ok())
        })
    }
}

impl Hold {
    /// Lets pass what was held, and all that comes.
    pub fn let_go(mut self) -> Result<()> {
        ensure!(self.end()?.success(), "the disk is still held");
        Ok(())
    }

    fn end(&mut self) -> io::Result<ExitStatus> {
        drop(self.0.stdin.take());
        self.0.wait()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ended = self.end();
    }
}

/// The hierarchy of the I/O controller, and whether it is one of version 2.
fn hierarchy() -> Result<(PathBuf, bool)> {
    for (root, is_unified) in HIERARCHIES {
        let root = PathBuf::from(root);
        let found = if is_unified {
            let list = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
            list.split_whitespace().any(|name| name == "io")
        } else {
            root.join("cgroup.procs").exists()
        };
        if found {
            return Ok((root, is_unified));
        }
    }
    bail!("the kernel's I/O controller is not mounted below /sys/fs/cgroup; see cgroups(7)")
}

fn put(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("writing {text:?} to {}", file.display()))
}
