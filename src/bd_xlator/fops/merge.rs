//! A snapshot gives its content to its origin and goes.

use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bd_model::{Bytes, Gfid};
use bd_proto::{CallError, Reply, Request};
use glusterfs::fops::{
    Getxattr, GetxattrArgs, Lookup, LookupArgs, Stat, StatArgs, Truncate, TruncateArgs, Unlink,
    UnlinkArgs,
};
use glusterfs::{
    Credentials, Errno, Fop, Frame, Inode, Loc, Moment, Stack, gf_error, gf_info, gf_warn,
};

use crate::core::{Image, Kind, LinkError, Standstill};
use crate::{Brick, names};

/// How long a merge waits for the last descriptor of the snapshot to go. Clients give descriptors
/// back after the program that had them has ended, and heal may be looking at the file.
const LAST_CLOSE: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A merge that was begun.
#[derive(Debug)]
pub(crate) struct Merge {
    snapshot: Arc<Image>,
    inode: Inode<'static>,
    origin: Arc<Image>,
    origin_inode: Inode<'static>,
    /// Bytes of the snapshot.
    size: u64,
    /// When it was asked for, the same on all bricks.
    at: Moment,
}

/// Merges `snapshot` into its origin. I/O on the origin waits meanwhile, and then goes on with the
/// snapshot's bytes; its descriptors stay what they are. The snapshot must not be open.
///
/// Only for threads that may wait.
pub(crate) fn merge<F: Fop>(
    brick: &Arc<Brick>,
    frame: &Frame<F>,
    inode: &Inode<'_>,
    snapshot: &Arc<Image>,
    origin: Gfid,
) -> Result<(), Errno> {
    // bd-client has looked at who asks, and asks itself in root's name.
    if frame.uid() != 0 {
        return Err(Errno::EPERM);
    }
    let _turn = brick.merging();
    let merge = Merge::prepare(brick, frame, inode, snapshot, origin)?;
    if let Err(errno) = snapshot.flush(&brick.link) {
        return Err(Errno::new(errno));
    }
    let patience = Instant::now() + LAST_CLOSE;
    while snapshot.is_open() && Instant::now() < patience {
        thread::sleep(LOOK_AGAIN);
    }
    let image = Arc::clone(&merge.origin);
    let mut held = image.stand_still();
    let still = snapshot.stand_still();
    if !still.bar_idle() {
        gf_warn!("<gfid:{}> is open: not merged", snapshot.gfid());
        return Err(Errno::EBUSY);
    }
    // Nobody can write to it any more.
    let size = snapshot.size();
    let request = Request::Merge {
        brick: brick.link.id(),
        snapshot: snapshot.gfid(),
        origin,
        size: Bytes(size),
    };
    if let Err(error) = brick.link.tell(&request) {
        match merge.was_done(brick) {
            Ok(true) => {}
            Ok(false) => {
                snapshot.admit();
                return Err(brick.told("merge", snapshot.gfid(), &error));
            }
            Err(_) => {
                held.bar();
                brick.merges().push(Merge { size, ..merge });
                return Err(brick.told("merge", snapshot.gfid(), &error));
            }
        }
    }
    let merge = Merge { size, ..merge };
    let finished = merge.finish(brick, &mut held);
    if let Err(errno) = finished {
        held.bar();
        brick.merges().push(merge);
        return Err(errno);
    }
    drop((held, still));
    merge.remove(brick);
    Ok(())
}

/// Goes on with merges whose end was not known.
pub(crate) fn settle_all(brick: &Arc<Brick>) {
    if brick.merges().is_empty() {
        return;
    }
    let _turn = brick.merging();
    let merges = std::mem::take(&mut *brick.merges());
    for merge in merges {
        let mut held = merge.origin.stand_still();
        let settled = match merge.was_done(brick) {
            Ok(true) => merge.finish(brick, &mut held).map(|()| true),
            Ok(false) => Ok(false),
            Err(_) => Err(Errno::EIO),
        };
        drop(held);
        match settled {
            Ok(true) => {
                merge.origin.admit();
                merge.remove(brick);
            }
            Ok(false) => {
                merge.origin.admit();
                merge.snapshot.admit();
                gf_info!("image <gfid:{}> was not merged", merge.snapshot.gfid());
            }
            // The next turn tries again.
            Err(_) => brick.merges().push(merge),
        }
    }
}

