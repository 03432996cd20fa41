use std::sync::Arc;

use bd_model::{Bytes, DirPolicy, Gfid, ImageKind, ImageMark, xattr};
use glusterfs::fops::{Create, CreateArgs, Lookup, LookupArgs, Mkdir, Mknod, MknodArgs};
use glusterfs::{
    Answer, Call, Credentials, Dict, Errno, FileType, Fop, Frame, Inode, Loc, Service, Stack,
    gf_warn,
};

use crate::Image;
use crate::inode_state::Kind;
use crate::ops::{clone, healed, last_close, mode, new_image, old_times, pieces, resize, rights};
use crate::{Brick, maintenance, names, stub};

/// What a new file shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NewFile {
    /// A file of the brick directory.
    Plain,
    /// The destination of a clone or snapshot: a stub without an LV.
    Pending(Gfid),
    /// An image.
    Image(Gfid, ImageKind),
}

/// Makes a file, an image where the directory says so, and opens it.
pub(crate) fn create(brick: &Arc<Brick>, mut call: Call<'_, Create>) {
    let (frame, args) = (&call.frame, &call.args);
    let new = new_file(brick, frame, &args.loc, args.xdata.as_ref());
    let exists = exists(frame, &args.loc);
    // A symbolic link that another client has just made is the client's to follow: posix would go where it
    // leads on this host.
    call.args.flags = mode::of_creation(call.args.flags) | libc::O_NOFOLLOW;
    if matches!(new, Ok(NewFile::Plain)) {
        unmark(&mut call.args.xdata);
    }
    match (new, exists) {
        (Err(errno), _) | (_, Err(errno)) => call.fail(errno),
        (Ok(NewFile::Pending(gfid)), Ok(false)) => {
            // On a distributed volume only a create can say which brick gets the file.
            new_image::remember_pending(brick, gfid, &call.args.loc);
            let (frame, answer) = create_stub(brick, call.detach(), gfid);
            frame.answer(answer);
        }
        (Ok(NewFile::Plain), Ok(false)) => call.pass(),
        (Ok(_), Ok(true)) if call.args.flags & libc::O_EXCL != 0 => call.fail(Errno::EEXIST),
        (Ok(_), Ok(true)) => {
            let call = call.detach();
            brick.on_control(move |brick| open_existing(brick, call));
        }
        (Ok(NewFile::Image(gfid, kind)), Ok(false)) => {
            let call = call.detach();
            brick.on_control(move |brick| create_image(brick, call, gfid, kind));
        }
    }
}

fn create_image(brick: &Arc<Brick>, mut call: Call<'static, Create>, gfid: Gfid, kind: ImageKind) {
    maintenance::show_first(brick);
    let name = brick.lv_name_at(&call.args.loc);
    let asked = CreateArgs {
        loc: call.args.loc.duplicate(),
        flags: call.args.flags,
        mode: call.args.mode,
        umask: call.args.umask,
        fd: call.args.fd.share(),
        xdata: call.args.xdata.as_ref().map(Dict::share),
    };
    if let Err(errno) = new_image::make_lv(brick, gfid, kind, name, &mut call.args.xdata) {
        return call.fail(errno);
    }
    let (frame, answer) = create_stub(brick, call, gfid);
    new_image::settle(brick, gfid, answer.is_ok());
    if let Err(failure) = &answer
        && failure.errno == Errno::EEXIST
        && asked.flags & libc::O_EXCL == 0
    {
        // Somebody else has made it meanwhile.
        return open_existing(brick, Call { frame, args: asked });
    }
    if answer.is_ok()
        && let Some(inode) = asked.loc.inode()
        && let Ok(Kind::Image(image)) = brick.kind_of(&frame, &inode, *gfid.as_bytes())
    {
        brick.bind_maker(&asked.fd, &image);
    }
    frame.answer(answer);
}

/// Has posix create a stub. It must be new: posix would open and cut what somebody else has made since
/// it was looked for.
fn create_stub(
    brick: &Brick,
    mut call: Call<'static, Create>,
    gfid: Gfid,
) -> (Frame<Create>, Answer<'static, Create>) {
    call.args.flags |= libc::O_EXCL;
    let place = call.args.loc.duplicate();
    ask_for_stub(brick, call, &place, gfid, None, |made| made.buf.gfid())
}

