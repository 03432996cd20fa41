use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bd_model::VgName;
use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;

/// LVM's locks of volume groups on this host.
///
/// Each is a file in one folder, locked by flock(2) for as long as a command works on the group (lvm.conf(5),
/// `global/locking_dir`; LVM2, lib/misc/lvm-flock.c).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VgLocks {
    folder: PathBuf,
}

/// LVM's lock of a group: no command of LVM, by whomever, changes it until this is dropped.
#[derive(Debug)]
pub struct VgLock {
    _file: File,
}

impl VgLocks {
    /// The locks that the host's lvm.conf asks for.
    ///
    /// `None` if it says which LVs may be active (`activation/volume_list`, `read_only_volume_list`):
    /// that is for LVM to decide. Fails if lvmconfig(8) does.
    pub fn of_host() -> io::Result<Option<VgLocks>> {
        let asked = Command::new("lvmconfig")
            .args(["--typeconfig", "full", "global/locking_dir"])
            .args(["activation/volume_list", "activation/read_only_volume_list"])
            .env("LVM_SUPPRESS_FD_WARNINGS", "1")
            .stdin(Stdio::null())
            .output()
            .map_err(|e| io::Error::new(e.kind(), format!("cannot run lvmconfig: {e}")))?;
        if !asked.status.success() {
            let said = String::from_utf8_lossy(&asked.stderr);
            let said = format!("lvmconfig: {} {}", asked.status, said.trim());
            return Err(io::Error::other(said));
        }
        Ok(VgLocks::read(&String::from_utf8_lossy(&asked.stdout)))
    }

    /// Reads lines as `locking_dir="/run/lock/lvm"`.
    fn read(text: &str) -> Option<VgLocks> {
        let mut folder = None;
        for line in text.lines() {
            match line.split_once('=') {
                Some(("locking_dir", value)) => folder = Some(value.trim_matches('"')),
                _ => return None,
            }
        }
        folder.map(VgLocks::below)
    }

    /// Locks in a folder.
    pub fn below(folder: impl AsRef<Path>) -> VgLocks {
        VgLocks {
            folder: folder.as_ref().to_owned(),
        }
    }

    /// Waits until no command of LVM works on `vg`, and keeps others from it.
    ///
    /// Must not be held while LVM is asked for anything about the group: that would wait for itself.
    pub fn take(&self, vg: &VgName) -> io::Result<VgLock> {
        let path = self.folder.join(format!("V_{vg}"));
        loop {
            let file = OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&path)?;
            retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
            // Who unlocks it removes it: this may be a file that is nobody's any more.
            let (held, named) = (file.metadata()?, path.metadata());
            match named {
                Ok(named) if (named.dev(), named.ino()) == (held.dev(), held.ino()) => {
                    return Ok(VgLock { _file: file });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_says_is_read() {
        let read = |text| VgLocks::read(text);
        let at = VgLocks::below("/run/lock/lvm");
        assert_eq!(read("locking_dir=\"/run/lock/lvm\"\n"), Some(at));
        assert_eq!(read("locking_dir=\"/a\"\nvolume_list=[\"vg0\"]\n"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn one_holds_a_group_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let locks = VgLocks::below(folder.path());
        let vg: VgName = "vg0".parse().unwrap();
        let held = locks.take(&vg).unwrap();
        let path = folder.path().join("V_vg0");
        let again = File::open(&path).unwrap();
        let refused = flock(&again, FlockOperation::NonBlockingLockExclusive);
        assert_eq!(refused, Err(rustix::io::Errno::WOULDBLOCK));
        let other = locks.take(&"vg1".parse().unwrap()).unwrap();
        drop((held, other));
        flock(&again, FlockOperation::NonBlockingLockExclusive).unwrap();

        // As LVM ends: it removes the file, and whoever waited for that one takes the new one.
        let waits = std::thread::spawn({
            let locks = locks.clone();
            move || locks.take(&vg)
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
        std::fs::remove_file(&path).unwrap();
        drop(again);
        let taken = waits.join().unwrap().unwrap();
        let ino = path.metadata().unwrap().ino();
        assert_eq!(taken._file.metadata().unwrap().ino(), ino);
    }
}