impl Merge {
    /// Finds all that is needed, so that nothing but the servers can fail afterwards.
    fn prepare<F: Fop>(
        brick: &Brick,
        frame: &Frame<F>,
        inode: &Inode<'_>,
        snapshot: &Arc<Image>,
        origin: Gfid,
    ) -> Result<Merge, Errno> {
        if snapshot.gfid() == origin {
            return Err(Errno::EINVAL);
        }
        let stack = Stack::new(brick.xl.node(), &Credentials::root());
        let loc = Loc::by_gfid(inode, *snapshot.gfid().as_bytes());
        let stub = stack.ask::<Stat>(StatArgs { loc, xdata: None })?;
        if stub.buf.nlink() > 1 {
            gf_warn!("<gfid:{}> has several names: not merged", snapshot.gfid());
            return Err(Errno::EMLINK);
        }
        place_of(&stack, inode, snapshot.gfid())?;
        let origin_inode = inode
            .find(*origin.as_bytes())
            .unwrap_or_else(|| inode.fresh());
        let Kind::Image(image) = brick.kind_of(frame, &origin_inode, *origin.as_bytes())? else {
            return Err(Errno::EINVAL);
        };
        Ok(Merge {
            snapshot: Arc::clone(snapshot),
            inode: inode.share(),
            origin: image,
            origin_inode,
            size: 0,
            at: frame.ctime().unwrap_or_else(Moment::now),
        })
    }

    /// Whether gluster-bdd has merged. If not, it does not do so later.
    fn was_done(&self, brick: &Brick) -> Result<bool, LinkError> {
        let request = Request::SettleMerge {
            brick: brick.link.id(),
            snapshot: self.snapshot.gfid(),
        };
        match brick.link.ask(&request)? {
            Reply::Merged(done) => Ok(done),
            other => Err(CallError::OutOfTurn(format!("{other:?}")).into()),
        }
    }

    /// Gives the origin's stub its size, and takes the snapshot's name away. The two LVs have
    /// changed places; a crash from here on is repaired by gluster-bdd when the brick starts.
    fn finish(&self, brick: &Arc<Brick>, held: &mut Standstill<'_>) -> Result<(), Errno> {
        let was_ready = self.origin.is_ready();
        held.change(self.size);
        let failed = |what: &str, errno: Errno| {
            let (snapshot, origin) = (self.snapshot.gfid(), self.origin.gfid());
            gf_error!("merge of <gfid:{snapshot}> into <gfid:{origin}>: cannot {what}: {errno}");
            errno
        };
        let stack = Stack::new(brick.xl.node(), &Credentials::root()).at(self.at);
        let change = self.origin.changing();
        let resized = stack.ask::<Truncate>(TruncateArgs {
            loc: Loc::by_gfid(&self.origin_inode, *self.origin.gfid().as_bytes()),
            offset: i64::try_from(self.size).map_err(|_| Errno::EFBIG)?,
            xdata: None,
        });
        match resized {
            Ok(reply) => change.told(reply.postbuf),
            Err(failure) => return Err(failed("set the size of the origin", failure.errno)),
        }
        brick.note_write(&self.origin_inode, &self.origin, Some(self.at));
        unlink(&stack, &self.inode, self.snapshot.gfid())
            .map_err(|errno| failed("remove the snapshot's name", errno))?;
        self.origin.admit();
        if was_ready && let Err(error) = self.origin.device(&brick.link) {
            // The next I/O tries again.
            gf_warn!("image <gfid:{}> is not open: {error}", self.origin.gfid());
        }
        Ok(())
    }

    /// Removes the LV that the origin had before.
    fn remove(&self, brick: &Arc<Brick>) {
        let (snapshot, origin) = (self.snapshot.gfid(), self.origin.gfid());
        gf_info!("<gfid:{snapshot}> is merged into <gfid:{origin}>");
        self.snapshot.doom();
        brick.remove_if_doomed(&self.snapshot);
        self.origin.refresh_allocated(&brick.link);
    }
}

/// Removes the name of a file that has one name; done if it has none.
fn unlink(stack: &Stack, inode: &Inode<'_>, gfid: Gfid) -> Result<(), Errno> {
    let (parent, name) = match place_of(stack, inode, gfid) {
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
    Ok(())
}

/// The directory and the name of a file that has one name.
fn place_of(
    stack: &Stack,
    inode: &Inode<'_>,
    gfid: Gfid,
) -> Result<(Inode<'static>, CString), Errno> {
    // Posix knows it; the inode does if a client has asked for it by name.
    let asked = stack.ask::<Getxattr>(GetxattrArgs {
        loc: Loc::by_gfid(inode, *gfid.as_bytes()),
        name: Some(names::PATH.into()),
        xdata: None,
    });
    let told = asked.ok().and_then(|reply| reply.dict);
    let told = told.and_then(|dict| dict.get_str(names::PATH.to_str().ok()?));
    let path = match told {
        Some(path) => path.into_bytes(),
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
