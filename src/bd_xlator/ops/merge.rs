//! A snapshot gives its content to its origin and goes.
//!
//! All replicas merge or none does. So bd-client has every brick promise it first, and then removes
//! the snapshot's name with a word along that makes the removal a merge: AFR removes the name under
//! its locks, and notes on the directory which brick has missed it, as of any name. What such a brick
//! misses of the origin's bytes is noted by bd-client, in AFR's way.

mod promise;

use std::sync::Arc;

use bd_model::{Bytes, Gfid, ImageKind, xattr};
use bd_proto::{CallError, Reply, Request};
use glusterfs::fops::{
    Lookup, LookupArgs, Stat, StatArgs, Truncate, TruncateArgs, Unlink, UnlinkArgs,
};
use glusterfs::{
    Call, Credentials, Errno, Fop, Frame, Inode, Loc, Moment, Stack, gf_error, gf_info, gf_warn,
};

use self::promise::take_promised;
pub(crate) use self::promise::{Promise, call_off, forget_promises, promise};
use crate::Brick;
use crate::inode_state::Kind;
use crate::ops::heal_xattrs::{self, Change};
use crate::ops::named::name_of;
use crate::ops::places::{place_of, remove_name};
use crate::ops::{above, attributes};
use crate::{Image, Quiesced};
use bd_image::ServerError;

/// What a merge works on.
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

/// The image that the removal of a name is to merge a snapshot into, if it is.
pub(crate) fn is_asked(args: &UnlinkArgs<'_>) -> Result<Option<Gfid>, Errno> {
    let xdata = args.xdata.as_ref();
    let asked = xdata.and_then(|xdata| xdata.get_str(xattr::MERGE));
    let origin = asked.map(|text| text.parse().map_err(|_| Errno::EINVAL));
    origin.transpose()
}

/// The promised merge that the removal of a snapshot's name asks for. From now on heal
/// waits for it: it must take neither bytes nor names from a brick that does not know what it has.
pub(crate) fn begin(brick: &Brick, origin: Gfid, snapshot: &Image) -> Result<Merge, Errno> {
    let promised = take_promised(brick, snapshot.gfid());
    let Some(merge) = promised.filter(|merge| merge.origin.gfid() == origin) else {
        gf_warn!(
            "<gfid:{}> was not promised to be merged into <gfid:{origin}> (or too long ago)",
            snapshot.gfid()
        );
        return Err(Errno::EBUSY);
    };
    merge.origin.merge_begins();
    merge.snapshot.merge_begins();
    Ok(merge)
}

/// Merges `snapshot` as was promised, and removes its name. I/O on the origin waits meanwhile, and
/// then goes on with the snapshot's bytes; its descriptors stay what they are.
///
/// Only for threads that may wait.
pub(crate) fn unlink(
    brick: &Arc<Brick>,
    call: Call<'static, Unlink>,
    snapshot: &Arc<Image>,
    merge: Merge,
) {
    let _turn = brick.merging();
    let image = Arc::clone(&merge.origin);
    let mut held = image.quiesce();
    // Nobody can write to it any more.
    let still = snapshot.quiesce();
    let size = snapshot.size();
    let merge = Merge { size, ..merge };
    match merge.exchange(brick, &call) {
        Ok(()) => {}
        Err(NotDone::Surely(errno)) => {
            merge.end_undone();
            return call.fail(errno);
        }
        Err(NotDone::Perhaps(errno)) => {
            merge.leave_open(brick, &held);
            return call.fail(in_doubt(errno));
        }
    }
    let was_ready = image.is_ready();
    if let Err(errno) = merge.give_size(brick, &mut held) {
        merge.leave_open(brick, &held);
        return call.fail(in_doubt(errno));
    }
    let loc = call.args.loc.duplicate();
    let (frame, answer) = call.ask();
    let answer = answer.map_err(|failure| failure.errno);
    // While the name lasts, gluster-bdd gives the origin its size anew after a crash: no client may write
    // more to the origin before.
    let lasting = answer.and_then(|reply| brick.make_name_last(&loc).map(|()| reply));
    let reply = match lasting {
        Ok(reply) => reply,
        Err(errno) => {
            merge.failed("remove the snapshot's name", errno);
            merge.leave_open(brick, &held);
            return frame.fail(in_doubt(errno));
        }
    };
    merge.reopen(brick, was_ready);
    drop((held, still));
    above::changed(&frame, &merge.origin_inode);
    frame.unwind(reply);
    merge.remove(brick);
}

/// What a client is told of a merge that is done, or may be, but not to its end: none of what it is told of
/// one that is not done.
fn in_doubt(errno: Errno) -> Errno {
    match errno {
        Errno::ENOENT | Errno::ESTALE | Errno::EBUSY | Errno::EMLINK => Errno::EIO,
        errno => errno,
    }
}

