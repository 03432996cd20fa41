use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use bd_model::Gfid;
use glusterfs::fops::{
    Lookup, LookupArgs, Opendir, OpendirArgs, Readdir, ReaddirArgs, Rmdir, RmdirArgs, Unlink,
    UnlinkArgs,
};
use glusterfs::{Call, Errno, Fd, FileType, Fop, Frame, Inode, Loc};

use crate::Brick;
use crate::inode_state::Kind;
use crate::ops::removal;

/// Bytes of names that are asked for at a time.
const BATCH: usize = 64 << 10;

/// Removes a directory. Heal asks for one with all that is below it, which posix puts aside as it is
/// and deletes later. The images go first, each as by an unlink. Where there were any, all else goes in
/// the same way, and posix removes an empty directory: heal may bring a name into it meanwhile, and an
/// image's name among what posix has put aside would count as one of its names until it is deleted.
///
/// The directory may have a new place already, where heal fills it at the same time. Posix goes by the
/// path that the table of inodes tells, so that must not be the old one any more.
///
/// The top image directory is the volume group, and stays.
pub(crate) fn rmdir(brick: &Arc<Brick>, call: Call<'_, Rmdir>) {
    if Gfid::from_bytes(call.args.loc.gfid()) == brick.top() {
        return call.fail(Errno::EBUSY);
    }
    let dir = call.args.loc.inode().map(|inode| inode.gfid());
    let is_kept = dir.is_some_and(|dir| brick.take_kept(dir));
    if call.args.xflags == 0 {
        return match is_kept {
            true => remove_kept(brick, call),
            false => call.pass(),
        };
    }
    let loc = &call.args.loc;
    if let (Some(inode), Some(parent), Some(name)) = (loc.inode(), loc.parent(), loc.name()) {
        inode.forget_name(&parent, name);
    }
    let mut call = call.detach();
    brick.on_control(move |brick| {
        let had_images = match remove_below(brick, &call.frame, &call.args.loc, Below::Images) {
            Ok(had_images) => had_images,
            // What is left is still in its place, and heal comes again.
            Err(errno) => return call.fail(errno),
        };
        if had_images {
            if let Err(errno) = remove_below(brick, &call.frame, &call.args.loc, Below::All) {
                return call.fail(errno);
            }
            // With a name that has come since it fails, and heal comes again.
            call.args.xflags = 0;
        }
        call.pass();
    });
}

/// What is removed below a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Below {
    Images,
    All,
}

/// Removes a directory from which an image could not be removed.
fn remove_kept(brick: &Arc<Brick>, call: Call<'_, Rmdir>) {
    let call = call.detach();
    let above = call.args.loc.parent_gfid();
    brick.on_control(move |brick| {
        let (frame, answer) = call.ask();
        match answer {
            Err(failure) if failure.errno == Errno::ENOTEMPTY => {
                brick.note_kept(above);
                frame.fail(Errno::new(libc::EHOSTDOWN));
            }
            answer => frame.answer(answer),
        }
    });
}

/// A directory by its path: by its gfid another one may be found. Heal gives a directory that was
/// moved its new place while it has the old one still, and for a while two have one gfid.
struct Dir {
    path: CString,
    inode: Inode<'static>,
}

