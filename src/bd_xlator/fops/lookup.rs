use std::sync::Arc;
use std::time::Instant;

use bd_model::{DirPolicy, Gfid, SECTOR, xattr};
use glusterfs::fops::{Lookup, LookupArgs, LookupReply, Mkdir, MkdirArgs};
use glusterfs::{
    Call, Credentials, Dict, Errno, FileType, Fop, Frame, Iatt, Inode, Loc, Service, Stack,
    gf_info, gf_warn,
};

use crate::Image;
use crate::inode_state::Kind;
use crate::ops::old_times;
use crate::{Brick, maintenance, names, stub};

/// Learns what the file is, and answers an image's size, times and blocks.
pub(crate) fn lookup(brick: &Arc<Brick>, mut call: Call<'_, Lookup>) {
    if !brick.top_is_known()
        && Gfid::from_bytes(call.args.loc.gfid()) == Gfid::ROOT
        && let Some(root) = call.args.loc.inode()
    {
        // The first client has come, and with it the inode table: nobody can have looked for
        // the directory before.
        match make_top(brick, &root) {
            Ok(true) => {
                brick.note_top();
                brick.on_control(maintenance::show_first);
                if brick.server.heals() {
                    brick.on_control(maintenance::doubt_top);
                }
            }
            Ok(false) => {}
            Err(errno) => {
                gf_warn!(
                    "cannot make the image directory /{}: {errno}",
                    brick.server.brick().top
                );
            }
        }
    }
    let mut xdata = names::request_of(call.args.xdata.take());
    let is_being_made =
        xdata.contains(names::GFID_REQ) && brick.inflight_creates().has(&call.args.loc);
    if is_being_made {
        // It gets its own.
        xdata = xdata.duplicate();
        xdata.remove(names::GFID_REQ);
    }
    if xdata.set_u32(xattr::IMAGE, 0).is_err() {
        return call.fail(Errno::ENOMEM);
    }
    call.args.xdata = Some(xdata);
    let brick = Arc::clone(brick);
    let asked = call.args.loc.inode().map(|inode| inode.share());
    let place = place(&call.args.loc);
    call.wind(move |frame, answer| match answer {
        Err(mut failure) => {
            // As posix does: translators above look at it.
            failure.inode = asked;
            if is_being_made && failure.errno == Errno::ENODATA {
                failure.errno = Errno::ENOENT;
            }
            frame.answer(Err(failure));
        }
        // AFR looks for files that have lost their gfid (`gfidless-lookup`), to give it back.
        Ok(reply) if reply.buf.gfid() == [0; 16] => frame.unwind(reply),
        Ok(reply) if reply.buf.file_type() == FileType::Regular => {
            answer_file(&brick, frame, reply, place)
        }
        answer => frame.answer(answer),
    });
}

/// The directory and the name that are looked up.
fn place(loc: &Loc<'_>) -> Option<(Gfid, String)> {
    let name = loc.name()?.to_str().ok()?;
    Some((Gfid::from_bytes(loc.parent_gfid()), name.to_owned()))
}

fn answer_file(
    brick: &Arc<Brick>,
    frame: Frame<Lookup>,
    mut reply: LookupReply<'_>,
    place: Option<(Gfid, String)>,
) {
    let gfid = reply.buf.gfid();
    let kind = match &reply.inode {
        // An inode that is not linked yet may not be the one that stays.
        Some(inode) => match inode.find(gfid) {
            Some(linked) => brick.kind_of(&frame, &linked, gfid),
            None => brick.kind_of(&frame, inode, gfid),
        },
        None => Ok(Kind::Unknown),
    };
    if !matches!(kind, Ok(Kind::Plain))
        && let Some(xdata) = &reply.xdata
    {
        // quick-read asks for the bytes of small files, and posix answers those of the stub.
        xdata.remove(names::CONTENT);
    }
    match kind {
        Ok(Kind::Image(image)) if frame.pid() < 0 && image.is_merging() => {
            let reply = <Lookup as Fop>::own_reply(reply);
            brick.on_control(move |brick| answer_heal(brick, frame, reply, &image));
        }
        Ok(Kind::Image(image)) if image.allocated_now().is_some() || !brick.tells_soon() => {
            dress(brick, &frame, &image, &mut reply.buf);
            frame.unwind(reply);
        }
        Ok(Kind::Image(image)) => {
            let reply = <Lookup as Fop>::own_reply(reply);
            brick.on_brief(move |brick| answer_image(brick, frame, reply, &image));
        }
        Ok(Kind::Pending) => {
            // The process that it was made by may have ended since.
            if let Some((parent, name)) = place {
                let gfid = Gfid::from_bytes(gfid);
                brick
                    .unfinished_copies()
                    .remember(gfid, parent, &name, Instant::now());
            }
            frame.unwind(reply);
        }
        Ok(Kind::Unknown | Kind::Plain) => frame.unwind(reply),
        Err(errno) => frame.fail(errno),
    }
}

