//! Writes to a file that is just being moved to this brick.
//!
//! What DHT's rebalance has read on the old brick may be old when it comes here: clients write to
//! both bricks meanwhile. Their writes leave a note on the stub, and with that the rebalance gives
//! the file up, as on posix.
//!
//! The size of the file is what it is at its old place when all bytes are here, unless clients have
//! set it here since. Rebalance itself sets it to what it was before clients knew of the move, and again
//! by what it writes: where a hole was cut off or added at the end meanwhile, it would stay so.

use std::ffi::CStr;
use std::sync::Arc;

use bd_model::xattr;
use glusterfs::fops::{
    Fgetxattr, FgetxattrArgs, Fsetattr, FsetattrArgs, Fsetxattr, FsetxattrArgs, Lookup, LookupArgs,
    Removexattr, RemovexattrArgs, Writev, WritevArgs, Xdata,
};
use glusterfs::{
    Call, Credentials, Dict, Errno, Fd, Fop, Frame, Inode, Loc, Service, Stack, gf_error, gf_warn,
    set_attr,
};

use crate::Image;
use crate::ops::{healed, resize};
use crate::{Brick, names};

/// Whose write it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A client's, which must not be overwritten with what was there before.
    Client,
    /// That of the process that moves the file.
    Mover,
}

/// The part that a write has in the move of a file, if one is under way.
pub(crate) fn part_of(xdata: &Xdata<'_>) -> Option<Part> {
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
pub(crate) fn guard<T>(
    brick: &Brick,
    frame: &Frame<Writev>,
    args: &WritevArgs<'_>,
    image: &Arc<Image>,
    write: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    match part_of(&args.xdata) {
        None => write(),
        Some(Part::Client) => {
            let start = u64::try_from(args.offset).unwrap_or_default();
            image.note_written_here(start.saturating_add(args.data.len() as u64));
            image.stop_moves(|| note(brick, args, image))?;
            write()
        }
        Some(Part::Mover) => image.move_here(|| {
            if has(frame, &args.fd, names::PROTECT_WRITES_C)? {
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

fn has<F: Fop>(frame: &Frame<F>, fd: &Fd<'_>, attribute: &CStr) -> Result<bool, Errno> {
    let found = frame.ask::<Fgetxattr>(FgetxattrArgs {
        fd: fd.share(),
        name: Some(attribute.into()),
        xdata: None,
    });
    match found {
        Ok(_) => Ok(true),
        Err(failure) if failure.errno == Errno::ENODATA => Ok(false),
        Err(failure) => Err(failure.errno),
    }
}

/// The image that is moved here, if rebalance sets its attributes at the end of the move.
pub(crate) fn arriving(brick: &Brick, call: &Call<'_, Fsetattr>) -> Option<Arc<Image>> {
    let ends = call.args.valid & set_attr::MODE != 0;
    if !ends || call.frame.service() != Some(Service::Rebalance) {
        return None;
    }
    let image = brick.image_of(&call.frame, &call.args.fd.inode()).ok()??;
    image.arrives().then_some(image)
}

/// Gives a file that has been moved here the size that it has at its old place.
///
/// Only for threads that may wait.
pub(crate) fn arrive(
    brick: &Brick,
    frame: &Frame<Fsetattr>,
    args: &FsetattrArgs<'_>,
    image: &Arc<Image>,
) -> Result<(), Errno> {
    if has(frame, &args.fd, names::DISPERSED_SIZE)? {
        // This is a part of the file, and the size is that of the whole.
        return Ok(());
    }
    let mut set_stub_size = |size| resize::stub_of(frame, &args.fd, image, size);
    image
        .arrive(&brick.server, args.stbuf.size(), &mut set_stub_size)
        .map_err(|failure| {
            gf_error!("cannot resize image <gfid:{}>: {failure}", image.gfid());
            Errno::new(failure.errno())
        })
}

/// Takes the LV from a link file: rebalance gives up files that are written to, and leaves a file here that
/// only says where the other is.
///
/// Only when nobody has it open any more, and for threads that may wait.
pub(crate) fn leave(brick: &Arc<Brick>, inode: &Inode<'_>, image: &Arc<Image>) {
    if !image.seems_elsewhere() {
        return;
    }
    let stack = Stack::new(brick.xl.node(), &Credentials::root());
    let is_link = || is_link_file(&stack, inode, image);
    match is_link() {
        // Who opens it from now on is told to come again.
        Ok(true) if !image.quiesce().fence_idle() => return,
        Ok(true) => {}
        Ok(false) => return image.set_elsewhere(false),
        // It is gone.
        Err(_) => return,
    }
    // Another try to move it here may have been quicker.
    let left = match image.seems_elsewhere() && is_link() == Ok(true) {
        true => unmap(brick, &stack, inode, image),
        false => Err(Errno::EBUSY),
    };
    if let Err(errno) = left {
        image.unfence();
        gf_warn!(
            "the link file <gfid:{}> keeps an LV for now: {errno}",
            image.gfid()
        );
    }
}

fn is_link_file(stack: &Stack, inode: &Inode<'_>, image: &Image) -> Result<bool, Errno> {
    let request = Dict::new();
    request.set_u32(xattr::DHT_LINKTO, 0)?;
    let found = stack.ask::<Lookup>(LookupArgs {
        loc: Loc::by_gfid(inode, *image.gfid().as_bytes()),
        xdata: Some(request),
    })?;
    let told = found.xdata.as_ref();
    let leads_on = told.is_some_and(|told| told.contains(xattr::DHT_LINKTO));
    Ok(leads_on && found.buf.permissions() == libc::S_ISVTX)
}

/// Makes the stub of an image that nobody can open a plain file, and removes the LV.
fn unmap(
    brick: &Arc<Brick>,
    stack: &Stack,
    inode: &Inode<'_>,
    image: &Arc<Image>,
) -> Result<(), Errno> {
    let gfid = image.gfid();
    image.begin_removal();
    let unmarked = match brick.server.mark_for_removal(gfid) {
        Ok(()) => stack
            .ask::<Removexattr>(RemovexattrArgs {
                loc: Loc::by_gfid(inode, *gfid.as_bytes()),
                name: names::IMAGE.into(),
                xdata: None,
            })
            .map(drop)
            .map_err(|failure| {
                healed::cancel_removal(brick, gfid);
                failure.errno
            }),
        Err(error) => Err(brick.told("remove", gfid, &error)),
    };
    if unmarked.is_ok() {
        image.mark_orphan();
    }
    image.end_removal();
    brick.remove_if_orphan(image);
    unmarked
}