/// Has posix make a stub, of some size if it has one from the start.
fn mknod_stub(
    brick: &Brick,
    call: Call<'static, Mknod>,
    gfid: Gfid,
    size: Option<u64>,
) -> (Frame<Mknod>, Answer<'static, Mknod>) {
    let place = call.args.loc.duplicate();
    ask_for_stub(brick, call, &place, gfid, size, |made| made.buf.gfid())
}

fn ask_for_stub<F: Fop>(
    brick: &Brick,
    call: Call<'static, F>,
    place: &Loc<'_>,
    gfid: Gfid,
    size: Option<u64>,
    gfid_of: impl FnOnce(&F::Reply<'static>) -> [u8; 16],
) -> (Frame<F>, Answer<'static, F>) {
    let Call { frame, args } = call;
    let make = || frame.ask::<F>(args);
    let answer = brick.images.while_marked(gfid, || {
        let answer = brick.make_stub::<F>(&frame, place, gfid, make, gfid_of);
        if answer.is_ok()
            && let (Some(size), Some(inode)) = (size, place.inode())
        {
            let loc = Loc::by_gfid(&inode.fresh(), *gfid.as_bytes());
            if let Err(errno) = stub::set_size(&frame, loc, size) {
                gf_warn!("stub of <gfid:{gfid}> is empty at first: {errno}");
            }
        }
        answer
    });
    (frame, answer)
}

/// A create of a file that is there is an open.
fn open_existing(brick: &Arc<Brick>, call: Call<'static, Create>) {
    brick.inflight_creates().wait(&call.args.loc);
    let fresh = call.args.loc.inode().map(|inode| inode.share());
    let existing = fresh
        .as_ref()
        .and_then(|inode| found(&call.frame, &call.args.loc, inode));
    let (Some(fresh), Some(gfid)) = (fresh, existing) else {
        // It is gone again, or no file: the client looks anew.
        return call.fail(Errno::ESTALE);
    };
    let inode = fresh.find(gfid).unwrap_or(fresh);
    let image = match brick.kind_of(&call.frame, &inode, gfid) {
        Ok(Kind::Image(image)) => image,
        Ok(Kind::Unknown | Kind::Plain | Kind::Pending) => return call.pass(),
        Err(errno) => return call.fail(errno),
    };
    last_close::held(brick, &inode, &image, || {
        open_image(brick, call, &inode, gfid, &image)
    });
}

fn open_image(
    brick: &Arc<Brick>,
    mut call: Call<'static, Create>,
    inode: &Inode<'_>,
    gfid: [u8; 16],
    image: &Arc<Image>,
) {
    let truncates = call.args.flags & libc::O_TRUNC != 0;
    let fd = call.args.fd.share();
    if let Err(error) = image.device(&brick.server) {
        return call.fail(brick.told("open", image.gfid(), &error));
    }
    // Posix would cut the stub and leave the LV.
    call.args.flags &= !libc::O_TRUNC;
    let (frame, answer) = call.ask();
    let mut reply = match answer {
        Ok(reply) => reply,
        Err(failure) => return frame.answer(Err(failure)),
    };
    if truncates {
        let loc = Loc::by_gfid(inode, gfid);
        if let Err(errno) = resize::to(brick, &frame, &loc, image, 0) {
            return frame.fail(errno);
        }
    }
    brick.bind_fd(&fd, image);
    brick.dress(image, &mut reply.buf);
    frame.unwind(reply);
}

/// Takes the mark out of a request for what is plain. DHT makes its link file with the same request as
/// the file it leads to: what is asked of that file must not be kept on the link. And no client shall
/// mark a file whose mark nobody has looked at.
fn unmark(xdata: &mut Option<Dict<'_>>) {
    if let Some(request) = xdata
        && request.contains(xattr::IMAGE)
    {
        let rest = request.duplicate();
        rest.remove(xattr::IMAGE);
        *xdata = Some(rest);
    }
}

/// Makes a file, an image where the directory says so.
pub(crate) fn mknod(brick: &Arc<Brick>, call: Call<'_, Mknod>) {
    if !matches!(call.args.mode & libc::S_IFMT, 0 | libc::S_IFREG) {
        return call.pass();
    }
    let Some(mut call) = healed::give_name(brick, call, mknod) else {
        return;
    };
    let (frame, args) = (&call.frame, &call.args);
    let new = if is_link_file(frame, args) {
        Ok(NewFile::Plain)
    } else {
        new_file(brick, frame, &args.loc, args.xdata.as_ref())
    };
    let new = match new {
        Ok(NewFile::Plain) => {
            unmark(&mut call.args.xdata);
            return call.pass();
        }
        Ok(new) => new,
        Err(errno) => return call.fail(errno),
    };
    match (new, exists(frame, &args.loc)) {
        (_, Err(errno)) => call.fail(errno),
        (_, Ok(true)) => call.fail(Errno::EEXIST),
        (NewFile::Plain, Ok(false)) => call.pass(),
        (NewFile::Pending(gfid), Ok(false)) => {
            new_image::remember_pending(brick, gfid, &call.args.loc);
            let (frame, answer) = mknod_stub(brick, call.detach(), gfid, None);
            frame.answer(answer);
        }
        (NewFile::Image(gfid, kind), Ok(false)) => {
            let call = call.detach();
            brick.on_control(move |brick| mknod_image(brick, call, gfid, kind));
        }
    }
}

fn mknod_image(brick: &Arc<Brick>, mut call: Call<'static, Mknod>, gfid: Gfid, kind: ImageKind) {
    maintenance::show_first(brick);
    let name = brick.lv_name_at(&call.args.loc);
    if healed::is_asked(&call.frame, call.args.xdata.as_ref()) {
        match healed::retake(brick, gfid, name.clone()) {
            Ok(Some(known)) => {
                if let Err(errno) = new_image::put_mark(&mut call.args.xdata, known.kind) {
                    return call.fail(errno);
                }
                // As large as its LV: heal, which has noted that all of it may be wrong, compares
                // what is there. It needs no end: with or without its stub the LV stays.
                let size = Some(known.lv_size.0);
                let (frame, answer) = mknod_stub(brick, call, gfid, size);
                return frame.answer(answer);
            }
            Ok(None) => {}
            Err(errno) => return call.fail(errno),
        }
    }
    if let Err(errno) = new_image::make_lv(brick, gfid, kind, name, &mut call.args.xdata) {
        return call.fail(errno);
    }
    let (frame, answer) = mknod_stub(brick, call, gfid, None);
    new_image::settle(brick, gfid, answer.is_ok());
    frame.answer(answer);
}

/// Whether heal makes one of DHT's link files. It has nothing but its mode yet; the attribute that
/// says where it leads comes later. If it is another file of this mode after all, its mark comes
/// later too, and makes it an image.
fn is_link_file(frame: &Frame<Mknod>, args: &MknodArgs<'_>) -> bool {
    args.mode & 0o7777 == libc::S_ISVTX && healed::is_asked(frame, args.xdata.as_ref())
}

/// Makes a directory, an image directory if the one above it is.
pub(crate) fn mkdir(brick: &Arc<Brick>, mut call: Call<'_, Mkdir>) {
    let asked = call.args.xdata.as_ref();
    let gfid = asked.and_then(|xdata| xdata.get_gfid(names::GFID_REQ));
    let policy = match brick.policy_at(&call.frame, &call.args.loc) {
        // Heal makes the top one anew, and its files may come before its attributes.
        Ok(None) if gfid == Some(*brick.top().as_bytes()) => {
            Some(DirPolicy::new(brick.server.brick().kind))
        }
        Ok(policy) => policy,
        Err(errno) => return call.fail(errno),
    };
    if let Some(value) = asked.and_then(|xdata| xdata.get(xattr::DIR))
        && let Err(error) = DirPolicy::read(&value)
    {
        gf_warn!("cannot make {:?}: {error}", call.args.loc);
        return call.fail(Errno::EINVAL);
    }
    unmark(&mut call.args.xdata);
    if let Some(policy) = policy {
        let xdata = call
            .args
            .xdata
            .take()
            .map_or_else(Dict::new, |xdata| xdata.duplicate());
        if !xdata.contains(xattr::DIR)
            && let Err(errno) = xdata.set(xattr::DIR, policy.to_string().as_bytes())
        {
            return call.fail(errno);
        }
        call.args.xdata = Some(xdata);
    }
    match gfid.filter(|_| call.frame.service() == Some(Service::Heal)) {
        Some(gfid) => mkdir_by_heal(brick, call, gfid),
        None => call.pass(),
    }
}

/// Makes a directory that has no times yet: see [`old_times::be_as_old_as_can_be`].
fn mkdir_by_heal(brick: &Arc<Brick>, call: Call<'_, Mkdir>, gfid: [u8; 16]) {
    let fresh = call.args.loc.inode().map(|inode| inode.fresh());
    let brick = Arc::clone(brick);
    call.wind(move |frame, answer| {
        if let (Ok(_), Some(fresh)) = (&answer, fresh) {
            let stack = Stack::new(brick.xl.node(), &Credentials::root());
            let loc = Loc::by_gfid(&fresh, gfid);
            if let Err(errno) = old_times::be_as_old_as_can_be(&brick, &stack, loc) {
                gf_warn!(
                    "directory {:?} has times of its own: {errno}",
                    Gfid::from_bytes(gfid)
                );
            }
        }
        frame.answer(answer);
    });
}

fn new_file<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    loc: &Loc<'_>,
    xdata: Option<&Dict<'_>>,
) -> Result<NewFile, Errno> {
    // Posix refuses a file without gfid; DHT's link files stand for files of other bricks.
    let Some(xdata) = xdata.filter(|xdata| !xdata.contains(xattr::DHT_LINKTO)) else {
        return Ok(NewFile::Plain);
    };
    let Some(gfid) = xdata.get_gfid(names::GFID_REQ).map(Gfid::from_bytes) else {
        return Ok(NewFile::Plain);
    };
    if let Some(value) = xdata.get(xattr::IMAGE) {
        pieces::refuse(loc, Some(xdata))?;
        return match ImageMark::read(&value) {
            Ok(ImageMark::Pending { of: Some(source) }) => {
                let parent = loc.parent().ok_or(Errno::EINVAL)?;
                clone::must_be_readable(frame, &parent, source)?;
                Ok(NewFile::Pending(gfid))
            }
            Ok(ImageMark::Pending { of: None }) => {
                gf_warn!(
                    "cannot make {loc:?} the copy of an image: the client does not say of which; \
                     install this release of gluster-bd there, then mount again"
                );
                Err(Errno::EOPNOTSUPP)
            }
            Ok(ImageMark::Image { kind, .. }) if rights::is_service(frame) => {
                Ok(NewFile::Image(gfid, brick.kind_for(kind)))
            }
            Ok(ImageMark::Image { .. }) => Err(Errno::EINVAL),
            Err(error) => {
                gf_warn!("cannot make {loc:?}: {error}");
                Err(Errno::EINVAL)
            }
        };
    }
    let Some(policy) = brick.policy_at(frame, loc)? else {
        return Ok(NewFile::Plain);
    };
    pieces::refuse(loc, Some(xdata))?;
    Ok(match policy.image_from {
        Bytes(0) => NewFile::Image(gfid, brick.kind_for(policy.kind)),
        Bytes(_) => NewFile::Plain,
    })
}

fn exists<F: Fop>(frame: &Frame<F>, loc: &Loc<'_>) -> Result<bool, Errno> {
    let (Some(parent), Some(name)) = (loc.parent(), loc.name()) else {
        return Ok(false);
    };
    let loc = Loc::by_name(&parent, name, &parent.fresh());
    match frame.ask::<Lookup>(LookupArgs { loc, xdata: None }) {
        Ok(_) => Ok(true),
        // It is just getting its gfid.
        Err(failure) if failure.errno == Errno::ENODATA => Ok(true),
        Err(failure) if failure.errno == Errno::ENOENT => Ok(false),
        Err(failure) => Err(failure.errno),
    }
}

/// The gfid of the file that bears a name already; `None` for a symbolic link and the like.
fn found<F: Fop>(frame: &Frame<F>, loc: &Loc<'_>, inode: &Inode<'_>) -> Option<[u8; 16]> {
    let place = Loc::by_name(&loc.parent()?, loc.name()?, &inode.fresh());
    let reply = frame.ask::<Lookup>(LookupArgs {
        loc: place,
        xdata: None,
    });
    let file = reply
        .ok()
        .filter(|reply| reply.buf.file_type() == FileType::Regular);
    file.map(|reply| reply.buf.gfid())
}
