use std::ffi::CString;
use std::sync::Arc;

use bd_model::xattr;
use glusterfs::fops::{Readdirp, ReaddirpArgs, Rmdir};
use glusterfs::{Call, Dict, Errno, Fd, FileType, Fop, Frame, Inode};

use super::unlink;
use crate::Brick;

/// Bytes of names and attributes that are asked for at a time.
const BATCH: usize = 128 << 10;

/// Removes a directory. Heal asks for one with all that is below it, which posix puts aside as it is
/// and deletes later: the images go first, each as by an unlink.
pub(crate) fn rmdir(brick: &Arc<Brick>, call: Call<'_, Rmdir>) {
    let dir = call.args.loc.inode().map(|inode| inode.share());
    match dir {
        Some(dir) if call.args.xflags != 0 => {
            let call = call.detach();
            brick.on_control(move |brick| match remove_images(brick, &call.frame, dir) {
                Ok(()) => call.pass(),
                // What is left is still in its place, and heal comes again.
                Err(errno) => call.fail(errno),
            });
        }
        Some(_) | None => call.pass(),
    }
}

/// What may lie below a directory and matters here.
enum Found {
    Dir(Inode<'static>),
    Image(CString, [u8; 16]),
}

fn remove_images<F: Fop>(
    brick: &Arc<Brick>,
    frame: &Frame<F>,
    dir: Inode<'static>,
) -> Result<(), Errno> {
    let mut dirs = vec![dir];
    while let Some(dir) = dirs.pop() {
        for found in list(frame, &dir)? {
            match found {
                Found::Dir(below) => dirs.push(below),
                Found::Image(name, gfid) => unlink::below(brick, frame, &dir, &name, gfid)?,
            }
        }
    }
    Ok(())
}

/// The directories and images right in a directory.
fn list<F: Fop>(frame: &Frame<F>, dir: &Inode<'_>) -> Result<Vec<Found>, Errno> {
    let fd = Fd::anonymous(dir);
    let mut all = Vec::new();
    let mut offset = 0;
    loop {
        let request = Dict::new();
        request.set_u32(xattr::IMAGE, 0)?;
        let mut reply = frame.ask::<Readdirp>(ReaddirpArgs {
            fd: fd.share(),
            size: BATCH,
            offset,
            xdata: Some(request),
        })?;
        let before = offset;
        for entry in reply.entries.iter() {
            offset = i64::try_from(entry.offset()).map_err(|_| Errno::EOVERFLOW)?;
            let (name, iatt) = (entry.name(), entry.iatt());
            if [c".", c".."].contains(&name) {
                continue;
            }
            let is_marked = entry.dict().is_some_and(|dict| dict.contains(xattr::IMAGE));
            if iatt.file_type() == FileType::Directory {
                let below = match dir.find(iatt.gfid()) {
                    Some(known) => known,
                    None => dir.fresh().link(Some((dir, name)), &iatt)?,
                };
                all.push(Found::Dir(below));
            } else if is_marked {
                all.push(Found::Image(name.to_owned(), iatt.gfid()));
            }
        }
        if offset == before {
            return Ok(all);
        }
    }
}