/// Removes what is below a directory, and says whether images were.
fn remove_below<F: Fop>(
    brick: &Arc<Brick>,
    frame: &Frame<F>,
    loc: &Loc<'_>,
    what: Below,
) -> Result<bool, Errno> {
    let Some(inode) = loc.inode() else {
        return Ok(false);
    };
    let mut had_images = false;
    let mut dirs = vec![Dir {
        path: path_of(brick, loc)?,
        inode: inode.share(),
    }];
    let mut emptied = Vec::new();
    while let Some(dir) = dirs.pop() {
        for name in names_in(frame, &dir)? {
            let fresh = dir.inode.fresh();
            let path = joined(dir.path.to_bytes(), &name)?;
            let place = |inode: &Inode<'_>| Loc::by_name(&dir.inode, &name, inode).with_path(&path);
            let asked = LookupArgs {
                loc: place(&fresh),
                xdata: None,
            };
            let found = match frame.ask::<Lookup>(asked) {
                Ok(found) => found.buf,
                Err(failure) if failure.errno == Errno::ENOENT => continue,
                Err(failure) => return Err(failure.errno),
            };
            let gfid = found.gfid();
            let known = fresh.find(gfid);
            if found.file_type() == FileType::Directory {
                let inode = match known {
                    Some(known) => known,
                    None => fresh.link(None, &found)?,
                };
                emptied.push(place(&inode));
                dirs.push(Dir { path, inode });
                continue;
            }
            let inode = known.unwrap_or(fresh);
            let kind = match found.file_type() {
                FileType::Regular => brick.kind_of(frame, &inode, gfid)?,
                _ => Kind::Plain,
            };
            let place = place(&inode);
            if let Kind::Image(image) = kind {
                had_images = true;
                match removal::below(brick, frame, place, inode, image) {
                    // Heal has taken it meanwhile.
                    Ok(()) | Err(Errno::ENOENT | Errno::ESTALE) => {}
                    Err(errno) => return Err(errno),
                }
            } else if what == Below::All {
                frame.ask::<Unlink>(UnlinkArgs {
                    loc: place,
                    xflags: 0,
                    xdata: None,
                })?;
            }
        }
    }
    if what == Below::All {
        // Those that lie deepest were found last.
        for loc in emptied.into_iter().rev() {
            frame.ask::<Rmdir>(RmdirArgs {
                loc,
                xflags: 0,
                xdata: None,
            })?;
        }
    }
    Ok(had_images)
}

/// The path from the volume's root of the directory that posix takes a loc for.
fn path_of(brick: &Brick, loc: &Loc<'_>) -> Result<CString, Errno> {
    if loc.path().to_bytes().starts_with(b"/") {
        return Ok(loc.path().to_owned());
    }
    // Posix finds it by the handle of the directory above.
    let handle = Gfid::from_bytes(loc.parent_gfid()).handle();
    let real = |path: &std::path::Path| path.canonicalize().map_err(|_| Errno::ESTALE);
    let (dir, above) = (
        real(brick.server.dir())?,
        real(&brick.server.dir().join(handle))?,
    );
    let above = above.strip_prefix(&dir).map_err(|_| Errno::ESTALE)?;
    let name = loc.name().ok_or(Errno::EINVAL)?;
    let mut path = Vec::new();
    if !above.as_os_str().is_empty() {
        path = [b"/", above.as_os_str().as_bytes()].concat();
    }
    joined(&path, name)
}

fn joined(path: &[u8], name: &CStr) -> Result<CString, Errno> {
    CString::new([path, b"/", name.to_bytes()].concat()).map_err(|_| Errno::EINVAL)
}

/// The names in a directory; none if it is not there.
fn names_in<F: Fop>(frame: &Frame<F>, dir: &Dir) -> Result<Vec<CString>, Errno> {
    let fd = Fd::new(&dir.inode, frame.pid());
    let opened = frame.ask::<Opendir>(OpendirArgs {
        loc: Loc::of_inode(&dir.inode).with_path(&dir.path),
        fd: fd.share(),
        xdata: None,
    });
    match opened {
        Ok(_) => {}
        Err(failure) if failure.errno == Errno::ENOENT => return Ok(Vec::new()),
        Err(failure) => return Err(failure.errno),
    }
    let mut names = Vec::new();
    let mut offset = 0;
    loop {
        let mut reply = frame.ask::<Readdir>(ReaddirArgs {
            fd: fd.share(),
            size: BATCH,
            offset,
            xdata: None,
        })?;
        let before = offset;
        for entry in reply.entries.iter() {
            offset = i64::try_from(entry.offset()).map_err(|_| Errno::EOVERFLOW)?;
            if ![c".", c".."].contains(&entry.name()) {
                names.push(entry.name().to_owned());
            }
        }
        if offset == before {
            return Ok(names);
        }
    }
}
