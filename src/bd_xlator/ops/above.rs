//! Translators above that learn of changes by the fops that they see.
//!
//! A copy gets its bytes by an attribute of its source, and the origin of a merge by the removal of the
//! snapshot: no fop that they know changes these files. So one that changes nothing goes through them, and
//! comes back here.

use glusterfs::fops::{
    Fallocate, FallocateArgs, FallocateReply, Fstat, FstatArgs, Writev, WritevArgs, WritevReply,
    Xdata,
};
use glusterfs::{Call, Dict, Errno, Fd, Fop, Frame, Iatt, Inode, Payload, gf_warn};

/// Counts what files hold, for quotas; below it are those that tell clients to forget what they have
/// cached (`features/upcall`).
const MARKER: &str = "features/marker";
/// Notes whose bytes have changed, for geo-replication, by writes and truncates alone.
const CHANGELOG: &str = "features/changelog";
/// Marks a fop that this brick has sent through them.
const ASKED: &str = "glusterfs.bd.counted";

/// Lets all know that the bytes of a file have changed.
pub(crate) fn changed<F: Fop>(frame: &Frame<F>, file: &Inode<'_>) {
    if let Err(errno) = count(frame, file) {
        gf_warn!("{file:?} is not counted for quotas yet, nor are clients told of it: {errno}");
    }
    if let Err(errno) = note(frame, file) {
        gf_warn!("the changelog does not know that {file:?} has changed: {errno}");
    }
}

/// Has counted what a file holds by now.
pub(crate) fn count<F: Fop>(frame: &Frame<F>, file: &Inode<'_>) -> Result<(), Errno> {
    allocate(frame, MARKER, file, 0)
}

/// Sends an allocation of `len` bytes, by which nothing is allocated, through the translator of a type;
/// nothing where the brick has none.
pub(crate) fn allocate<F: Fop>(
    frame: &Frame<F>,
    kind: &str,
    file: &Inode<'_>,
    len: u64,
) -> Result<(), Errno> {
    let Some(above) = frame.node().find_above(kind) else {
        return Ok(());
    };
    let args = FallocateArgs {
        fd: Fd::anonymous(file),
        keep_size: 1,
        offset: 0,
        len: usize::try_from(len).map_err(|_| Errno::EFBIG)?,
        xdata: Some(asked()?),
    };
    frame.ask_node::<Fallocate>(above, args)?;
    Ok(())
}

/// Sends a write of one byte, by which nothing is written.
fn note<F: Fop>(frame: &Frame<F>, file: &Inode<'_>) -> Result<(), Errno> {
    let Some(above) = frame.node().find_above(CHANGELOG) else {
        return Ok(());
    };
    let args = WritevArgs {
        fd: Fd::anonymous(file),
        data: Payload::copied(&[0]),
        offset: 0,
        flags: 0,
        xdata: Some(asked()?),
    };
    frame.ask_node::<Writev>(above, args)?;
    Ok(())
}

fn asked() -> Result<Dict<'static>, Errno> {
    let xdata = Dict::new();
    xdata.set_u32(ASKED, 1)?;
    Ok(xdata)
}

/// Whether a fop is such a question.
pub(crate) fn is_ours(xdata: &Xdata<'_>) -> bool {
    xdata.as_ref().is_some_and(|asked| asked.contains(ASKED))
}

/// Answers it, without a change.
pub(crate) fn answer_allocation(call: Call<'_, Fallocate>) {
    match attributes(&call.frame, &call.args.fd) {
        Ok(found) => call.unwind(FallocateReply {
            preop: found,
            postop: found,
            xdata: None,
        }),
        Err(errno) => call.fail(errno),
    }
}

/// As [`answer_allocation`].
pub(crate) fn answer_write(call: Call<'_, Writev>) {
    let written = u32::try_from(call.args.data.len()).unwrap_or(0);
    match attributes(&call.frame, &call.args.fd) {
        Ok(found) => call.unwind(WritevReply {
            written,
            prebuf: found,
            postbuf: found,
            xdata: None,
        }),
        Err(errno) => call.fail(errno),
    }
}

fn attributes<F: Fop>(frame: &Frame<F>, fd: &Fd<'_>) -> Result<Iatt, Errno> {
    let asked = FstatArgs {
        fd: fd.share(),
        xdata: None,
    };
    Ok(frame.ask::<Fstat>(asked)?.buf)
}
