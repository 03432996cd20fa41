//! What keeps a brick's directory from being served without our translator.
//!
//! Posix alone would serve images as files of zeros, and put what is written to them where nobody looks. It
//! refuses a directory whose gfid is not that of a volume's root. So the root of a brick which nobody serves
//! has another one: that is its seal. The translator breaks it before posix looks, and whoever serves holds
//! a lock, by which others know when the brick may be sealed again.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, XattrFlags, flock, lgetxattr, lsetxattr};
use rustix::io::Errno;

use crate::BRICK_FOLDER;

/// Where posix keeps a gfid.
const GFID: &str = "trusted.gfid";
/// The gfid of a volume's root.
const ROOT: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// The gfid of the root of a sealed brick. Posix writes it into its log, as
/// `676c7573-7465-722d-6264-2d627269636b`.
const SEAL: [u8; 16] = *b"gluster-bd-brick";
/// What is locked, in the brick's [`BRICK_FOLDER`].
const LOCK: &str = "served";
/// How long a start waits for somebody who is just sealing the brick.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often either looks again.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A brick that this process serves. Dropped, it is sealed if no other process serves it.
#[derive(Debug)]
pub struct Served {
    dir: PathBuf,
    lock: Option<File>,
}

impl Served {
    /// Breaks the seal of a brick, if it has one, and keeps others from sealing it.
    ///
    /// # Errors
    /// The directory is no brick of ours, or its attributes cannot be written.
    pub fn begin(dir: &Path) -> io::Result<Served> {
        let lock = open(dir)?;
        let until = Instant::now() + PATIENCE;
        while !locked(&lock, FlockOperation::NonBlockingLockShared)? {
            if Instant::now() > until {
                let text = "somebody has been sealing it for ten seconds";
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        unseal(dir)?;
        Ok(Served {
            dir: dir.to_owned(),
            lock: Some(lock),
        })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.lock.take());
        // A brick that could not be sealed is one as before; gluster-bdd tries it, too.
        let _sealed = seal(&self.dir);
    }
}

/// Seals a brick unless a process serves it; whether it is sealed now. One that was never served has
/// nothing to keep, and gets no seal.
///
/// # Errors
/// The directory is no brick of ours, or its attributes cannot be written.
pub fn seal(dir: &Path) -> io::Result<bool> {
    let lock = open(dir)?;
    if !locked(&lock, FlockOperation::NonBlockingLockExclusive)? {
        return Ok(false);
    }
    match gfid(dir)? {
        Some(ROOT) => lsetxattr(dir, GFID, &SEAL, XattrFlags::REPLACE)?,
        found => return Ok(found == Some(SEAL)),
    }
    Ok(true)
}

/// Takes the seal off a directory that is to be no brick of ours any more.
///
/// # Errors
/// Its attributes cannot be read or written.
pub fn unseal(dir: &Path) -> io::Result<()> {
    if gfid(dir)? == Some(SEAL) {
        lsetxattr(dir, GFID, &ROOT, XattrFlags::REPLACE)?;
    }
    Ok(())
}

fn open(dir: &Path) -> io::Result<File> {
    let path = dir.join(BRICK_FOLDER).join(LOCK);
    File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// Whether the lock was to be had.
fn locked(file: &File, how: FlockOperation) -> io::Result<bool> {
    match flock(file, how) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// The gfid of a directory; `None` if it has none.
fn gfid(dir: &Path) -> io::Result<Option<[u8; 16]>> {
    let mut found = [0; 16];
    match lgetxattr(dir, GFID, &mut found) {
        Ok(16) => Ok(Some(found)),
        Ok(_) => Ok(None),
        Err(Errno::NODATA) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