/// Goes on with merges whose end was not known.
pub(crate) fn settle_all(brick: &Arc<Brick>) {
    if brick.merges().is_empty() {
        return;
    }
    let _turn = brick.merging();
    let merges = std::mem::take(&mut *brick.merges());
    for merge in merges {
        let origin = Arc::clone(&merge.origin);
        let mut held = origin.quiesce();
        let settled = match merge.was_done(brick) {
            Ok(true) => merge.finish_late(brick, &mut held).map(|()| true),
            // Heal may have made the others equal without this brick.
            Ok(false) => merge.note_late(brick).map(|_| false),
            Err(_) => Err(Errno::EIO),
        };
        drop(held);
        match settled {
            Ok(true) => merge.remove(brick),
            Ok(false) => {
                origin.unfence();
                merge.end_undone();
                gf_info!("image <gfid:{}> was not merged", merge.snapshot.gfid());
            }
            // The next turn tries again.
            Err(_) => brick.merges().push(merge),
        }
    }
}

/// Why a merge was not done.
enum NotDone {
    /// It is not done later either.
    Surely(Errno),
    /// Only gluster-bdd knows whether it was.
    Perhaps(Errno),
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
        place_of(brick, &stack, inode, snapshot.gfid())?;
        let origin_inode = inode
            .find(*origin.as_bytes())
            .unwrap_or_else(|| inode.fresh());
        let Kind::Image(image) = brick.kind_of(frame, &origin_inode, *origin.as_bytes())? else {
            return Err(Errno::EINVAL);
        };
        must_be_thin_snapshot(brick, snapshot.gfid(), origin).map_err(|errno| {
            // Another client has removed or merged it meanwhile.
            match snapshot.is_leaving() {
                true => Errno::ESTALE,
                false => errno,
            }
        })?;
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
    fn was_done(&self, brick: &Brick) -> Result<bool, ServerError> {
        let request = Request::SettleMerge {
            brick: brick.server.id(),
            snapshot: self.snapshot.gfid(),
        };
        match brick.server.ask(&request)? {
            Reply::Merged(done) => Ok(done),
            other => Err(CallError::OutOfTurn(format!("{other:?}")).into()),
        }
    }

    /// Makes sure that the name which goes with the merge is the snapshot's only one, and that it stays so
    /// until it goes: other clients that rename it meanwhile are told EBUSY, and so are those who remove or
    /// replace it, by gluster-bdd, which has the intent of the merge.
    fn fix_name(&self, brick: &Brick, call: &Call<'_, Unlink>) -> Result<(), Errno> {
        let mut loc = call.args.loc.duplicate();
        loc.set_gfid([0; 16]);
        let _naming = self.snapshot.naming();
        let _turn = brick.names.wait(&[name_of(&call.args.loc)?]);
        let found = call.frame.ask::<Lookup>(LookupArgs { loc, xdata: None })?;
        if found.buf.gfid() != *self.snapshot.gfid().as_bytes() {
            return Err(Errno::ESTALE);
        }
        if found.buf.nlink() > 1 {
            return Err(Errno::EMLINK);
        }
        self.snapshot.fix_name();
        Ok(())
    }

    /// Lets the two LVs change places, if the name that goes with it is the snapshot's.
    fn exchange(&self, brick: &Brick, call: &Call<'_, Unlink>) -> Result<(), NotDone> {
        self.fix_name(brick, call).map_err(NotDone::Surely)?;
        let request = Request::Merge {
            brick: brick.server.id(),
            snapshot: self.snapshot.gfid(),
            origin: self.origin.gfid(),
            size: Bytes(self.size),
        };
        let Err(error) = brick.server.tell(&request) else {
            return Ok(());
        };
        let told = || brick.told("merge", self.snapshot.gfid(), &error);
        match self.was_done(brick) {
            Ok(true) => Ok(()),
            Ok(false) => Err(NotDone::Surely(told())),
            Err(_) => Err(NotDone::Perhaps(told())),
        }
    }

    /// As [`Merge::finish`], when nobody keeps the origin's bytes at rest on other replicas any more,
    /// and heal may be comparing them.
    fn finish_late(&self, brick: &Arc<Brick>, held: &mut Quiesced<'_>) -> Result<(), Errno> {
        if self.note_late(brick)? {
            return self.finish(brick, held);
        }
        self.remove_name(brick)?;
        self.origin.unfence();
        self.origin.merge_ends(true);
        Ok(())
    }

    /// Has heal compare both files with those of the other replicas once more. Says whether the origin is
    /// there.
    fn note_late(&self, brick: &Brick) -> Result<bool, Errno> {
        let stack = Stack::new(brick.xl.node(), &Credentials::root());
        let origin = Loc::by_gfid(&self.origin_inode, *self.origin.gfid().as_bytes());
        let failed = |errno| self.failed("note what it changes", errno);
        let is_there = match heal_xattrs::note_change(brick, &stack, &origin, Change::Bytes) {
            Ok(()) => true,
            // Somebody has removed the origin since: nothing of the two is left.
            Err(Errno::ENOENT | Errno::ESTALE) => false,
            Err(errno) => return Err(failed(errno)),
        };
        // Else the name is gone already, or cannot be found; its removal tells them apart.
        if let Ok((parent, name)) = place_of(brick, &stack, &self.inode, self.snapshot.gfid()) {
            let parent = Loc::by_gfid(&parent, parent.gfid());
            heal_xattrs::note_change(brick, &stack, &parent, Change::Name(&name))
                .map_err(failed)?;
        }
        Ok(is_there)
    }

