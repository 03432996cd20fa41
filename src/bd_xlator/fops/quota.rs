//! Copies are counted as bytes that were written: quota looks at fops that write, of which a copy is none.
//!
//! So a fop that writes nothing goes through the translators which check and count, and comes back here.

use super::rights;
use glusterfs::fops::{Fallocate, FallocateArgs, FallocateReply, Fstat, FstatArgs};
use glusterfs::{Call, Dict, Errno, Fd, Fop, Frame, Inode, Node};

/// Refuses what is above a limit.
const QUOTA: &str = "features/quota";
/// Counts what files hold.
const MARKER: &str = "features/marker";
/// Marks an allocation that this brick has sent through them.
const ASKED: &str = "glusterfs.bd.counted";

/// Asks whether the directories of a file may hold `bytes` more; EDQUOT if not.
pub(super) fn check<F: Fop>(frame: &Frame<F>, file: &Inode<'_>, bytes: u64) -> Result<(), Errno> {
    send(frame, QUOTA, file, bytes)
}

/// As [`check`], for a file all of whose `size` bytes are about to be allocated. What heal and rebalance
/// bring has been counted where it comes from.
pub(super) fn check_growth<F: Fop>(
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

/// Has counted what a file holds by now.
pub(super) fn count<F: Fop>(frame: &Frame<F>, file: &Inode<'_>) -> Result<(), Errno> {
    send(frame, MARKER, file, 0)
}

fn send<F: Fop>(frame: &Frame<F>, kind: &str, file: &Inode<'_>, len: u64) -> Result<(), Errno> {
    let above: Option<Node> = frame.node().find_above(kind);
    let Some(above) = above else { return Ok(()) };
    let xdata = Dict::new();
    xdata.set_u32(ASKED, 1)?;
    let args = FallocateArgs {
        fd: Fd::anonymous(file),
        keep_size: 1,
        offset: 0,
        len: usize::try_from(len).map_err(|_| Errno::EFBIG)?,
        xdata: Some(xdata),
    };
    frame.ask_node::<Fallocate>(above, args)?;
    Ok(())
}

/// Whether an allocation is such a question.
pub(super) fn is_ours(call: &Call<'_, Fallocate>) -> bool {
    call.args
        .xdata
        .as_ref()
        .is_some_and(|asked| asked.contains(ASKED))
}

/// Answers it, without a change.
pub(super) fn answer(call: Call<'_, Fallocate>) {
    let asked = FstatArgs {
        fd: call.args.fd.share(),
        xdata: None,
    };
    match call.frame.ask::<Fstat>(asked) {
        Ok(found) => call.unwind(FallocateReply {
            preop: found.buf,
            postop: found.buf,
            xdata: None,
        }),
        Err(failure) => call.fail(failure.errno),
    }
}
