//! The word of a brick that a merge can come.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bd_model::Gfid;
use glusterfs::{Errno, Fop, Frame, Inode, gf_info, gf_warn};

use super::Merge;
use crate::{Brick, Image};

/// How long a merge waits for the last descriptor of the snapshot to go. Clients give descriptors
/// back after the program that had them has ended, and heal may be looking at the file.
pub(crate) const LAST_CLOSE: Duration = Duration::from_secs(3);
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long a brick keeps a snapshot closed for a merge that does not come. bd-client gives up
/// before that.
pub(crate) const PROMISED: Duration = Duration::from_secs(30);

/// A snapshot that is kept closed because a merge of it was announced.
#[derive(Debug)]
pub(crate) struct Promise {
    merge: Merge,
    since: Instant,
}

impl Promise {
    fn is_of(&self, snapshot: Gfid) -> bool {
        self.merge.snapshot.gfid() == snapshot
    }
}

/// Asked of all bricks before any of them merges: makes sure that `snapshot` can be merged into
/// `origin`, and keeps it closed until it is merged, [called off](call_off), or [`PROMISED`] is over.
///
/// Only for threads that may wait.
pub(crate) fn promise<F: Fop>(
    brick: &Arc<Brick>,
    frame: &Frame<F>,
    inode: &Inode<'_>,
    snapshot: &Arc<Image>,
    origin: Gfid,
) -> Result<(), Errno> {
    // bd-client has looked at who asks, and asks itself in root's name.
    if frame.uid() != 0 {
        return Err(Errno::EPERM);
    }
    let merge = Merge::prepare(brick, frame, inode, snapshot, origin)?;
    if let Err(errno) = snapshot.flush(&brick.server) {
        return Err(Errno::new(errno));
    }
    let patience = Instant::now() + LAST_CLOSE;
    while snapshot.is_open() && Instant::now() < patience {
        thread::sleep(LOOK_AGAIN);
    }
    let still = snapshot.quiesce();
    let mut promises = brick.promises();
    let gfid = snapshot.gfid();
    let is_promised = promises.iter().any(|promise| promise.is_of(gfid));
    if is_promised || is_unsettled(brick, gfid) || !still.fence_idle() {
        gf_warn!("<gfid:{gfid}> is open, or being merged: not merged");
        return Err(Errno::EBUSY);
    }
    let since = Instant::now();
    promises.push(Promise { merge, since });
    Ok(())
}

/// The merge that was promised does not come. Refused while it is not known whether it has been
/// done.
pub(crate) fn call_off<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    snapshot: Gfid,
) -> Result<(), Errno> {
    if frame.uid() != 0 {
        return Err(Errno::EPERM);
    }
    if is_unsettled(brick, snapshot) {
        return Err(Errno::EBUSY);
    }
    if let Some(merge) = take_promised(brick, snapshot) {
        merge.snapshot.unfence();
    }
    Ok(())
}

/// Lets snapshots be opened whose merge has not come: the client that announced it has died.
pub(crate) fn forget_promises(brick: &Brick) {
    let mut old = Vec::new();
    brick.promises().retain_mut(|promise| {
        let is_kept = promise.since.elapsed() < PROMISED;
        if !is_kept {
            old.push(Arc::clone(&promise.merge.snapshot));
        }
        is_kept
    });
    for snapshot in old {
        gf_info!("the merge of <gfid:{}> has not come", snapshot.gfid());
        snapshot.unfence();
    }
}

/// Whether it is not known yet if a merge of the snapshot was done.
pub(crate) fn is_unsettled(brick: &Brick, snapshot: Gfid) -> bool {
    let merges = brick.merges();
    merges.iter().any(|merge| merge.snapshot.gfid() == snapshot)
}

pub(crate) fn take_promised(brick: &Brick, snapshot: Gfid) -> Option<Merge> {
    let mut promises = brick.promises();
    let at = promises
        .iter()
        .position(|promise| promise.is_of(snapshot))?;
    Some(promises.swap_remove(at).merge)
}
