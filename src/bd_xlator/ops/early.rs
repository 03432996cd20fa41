//! Bytes that heal and rebalance bring for a file before they bring the mark that makes it an image:
//! they shall not fill the file system of the names, where such a file still is.

use crate::ops::resize;
use glusterfs::fops::{Fallocate, Fstat, FstatArgs, Statfs, StatfsArgs, Writev};
use glusterfs::{Call, Errno, Fd, Fop, Frame, Iatt, Loc, Service, gf_warn};

/// DHT's link files, and files that are just being moved, have these permissions.
const LINK_FILE: u32 = libc::S_ISVTX;
/// What heal leaves free on the file system of the names: one part of that many.
const SPARED_PART: u64 = 20;
/// And at most that many bytes.
const SPARED: u64 = 256 << 20;

/// Gives a file that a rebalance is about to move here its size without blocks; `None` for any other
/// allocation.
///
/// Posix would take the blocks on the file system of the names, which need not have room for images.
/// The mover means to find out early whether there is room: for plain files it now does as it writes.
pub(crate) fn allocation(call: &Call<'_, Fallocate>) -> Result<Option<(Iatt, Iatt)>, Errno> {
    if call.frame.service() != Some(Service::Rebalance) {
        return Ok(None);
    }
    let asked = FstatArgs {
        fd: call.args.fd.share(),
        xdata: None,
    };
    let stub = call.frame.ask::<Fstat>(asked)?.buf;
    let end = u64::try_from(call.args.offset)
        .ok()
        .and_then(|offset| offset.checked_add(call.args.len as u64))
        .ok_or(Errno::EINVAL)?;
    if stub.permissions() != LINK_FILE || call.args.keep_size != 0 || end < stub.size() {
        return Ok(None);
    }
    resize::set_open(&call.frame, &call.args.fd, end).map(Some)
}

/// Whether a write to a plain file may be done: not if it is heal's and hardly any room is left. Heal
/// goes on with the attributes of the file then, among them the mark, if it has one; its bytes go to
/// an LV with the next turn.
pub(crate) fn write(call: &Call<'_, Writev>) -> Result<(), Errno> {
    if call.frame.service() != Some(Service::Heal) || has_room(&call.frame, &call.args.fd)? {
        return Ok(());
    }
    gf_warn!(
        "heal of {:?} waits: little room is left where names are kept",
        call.args.fd.inode()
    );
    Err(Errno::ENOSPC)
}

fn has_room<F: Fop>(frame: &Frame<F>, fd: &Fd<'_>) -> Result<bool, Errno> {
    let inode = fd.inode();
    let asked = StatfsArgs {
        loc: Loc::by_gfid(&inode, inode.gfid()),
        xdata: None,
    };
    let space = frame.ask::<Statfs>(asked)?.buf;
    let spared = (space.blocks() / SPARED_PART).min(SPARED / space.unit().max(1));
    Ok(space.available() > spared)
}