/// Heal must not begin with what was before a merge and go on with what is after it, nor bring a snapshot back
/// to bricks that have merged it from one that does not know whether it has.
fn answer_heal(
    brick: &Arc<Brick>,
    frame: Frame<Lookup>,
    reply: LookupReply<'static>,
    image: &Arc<Image>,
) {
    match image.await_merge() {
        true if image.is_leaving() => frame.fail(Errno::ENOENT),
        true => answer_image(brick, frame, reply, image),
        false => frame.fail(Errno::EBUSY),
    }
}

fn answer_image(
    brick: &Arc<Brick>,
    frame: Frame<Lookup>,
    mut reply: LookupReply<'static>,
    image: &Arc<Image>,
) {
    brick.ask_allocated(image);
    dress(brick, &frame, image, &mut reply.buf);
    frame.unwind(reply);
}

/// Gives the answer the image's attributes.
///
/// AFR heals a file with holes by pieces of 128 KiB, each under locks of its own, so as not to fill holes of the
/// brick that is healed; what it writes there stays sparse without that. So an image that is hardly sparse has
/// no holes for heal. Of one that is, it would carry more zeros over the network than it saves.
fn dress(brick: &Brick, frame: &Frame<Lookup>, image: &Image, buf: &mut Iatt) {
    brick.dress(image, buf);
    let full = image.size().div_ceil(SECTOR);
    if frame.service() == Some(Service::Heal) && buf.blocks() >= full - full / 4 {
        buf.set_blocks(full.max(buf.blocks()));
    }
}

/// Makes the top image directory, or sees that it is there; says whether it is.
fn make_top(brick: &Arc<Brick>, root: &Inode<'_>) -> Result<bool, Errno> {
    let own = brick.server.brick();
    let policy = DirPolicy::new(own.kind).to_string();
    let name = std::ffi::CString::new(own.top.as_str()).map_err(|_| Errno::EINVAL)?;
    let stack = Stack::new(brick.xl.node(), &Credentials::root());
    let fresh = root.fresh();
    // It may be called otherwise by now, and its old name may be another's.
    let by_gfid = LookupArgs {
        loc: Loc::by_gfid(&fresh, *brick.top().as_bytes()),
        xdata: None,
    };
    if stack.ask::<Lookup>(by_gfid).is_ok() {
        return Ok(true);
    }
    let place = || Loc::by_name(root, &name, &fresh);
    match stack.ask::<Lookup>(LookupArgs {
        loc: place(),
        xdata: None,
    }) {
        Ok(found) if found.buf.file_type() == FileType::Directory => {
            let loc = Loc::by_gfid(&fresh, found.buf.gfid());
            adopt_top(&stack, loc, &policy)?;
            gf_info!(
                "/{} was there before; its new files are images from now on",
                own.top
            );
            Ok(true)
        }
        Ok(_) => Err(Errno::ENOTDIR),
        Err(failure)
            if failure.errno == Errno::ENOENT
                && (brick.top_comes_by_heal() || replaces_another(&stack, root)?) =>
        {
            Ok(false)
        }
        Err(failure) if failure.errno == Errno::ENOENT => {
            let xdata = Dict::new();
            xdata.set_gfid(names::GFID_REQ, *brick.top().as_bytes())?;
            xdata.set(xattr::DIR, policy.as_bytes())?;
            let args = MkdirArgs {
                loc: place(),
                mode: 0o755,
                umask: 0,
                xdata: Some(xdata),
            };
            stack.ask::<Mkdir>(args)?;
            old_times::be_as_old_as_can_be(
                brick,
                &stack,
                Loc::by_gfid(&fresh, *brick.top().as_bytes()),
            )?;
            Ok(true)
        }
        Err(failure) => Err(failure.errno),
    }
}

/// Whether the brick has taken the place of another one, or makes one replica more, and heal has not come
/// yet. glusterd notes that on the root before the brick starts, and heal takes it away when the root is
/// healed. A directory that the brick made itself before would count as a good one that is empty: heal would
/// never look for what is in it.
fn replaces_another(stack: &Stack, root: &Inode<'_>) -> Result<bool, Errno> {
    let request = Dict::new();
    request.set_u32(names::AFR_DIRTY, 0)?;
    let found = stack.ask::<Lookup>(LookupArgs {
        loc: Loc::of_inode(root),
        xdata: Some(request),
    })?;
    let note = found.xdata.and_then(|xdata| xdata.get(names::AFR_DIRTY));
    Ok(note.is_some_and(|note| note.iter().any(|byte| *byte != 0)))
}

/// Marks a directory that somebody made before the brick was one.
fn adopt_top(stack: &Stack, loc: Loc<'static>, policy: &str) -> Result<(), Errno> {
    let request = Dict::new();
    request.set_u32(xattr::DIR, 0)?;
    let found = stack.ask::<Lookup>(LookupArgs {
        loc: loc.duplicate(),
        xdata: Some(request),
    })?;
    if found.xdata.is_some_and(|xdata| xdata.contains(xattr::DIR)) {
        return Ok(());
    }
    let dict = Dict::new();
    dict.set(xattr::DIR, policy.as_bytes())?;
    stub::set(stack, loc, dict)
}