    /// Gives the origin's stub its size, and takes the snapshot's name away. The two LVs have
    /// changed places; a crash from here on is repaired by gluster-bdd when the brick starts.
    fn finish(&self, brick: &Arc<Brick>, held: &mut Quiesced<'_>) -> Result<(), Errno> {
        let was_ready = self.origin.is_ready();
        self.give_size(brick, held)?;
        self.remove_name(brick)?;
        self.reopen(brick, was_ready);
        Ok(())
    }

    fn remove_name(&self, brick: &Brick) -> Result<(), Errno> {
        let stack = Stack::new(brick.xl.node(), &Credentials::root()).at(self.at);
        remove_name(brick, &stack, &self.inode, self.snapshot.gfid())
            .map_err(|errno| self.failed("remove the snapshot's name", errno))
    }

    /// Gives the origin's stub the size that the snapshot had.
    fn give_size(&self, brick: &Arc<Brick>, held: &mut Quiesced<'_>) -> Result<(), Errno> {
        held.change(self.size);
        let stack = Stack::new(brick.xl.node(), &Credentials::root()).at(self.at);
        let change = self.origin.changing();
        let resized = stack.ask::<Truncate>(TruncateArgs {
            loc: Loc::by_gfid(&self.origin_inode, *self.origin.gfid().as_bytes()),
            offset: i64::try_from(self.size).map_err(|_| Errno::EFBIG)?,
            xdata: None,
        });
        match resized {
            Ok(reply) => change.told(attributes::known(reply.postbuf)),
            Err(failure) => {
                return Err(self.failed("set the size of the origin", failure.errno));
            }
        }
        brick.note_write(&self.origin_inode, &self.origin, Some(self.at));
        Ok(())
    }

    /// It is not known what came of it, or it cannot be brought to its end now; maintenance tries.
    fn leave_open(self, brick: &Brick, held: &Quiesced<'_>) {
        held.fence();
        self.ends(false);
        brick.merges().push(self);
    }

    /// It was not done, and is not: the snapshot is an image as before.
    fn end_undone(&self) {
        self.snapshot.free_name();
        self.snapshot.unfence();
        self.ends(true);
    }

    /// Heal need not wait any more, or has to come again.
    fn ends(&self, is_known: bool) {
        self.origin.merge_ends(is_known);
        self.snapshot.merge_ends(is_known);
    }

    /// The origin's I/O goes on with its new device.
    fn reopen(&self, brick: &Brick, was_ready: bool) {
        self.origin.unfence();
        self.origin.merge_ends(true);
        if was_ready && let Err(error) = self.origin.device(&brick.server) {
            // The next I/O tries again.
            gf_warn!("image <gfid:{}> is not open: {error}", self.origin.gfid());
        }
    }

    /// Logs what has failed after the LVs have changed places.
    fn failed(&self, what: &str, errno: Errno) -> Errno {
        let (snapshot, origin) = (self.snapshot.gfid(), self.origin.gfid());
        gf_error!("merge of <gfid:{snapshot}> into <gfid:{origin}>: cannot {what}: {errno}");
        errno
    }

    /// Removes the LV that the origin had before.
    fn remove(&self, brick: &Arc<Brick>) {
        let (snapshot, origin) = (self.snapshot.gfid(), self.origin.gfid());
        gf_info!("<gfid:{snapshot}> is merged into <gfid:{origin}>");
        self.snapshot.mark_orphan();
        self.snapshot.merge_ends(true);
        brick.remove_if_orphan(&self.snapshot);
        self.origin.refresh_allocated(&brick.server);
    }
}

/// What gluster-bdd would refuse later.
fn must_be_thin_snapshot(brick: &Brick, snapshot: Gfid, origin: Gfid) -> Result<(), Errno> {
    let info = |gfid| {
        let request = Request::Info {
            brick: brick.server.id(),
            gfid,
        };
        match brick.server.ask(&request) {
            Ok(Reply::Image(info)) => Ok(info),
            Ok(_) => Err(Errno::EPROTO),
            Err(error) => Err(brick.told("merge", snapshot, &error)),
        }
    };
    let (new, old) = (info(snapshot)?, info(origin)?);
    // One that heal has made knows of no origin; bd-client has asked the other replicas.
    if new.origin_image.is_some_and(|other| other != origin) {
        gf_warn!("<gfid:{snapshot}> is no snapshot of <gfid:{origin}> here: not merged");
        return Err(Errno::EINVAL);
    }
    if [new.kind, old.kind] != [ImageKind::Thin; 2] {
        return Err(Errno::EOPNOTSUPP);
    }
    Ok(())
}
