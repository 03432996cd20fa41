//! Where a file is: the directory and the name that lead to it.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use bd_model::Gfid;
use bd_proto::places::paths_of;
use glusterfs::fops::{
    Getxattr, GetxattrReply, Lookup, LookupArgs, Stat, StatArgs, Unlink, UnlinkArgs,
};
use glusterfs::{Call, Dict, Errno, FileType, Inode, Loc, Stack};

use crate::{Brick, names};

/// Answers where a file is. Posix would crash where a directory of it goes at that moment.
pub(crate) fn paths(brick: &Brick, call: Call<'_, Getxattr>) {
    let inode = call.args.loc.inode().map(|inode| inode.share());
    let Some(inode) = inode.filter(|inode| inode.file_type() != FileType::Directory) else {
        return call.pass();
    };
    // A new inode has none yet.
    let gfid = match inode.gfid() {
        gfid if gfid == [0; 16] => call.args.loc.gfid(),
        gfid => gfid,
    };
    let paths = paths_of(brick.server.dir(), Gfid::from_bytes(gfid));
    if paths.is_empty() {
        return call.fail(Errno::ENODATA);
    }
    let posix = brick.xl.node().first_child();
    let separator = posix.and_then(|posix| posix.option("gfid2path-separator"));
    let separator = separator.unwrap_or_else(|| ":".to_owned());
    let paths: Vec<&[u8]> = paths
        .iter()
        .map(|path| path.as_os_str().as_bytes())
        .collect();
    let text = paths.join(separator.as_bytes());
    let dict = Dict::new();
    match dict.set(&names::PATH.to_string_lossy(), &text) {
        Ok(()) => call.unwind(GetxattrReply {
            len: u32::try_from(text.len()).unwrap_or(0),
            dict: Some(dict),
            xdata: None,
        }),
        Err(errno) => call.fail(errno),
    }
}

/// Removes the name of a file that has one name, so that it lasts; done if it has none.
pub(crate) fn remove_name(
    brick: &Brick,
    stack: &Stack,
    inode: &Inode<'_>,
    gfid: Gfid,
) -> Result<(), Errno> {
    let (parent, name) = match place_of(brick, stack, inode, gfid) {
        Ok(place) => place,
        Err(errno) => {
            let loc = Loc::by_gfid(inode, *gfid.as_bytes());
            return match stack.ask::<Stat>(StatArgs { loc, xdata: None }) {
                Err(failure) if matches!(failure.errno, Errno::ENOENT | Errno::ESTALE) => Ok(()),
                _ => Err(errno),
            };
        }
    };
    stack.ask::<Unlink>(UnlinkArgs {
        loc: Loc::by_name(&parent, &name, inode),
        xflags: 0,
        xdata: None,
    })?;
    inode.unlink(&parent, &name);
    brick.make_last(Gfid::from_bytes(parent.gfid()))
}

/// The directory and the name of a file that has one name.
pub(crate) fn place_of(
    brick: &Brick,
    stack: &Stack,
    inode: &Inode<'_>,
    gfid: Gfid,
) -> Result<(Inode<'static>, CString), Errno> {
    // Posix notes it; the inode knows it if a client has asked for it by name.
    let path = match paths_of(brick.server.dir(), gfid).into_iter().next() {
        Some(path) => path.into_os_string().into_vec(),
        None => inode.path(None).ok_or(Errno::ESTALE)?.into_bytes(),
    };
    let mut parts = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        if !part.is_empty() {
            parts.push(CString::new(part).map_err(|_| Errno::EINVAL)?);
        }
    }
    let name = parts.pop().ok_or(Errno::ESTALE)?;
    let look = |parent: &Inode<'_>, name: &CStr| {
        let loc = Loc::by_name(parent, name, &parent.fresh());
        let found = stack.ask::<Lookup>(LookupArgs { loc, xdata: None });
        found.map_err(|failure| failure.errno)
    };
    let mut parent = inode.root();
    for part in parts {
        let found = look(&parent, &part)?;
        parent = match parent.find(found.buf.gfid()) {
            Some(known) => known,
            None => parent.fresh().link(Some((&parent, &part)), &found.buf)?,
        };
    }
    if look(&parent, &name)?.buf.gfid() != *gfid.as_bytes() {
        return Err(Errno::ESTALE);
    }
    Ok((parent, name))
}
