use std::ffi::CString;

use glusterfs::fops::{Inodelk, InodelkArgs};
use glusterfs::{Errno, Flock, Inode, Loc, Node, Stack, gf_error};

/// AFR's lock for data over the whole source, given back when dropped.
pub(crate) struct DataLock<'a> {
    stack: &'a Stack,
    source: &'a Inode<'a>,
    domain: CString,
}

impl<'a> DataLock<'a> {
    pub(crate) fn take(
        stack: &'a Stack,
        source: &'a Inode<'a>,
        replicas: Node,
    ) -> Result<DataLock<'a>, Errno> {
        let domain = CString::new(replicas.name()).map_err(|_| Errno::EINVAL)?;
        let lock = DataLock {
            stack,
            source,
            domain,
        };
        match lock.set(libc::F_SETLKW, Flock::write_all()) {
            Ok(()) => Ok(lock),
            Err(errno) => {
                // Nothing is held: AFR gives back what it got of a lock that failed.
                std::mem::forget(lock);
                Err(errno)
            }
        }
    }

    fn set(&self, cmd: i32, flock: Flock) -> Result<(), Errno> {
        let loc = Loc::by_gfid(self.source, self.source.gfid());
        let volume = self.domain.as_c_str().into();
        self.stack.ask::<Inodelk>(InodelkArgs {
            volume,
            loc,
            cmd,
            flock,
            xdata: None,
        })?;
        Ok(())
    }
}

impl Drop for DataLock<'_> {
    fn drop(&mut self) {
        if let Err(errno) = self.set(libc::F_SETLK, Flock::unlock_all()) {
            gf_error!(
                "the lock over {:?} could not be given back: {errno}",
                self.source
            );
        }
    }
}
