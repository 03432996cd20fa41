//! LVs that nobody has given a name yet become files of the top image directory.

use std::ffi::{CStr, CString};
use std::sync::Arc;

use bd_model::Gfid;
use bd_proto::{Foreign, Reply, Request};
use glusterfs::fops::{Lookup, LookupArgs, Mknod, MknodArgs};
use glusterfs::{Credentials, Dict, Errno, Inode, Loc, Stack, gf_info, gf_warn};

use crate::ops::heal_xattrs;
use crate::{Brick, names, stub};

/// Shows the LVs that were there before the brick, once: a file of such a name must not be made as another
/// image. Whoever makes one waits for gluster-bdd anyhow.
///
/// Only for threads that may wait.
pub(crate) fn show_first(brick: &Arc<Brick>) {
    if !brick.shows_all() {
        show_new(brick);
    }
}

/// Has the top image directory compared with those of the other bricks, where that is not sure.
///
/// Only for threads that may wait.
pub(crate) fn doubt_top(brick: &Arc<Brick>) {
    let node = brick.xl.node();
    let Some(root) = node.root_inode() else {
        return;
    };
    let stack = Stack::new(node, &Credentials::root());
    let done = linked_top(brick, &stack, &root)
        .and_then(|top| heal_xattrs::doubt(&stack, node, &Loc::by_gfid(&top, top.gfid())));
    if let Err(errno) = done {
        gf_warn!(
            "cannot have /{} compared with other bricks: {errno}",
            brick.server.brick().top
        );
    }
}

pub(crate) fn show_new(brick: &Arc<Brick>) {
    let _turn = brick.adopting();
    if adopt(brick) {
        brick.note_shown();
    }
}

/// Gives LVs that nobody has given a name yet a file in the top image directory. Says whether gluster-bdd
/// was there to tell of them.
pub(crate) fn adopt(brick: &Arc<Brick>) -> bool {
    let foreign = match brick.server.ask(&Request::Foreign {
        brick: brick.server.id(),
    }) {
        Ok(Reply::Foreign(foreign)) => foreign,
        // gluster-bdd is away; whoever needs it will say so.
        Ok(_) | Err(_) => return false,
    };
    let Some(root) = brick.xl.node().root_inode().filter(|_| !foreign.is_empty()) else {
        return true;
    };
    let stack = Stack::new(brick.xl.node(), &Credentials::root());
    let top = match linked_top(brick, &stack, &root) {
        Ok(top) => top,
        Err(errno) => {
            gf_warn!("cannot show LVs in /{}: {errno}", brick.server.brick().top);
            return false;
        }
    };
    for lv in foreign {
        match adopt_one(brick, &stack, &top, &lv) {
            Ok(name) => gf_info!(
                "LV {} appears as /{}/{name}",
                lv.lv,
                brick.server.brick().top
            ),
            Err(errno) => gf_warn!("LV {} cannot appear as a file: {errno}", lv.lv),
        }
    }
    true
}

/// The top image directory's inode, in the table.
pub(crate) fn linked_top(
    brick: &Brick,
    stack: &Stack,
    root: &Inode<'_>,
) -> Result<Inode<'static>, Errno> {
    let gfid = *brick.top().as_bytes();
    if let Some(top) = root.find(gfid) {
        return Ok(top);
    }
    let fresh = root.fresh();
    let found = stack.ask::<Lookup>(LookupArgs {
        loc: Loc::by_gfid(&fresh, gfid),
        xdata: None,
    })?;
    fresh.link(None, &found.buf)
}

/// Tags the LV first, then makes a stub, gives it its size, and marks it last: cut off anywhere,
/// the next turn goes on with the same gfid.
pub(crate) fn adopt_one(
    brick: &Brick,
    stack: &Stack,
    top: &Inode<'_>,
    lv: &Foreign,
) -> Result<String, Errno> {
    let gfid = lv.gfid.unwrap_or_else(Gfid::random);
    let fresh = top.find(*gfid.as_bytes()).unwrap_or_else(|| top.fresh());
    let name = free_name(stack, top, lv, gfid)?;
    let request = Request::Adopt {
        brick: brick.server.id(),
        lv: lv.lv.clone(),
        gfid,
    };
    brick
        .server
        .tell(&request)
        .map_err(|error| brick.told("adopt", gfid, &error))?;
    brick
        .images
        .while_marked(gfid, || show(brick, stack, top, &fresh, &name, lv, gfid))?;
    Ok(name.to_string_lossy().into_owned())
}

/// Makes the stub of an LV that is shown as a file, gives it its size, and marks it.
pub(crate) fn show(
    brick: &Brick,
    stack: &Stack,
    top: &Inode<'_>,
    fresh: &Inode<'_>,
    name: &CStr,
    lv: &Foreign,
    gfid: Gfid,
) -> Result<(), Errno> {
    let loc = || Loc::by_gfid(fresh, *gfid.as_bytes());
    if stack
        .ask::<Lookup>(LookupArgs {
            loc: loc(),
            xdata: None,
        })
        .is_err()
    {
        let xdata = Dict::new();
        xdata.set_gfid(names::GFID_REQ, *gfid.as_bytes())?;
        let place = Loc::by_name(top, name, fresh);
        let args = MknodArgs {
            loc: place.duplicate(),
            mode: libc::S_IFREG | 0o600,
            rdev: 0,
            umask: 0,
            xdata: Some(xdata),
        };
        let make = || stack.ask::<Mknod>(args);
        brick.make_stub::<Mknod>(stack, &place, gfid, make, |made| made.buf.gfid())?;
    }
    stub::set_size(stack, loc(), lv.size.0)?;
    stub::mark(stack, loc(), lv.kind, Dict::new())
}

/// The LV's name, or that with its gfid behind it if another file has the name.
pub(crate) fn free_name(
    stack: &Stack,
    top: &Inode<'_>,
    lv: &Foreign,
    gfid: Gfid,
) -> Result<CString, Errno> {
    let plain = CString::new(lv.lv.as_str()).map_err(|_| Errno::EINVAL)?;
    let loc = Loc::by_name(top, &plain, &top.fresh());
    match stack.ask::<Lookup>(LookupArgs { loc, xdata: None }) {
        Err(failure) if failure.errno == Errno::ENOENT => Ok(plain),
        Err(failure) => Err(failure.errno),
        Ok(found) if found.buf.gfid() == *gfid.as_bytes() => Ok(plain),
        Ok(_) => CString::new(format!("{}.{gfid}", lv.lv)).map_err(|_| Errno::EINVAL),
    }
}
