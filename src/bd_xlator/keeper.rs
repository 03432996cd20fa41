use std::ffi::{CStr, CString};
use std::io;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bd_model::{Gfid, ImageMark};
use bd_proto::{Foreign, Reply, Request};
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use glusterfs::fops::{Lookup, LookupArgs, LookupReply, Mknod, MknodArgs};
use glusterfs::{Credentials, Dict, Errno, Inode, Loc, Stack, gf_info, gf_warn};

use crate::fops::{health, merge, sync};
use crate::{Brick, names, stub};

/// How long stubs may not know when their images were written.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How often LVs are looked for that nobody has given a name yet, in turns of [`SAVE_EVERY`].
const ADOPT_TURNS: u64 = 3;
/// How often images that nobody holds are forgotten, in turns of [`SAVE_EVERY`].
const SWEEP_TURNS: u64 = 30;

/// The brick's own thread: what has to be done though no client asks.
#[derive(Debug)]
pub(crate) struct Keeper {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Starts the thread. It keeps no brick alive.
    pub(crate) fn start(brick: &Arc<Brick>) -> io::Result<Keeper> {
        let (stop, stopped) = bounded(0);
        let brick = Arc::downgrade(brick);
        let thread = std::thread::Builder::new()
            .name("bd-keeper".to_owned())
            .spawn(move || {
                let mut turn: u64 = 0;
                while stopped.recv_timeout(SAVE_EVERY) == Err(RecvTimeoutError::Timeout) {
                    turn += 1;
                    let Some(brick) = Weak::upgrade(&brick) else {
                        return;
                    };
                    brick.xl.node().enter(|| take_turn(&brick, turn));
                }
            })?;
        Ok(Keeper { stop, thread })
    }

    /// Ends the thread and waits for it.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.thread().id() != std::thread::current().id() {
            let _ended = self.thread.join();
        }
    }
}

fn take_turn(brick: &Arc<Brick>, turn: u64) {
    save(brick);
    // While gluster-bdd is away, whoever needs it says so.
    let _settled = brick.server.settle();
    merge::settle_all(brick);
    merge::forget_promises(brick);
    if turn.is_multiple_of(SWEEP_TURNS) {
        brick.images.sweep();
    }
    if turn.is_multiple_of(ADOPT_TURNS) && brick.top_is_known() {
        show_new(brick);
        remove_abandoned(brick);
    }
}

/// Writes the times of images to their stubs.
pub(crate) fn save(brick: &Brick) {
    for (inode, image) in brick.take_unsaved() {
        sync::save_times(brick, &inode, &image);
    }
}

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
        .and_then(|top| health::doubt(&stack, node, &Loc::by_gfid(&top, top.gfid())));
    if let Err(errno) = done {
        gf_warn!(
            "cannot have /{} compared with other bricks: {errno}",
            brick.server.brick().top
        );
    }
}

fn show_new(brick: &Arc<Brick>) {
    let _turn = brick.adopting();
    if adopt(brick) {
        brick.note_shown();
    }
}

/// Gives LVs that nobody has given a name yet a file in the top image directory. Says whether gluster-bdd
/// was there to tell of them.
fn adopt(brick: &Arc<Brick>) -> bool {
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
fn linked_top(brick: &Brick, stack: &Stack, root: &Inode<'_>) -> Result<Inode<'static>, Errno> {
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
fn adopt_one(brick: &Brick, stack: &Stack, top: &Inode<'_>, lv: &Foreign) -> Result<String, Errno> {
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
fn show(
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
fn free_name(stack: &Stack, top: &Inode<'_>, lv: &Foreign, gfid: Gfid) -> Result<CString, Errno> {
    let plain = CString::new(lv.lv.as_str()).map_err(|_| Errno::EINVAL)?;
    let loc = Loc::by_name(top, &plain, &top.fresh());
    match stack.ask::<Lookup>(LookupArgs { loc, xdata: None }) {
        Err(failure) if failure.errno == Errno::ENOENT => Ok(plain),
        Err(failure) => Err(failure.errno),
        Ok(found) if found.buf.gfid() == *gfid.as_bytes() => Ok(plain),
        Ok(_) => CString::new(format!("{}.{gfid}", lv.lv)).map_err(|_| Errno::EINVAL),
    }
}

/// Removes stubs that waited for their LV too long: the client that made them has died.
fn remove_abandoned(brick: &Brick) {
    let Some(root) = brick.xl.node().root_inode() else {
        return;
    };
    let old = brick.pending().take_abandoned(Instant::now());
    if old.is_empty() {
        return;
    }
    let stack = Stack::new(brick.xl.node(), &Credentials::root());
    for (gfid, waits) in old {
        match remove_stub(brick, &stack, &root, gfid, waits.parent, &waits.name) {
            Ok(true) => {
                brick.pending().forget(gfid);
                gf_info!("removed {}, whose copy was never asked for", waits.name);
            }
            Ok(false) => {}
            Err(errno) => gf_warn!("cannot remove abandoned {}: {errno}", waits.name),
        }
    }
}

/// Removes a stub if it still is what it was: that name, that gfid, still pending.
fn remove_stub(
    brick: &Brick,
    stack: &Stack,
    root: &Inode<'_>,
    gfid: Gfid,
    parent: Gfid,
    name: &str,
) -> Result<bool, Errno> {
    let Some(parent) = root.find(*parent.as_bytes()) else {
        return Ok(false);
    };
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    let is_pending = |found: &LookupReply<'_>| {
        matches!(stub::mark_in(found), Ok(Some(ImageMark::Pending { .. })))
    };
    stub::unlink_if(brick, stack, &parent, &name, *gfid.as_bytes(), is_pending)
}
