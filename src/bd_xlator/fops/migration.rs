//! Writes to a file that is just being moved to this brick.
//!
//! What DHT's rebalance has read on the old brick may be old when it comes here: clients write to
//! both bricks meanwhile. Their writes leave a note on the stub, and with that the rebalance gives
//! the file up, as on posix.

use std::sync::Arc;

use glusterfs::fops::{
    Fgetxattr, FgetxattrArgs, Fsetxattr, FsetxattrArgs, Writev, WritevArgs, Xdata,
};
use glusterfs::{Credentials, Dict, Errno, Fd, Frame, Stack, gf_warn};

use crate::core::Image;
use crate::{Brick, names};

/// Whose write it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A client's, which must not be overwritten with what was there before.
    Client,
    /// That of the process that moves the file.
    Mover,
}

/// The part that a write has in the move of a file, if one is under way.
pub(super) fn part_of(xdata: &Xdata<'_>) -> Option<Part> {
    let asked = xdata.as_ref()?;
    if asked.contains(names::PROTECT_WRITES) {
        Some(Part::Client)
    } else if asked.contains(names::AVOID_OVERWRITE) {
        Some(Part::Mover)
    } else {
        None
    }
}

/// Does a write of the process that moves the file, unless a client has written to it here, or
/// a client's, of which it leaves a note before.
pub(super) fn guard<T>(
    brick: &Brick,
    frame: &Frame<Writev>,
    args: &WritevArgs<'_>,
    image: &Arc<Image>,
    write: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    match part_of(&args.xdata) {
        None => write(),
        Some(Part::Client) => {
            image.stop_moves(|| note(brick, args, image))?;
            write()
        }
        Some(Part::Mover) => image.move_here(|| {
            if has_note(frame, &args.fd)? {
                gf_warn!(
                    "a client has written to image <gfid:{}>, which must not be overwritten: \
                     it is not moved here now",
                    image.gfid()
                );
                return Err(Errno::EBUSY);
            }
            write()
        }),
    }
}

fn note(brick: &Brick, args: &WritevArgs<'_>, image: &Arc<Image>) -> Result<(), Errno> {
    let dict = Dict::new();
    let value = args
        .xdata
        .as_ref()
        .and_then(|xdata| xdata.get(names::PROTECT_WRITES));
    dict.set(names::PROTECT_WRITES, &value.unwrap_or_default())?;
    let _change = image.changing();
    Stack::new(brick.xl.node(), &Credentials::root()).ask::<Fsetxattr>(FsetxattrArgs {
        fd: args.fd.share(),
        dict,
        flags: 0,
        xdata: None,
    })?;
    Ok(())
}

fn has_note(frame: &Frame<Writev>, fd: &Fd<'_>) -> Result<bool, Errno> {
    let found = frame.ask::<Fgetxattr>(FgetxattrArgs {
        fd: fd.share(),
        name: Some(names::PROTECT_WRITES_C.into()),
        xdata: None,
    });
    match found {
        Ok(_) => Ok(true),
        Err(failure) if failure.errno == Errno::ENODATA => Ok(false),
        Err(failure) => Err(failure.errno),
    }
}
