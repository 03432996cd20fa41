//! Copies are counted as bytes that were written: quota looks at fops that write, of which a copy is none.

use crate::ops::{above, rights};
use glusterfs::fops::{Fstat, FstatArgs};
use glusterfs::{Errno, Fd, Fop, Frame, Inode};

/// Refuses what is above a limit.
const QUOTA: &str = "features/quota";

/// Asks whether the directories of a file may hold `bytes` more; EDQUOT if not.
pub(crate) fn check<F: Fop>(frame: &Frame<F>, file: &Inode<'_>, bytes: u64) -> Result<(), Errno> {
    above::allocate(frame, QUOTA, file, bytes)
}

/// As [`check`], for a file all of whose `size` bytes are about to be allocated. What heal and rebalance
/// bring has been counted where it comes from.
pub(crate) fn check_growth<F: Fop>(
    frame: &Frame<F>,
    file: &Inode<'_>,
    size: u64,
) -> Result<(), Errno> {
    if rights::is_service(frame) || frame.node().find_above(QUOTA).is_none() {
        return Ok(());
    }
    let asked = FstatArgs {
        fd: Fd::anonymous(file),
        xdata: None,
    };
    let has = frame.ask::<Fstat>(asked)?.buf.size();
    match size.checked_sub(has) {
        Some(more) if more > 0 => check(frame, file, more),
        _ => Ok(()),
    }
}
