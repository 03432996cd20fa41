use std::ffi::CStr;
use std::sync::Arc;

use bd_model::{Bytes, DirPolicy, Gfid, ImageKind, ImageMark, xattr};
use bd_proto::{CopyHow, ImageInfo, Reply, Request};
use glusterfs::fops::{
    Fgetxattr, FgetxattrReply, Fremovexattr, FremovexattrReply, Fsetxattr, FsetxattrReply,
    Fxattrop, Getxattr, GetxattrReply, Removexattr, RemovexattrReply, Setxattr, SetxattrReply,
    Xattrop, Xdata,
};
use glusterfs::{Call, Dict, Errno, FileType, Fop, Frame, Inode, gf_warn};

use crate::Brick;
use crate::Image;
use crate::names::{self, SIGNATURE};
use crate::ops::rights::Seen;
use crate::ops::{attributes, clone, convert, merge, places, rights};
use crate::rights::Want;

/// What a set of attributes asks of gluster-bd.
#[derive(Debug)]
enum Wish {
    /// Nothing: posix keeps them.
    Keep,
    /// Make the file an image, then keep the rest.
    Map(ImageMark),
    /// The file may become a copy of the image of that gfid.
    BeCopy(Gfid),
    /// Copy the image into the stub of that gfid; the bytes are those of the space of a
    /// copy-on-write snapshot.
    Copy(CopyHow, Gfid, Option<Bytes>),
    /// Be ready to merge the image into its origin, which has that gfid.
    PromiseMerge(Gfid),
    /// That merge does not come.
    CallOffMerge,
    /// The directory's policy changes.
    Policy,
}

fn wish_of<F: Fop>(brick: &Brick, frame: &Frame<F>, dict: &Dict<'_>) -> Result<Wish, Errno> {
    let mut ours = dict.entries();
    ours.retain(|(key, _)| xattr::is_ours(key));
    // Heal brings all attributes of a file at once.
    let is_internal = rights::is_service(frame);
    if ours.len() > 1 && !is_internal {
        gf_warn!("cannot set an attribute: one at a time");
        return Err(Errno::EINVAL);
    }
    for (key, value) in &ours {
        match wish_in(brick, key, value).transpose() {
            Some(wish) => return wish,
            None if is_internal => {}
            None => {
                gf_warn!("cannot set {key}: this release does not know it");
                return Err(Errno::EINVAL);
            }
        }
    }
    Ok(Wish::Keep)
}

/// What one attribute asks; `None` if the brick does not know it.
fn wish_in(brick: &Brick, key: &str, value: &[u8]) -> Result<Option<Wish>, Errno> {
    let invalid = |what: &dyn std::fmt::Display| {
        gf_warn!("cannot set {key}: {what}");
        Errno::EINVAL
    };
    let text = || {
        let text = std::str::from_utf8(value).map_err(|error| invalid(&error));
        text.map(|text| text.trim_end_matches('\0'))
    };
    let gfid = |text: &str| text.parse::<Gfid>().map_err(|error| invalid(&error));
    let copy = |how| {
        let text = text()?;
        let (dest, space) = match text.split_once(':') {
            Some((dest, space)) => (dest, Some(space)),
            None => (text, None),
        };
        let space = space.map(str::parse).transpose();
        let space = space.map_err(|error| invalid(&error))?.map(Bytes);
        Ok::<_, Errno>(Wish::Copy(how, gfid(dest)?, space))
    };
    let wish = match key {
        xattr::CLONE => copy(CopyHow::Clone)?,
        xattr::SNAPSHOT => copy(CopyHow::Snapshot)?,
        xattr::COPY_OF => Wish::BeCopy(gfid(text()?)?),
        xattr::PROMISE_MERGE => Wish::PromiseMerge(gfid(text()?)?),
        xattr::CALL_OFF_MERGE => Wish::CallOffMerge,
        xattr::DIR => {
            let policy = DirPolicy::read(value).map_err(|error| invalid(&error))?;
            if policy.kind != brick.kind_for(policy.kind) {
                return Err(invalid(&"this brick has no thin pool; use the policy lv"));
            }
            Wish::Policy
        }
        xattr::IMAGE => Wish::Map(ImageMark::read(value).map_err(|error| invalid(&error))?),
        _ => return Ok(None),
    };
    Ok(Some(wish))
}

/// Sets attributes; those of gluster-bd do what they mean.
pub(crate) fn setxattr(brick: &Arc<Brick>, call: Call<'_, Setxattr>) {
    let Some(inode) = call.args.loc.inode().map(|inode| inode.share()) else {
        return call.pass();
    };
    let wish = match wish_of(brick, &call.frame, &call.args.dict) {
        Ok(wish) => wish,
        Err(errno) => return call.fail(errno),
    };
    if is_question(call.args.xdata.as_ref()) {
        return match may(brick, &call.frame, &inode, &wish) {
            Ok(()) => call.unwind(SetxattrReply { xdata: None }),
            Err(errno) => call.fail(errno),
        };
    }
    if matches!(wish, Wish::Keep) {
        return pass_dressed(brick, call, &inode, |reply| share(&reply.xdata));
    }
    let name = brick.lv_name_at(&call.args.loc);
    let mut call = call.detach();
    brick.on_control(move |brick| {
        let flags = call.args.flags;
        match grant(brick, &call.frame, &inode, name, wish, flags) {
            Ok(()) => {}
            Err(errno) => return call.fail(errno),
        }
        call.args.dict = rest_of(&call.args.dict);
        if call.args.dict.is_empty() {
            return call.unwind(SetxattrReply { xdata: None });
        }
        pass_dressed(brick, call, &inode, |reply| share(&reply.xdata));
        brick.state_of(&inode).set_policy(None);
    });
}

/// As [`setxattr`]; rebalance maps files by it. Images are not signed ([`SIGNATURE`]).
pub(crate) fn fsetxattr(brick: &Arc<Brick>, call: Call<'_, Fsetxattr>) {
    let inode = call.args.fd.inode().share();
    if call.args.dict.contains(SIGNATURE)
        && matches!(brick.image_of(&call.frame, &inode), Ok(Some(_)))
    {
        return call.fail(Errno::EOPNOTSUPP);
    }
    let wish = match wish_of(brick, &call.frame, &call.args.dict) {
        Ok(wish) => wish,
        Err(errno) => return call.fail(errno),
    };
    match wish {
        Wish::Keep => return pass_dressed(brick, call, &inode, |reply| share(&reply.xdata)),
        // bd-client asks for them by name.
        Wish::PromiseMerge(_) | Wish::CallOffMerge | Wish::Copy(..) | Wish::BeCopy(_) => {
            return call.fail(Errno::EOPNOTSUPP);
        }
        Wish::Map(_) | Wish::Policy => {}
    }
    let mut call = call.detach();
    brick.on_control(move |brick| {
        let flags = call.args.flags;
        match grant(brick, &call.frame, &inode, None, wish, flags) {
            Ok(()) => {}
            Err(errno) => return call.fail(errno),
        }
        call.args.dict = rest_of(&call.args.dict);
        if call.args.dict.is_empty() {
            return call.unwind(FsetxattrReply { xdata: None });
        }
        pass_dressed(brick, call, &inode, |reply| share(&reply.xdata));
        brick.state_of(&inode).set_policy(None);
    });
}

/// Lets posix change attributes of a file, which changes its ctime too. Posix has answered when
/// this returns.
fn pass_change<F: Fop>(brick: &Brick, call: Call<'_, F>, inode: &Inode<'_>) {
    let _change = brick.changing(inode);
    call.pass();
}

/// As [`pass_change`] for a fop whose answer tells the attributes of the file, which `xdata` finds:
/// those of an image must not be its stub's.
fn pass_dressed<F: Fop>(
    brick: &Arc<Brick>,
    call: Call<'_, F>,
    inode: &Inode<'_>,
    xdata: impl for<'r> Fn(&F::Reply<'r>) -> Xdata<'static> + Send + 'static,
) {
    let Ok(Some(image)) = brick.image_of(&call.frame, inode) else {
        return call.pass();
    };
    let change = image.changing();
    let brick = Arc::clone(brick);
    call.wind(move |frame, answer| {
        drop(change);
        if let Ok(reply) = &answer
            && let Some(told) = xdata(reply)
        {
            attributes::dress_told(&brick, &image, &told);
        }
        frame.answer(answer);
    });
}

fn share(xdata: &Xdata<'_>) -> Xdata<'static> {
    xdata.as_ref().map(Dict::share)
}

/// Numbers inside attributes, as AFR and EC keep them: posix changes them.
pub(crate) fn xattrop(brick: &Arc<Brick>, call: Call<'_, Xattrop>) {
    if has_ours(&call.args.xattr) {
        return call.fail(Errno::EPERM);
    }
    match call.args.loc.inode().map(|inode| inode.share()) {
        Some(inode) => pass_change(brick, call, &inode),
        None => call.pass(),
    }
}

/// As [`xattrop`].
pub(crate) fn fxattrop(brick: &Arc<Brick>, call: Call<'_, Fxattrop>) {
    if has_ours(&call.args.xattr) {
        return call.fail(Errno::EPERM);
    }
    let inode = call.args.fd.inode().share();
    pass_change(brick, call, &inode);
}

/// What is in our attributes are no numbers, and nobody counts in them.
fn has_ours(dict: &Dict<'_>) -> bool {
    dict.keys().iter().any(|key| xattr::is_ours(key))
}

/// What setxattr(2) wants to know of a mark: that there is none yet, or that there is one.
fn heed(flags: i32, is_there: bool) -> Result<(), Errno> {
    if flags & libc::XATTR_CREATE != 0 && is_there {
        return Err(Errno::EEXIST);
    }
    if flags & libc::XATTR_REPLACE != 0 && !is_there {
        return Err(Errno::ENODATA);
    }
    Ok(())
}

/// Does what a set of attributes means, except to keep those that posix keeps.
fn grant<F: Fop>(
    brick: &Arc<Brick>,
    frame: &Frame<F>,
    inode: &Inode<'_>,
    name: Option<String>,
    wish: Wish,
    flags: i32,
) -> Result<(), Errno> {
    let gfid = Gfid::from_bytes(inode.gfid());
    match wish {
        Wish::Keep => Ok(()),
        Wish::Map(ImageMark::Pending { .. }) => {
            // Heal copies it along with the others; it means nothing without a copy to come.
            if rights::is_service(frame) {
                Ok(())
            } else {
                Err(Errno::EINVAL)
            }
        }
        Wish::Map(ImageMark::Image { kind, size }) => {
            may_map(brick, frame, inode, &rights::look(frame, inode, gfid)?)?;
            heed(flags, brick.image_of(frame, inode)?.is_some())?;
            convert::to_image(brick, frame, inode, name, kind, size)
        }
        Wish::BeCopy(source) => clone::consent(brick, frame, inode, source),
        Wish::Copy(how, dest, space) => {
            let source = brick.image_of(frame, inode)?.ok_or(Errno::EINVAL)?;
            clone::copy(brick, frame, &source, inode, dest, how, space)
        }
        Wish::PromiseMerge(origin) => {
            let snapshot = brick.image_of(frame, inode)?.ok_or(Errno::EINVAL)?;
            merge::promise(brick, frame, inode, &snapshot, origin)
        }
        Wish::CallOffMerge => merge::call_off(brick, frame, gfid),
        Wish::Policy => may_rule(frame, &rights::look(frame, inode, gfid)?),
    }
}

/// Whether nothing is to be changed: bd-client asks first where an arbiter would refuse nothing.
fn is_question(xdata: Option<&Dict<'_>>) -> bool {
    xdata.is_some_and(|xdata| xdata.contains(xattr::ONLY_ASK))
}

/// Whether the caller may set a mark or policy; other wishes are no questions.
fn may<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    inode: &Inode<'_>,
    wish: &Wish,
) -> Result<(), Errno> {
    let look = || rights::look(frame, inode, Gfid::from_bytes(inode.gfid()));
    match wish {
        Wish::Map(ImageMark::Image { .. }) => {
            let file = look()?;
            match file.is_link_file() {
                // The file is elsewhere, and is asked about there.
                true => Ok(()),
                false => may_map(brick, frame, inode, &file),
            }
        }
        Wish::Policy => may_rule(frame, &look()?),
        _ => Err(Errno::EINVAL),
    }
}

/// Whether the caller may set the mark of a file.
fn may_map<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    inode: &Inode<'_>,
    file: &Seen,
) -> Result<(), Errno> {
    if brick.image_of(frame, inode)?.is_some() {
        // With a size it is a truncation, and else nothing.
        return file.must_let(frame, Want::Write);
    }
    if file.file_type() != FileType::Regular {
        return Err(Errno::EINVAL);
    }
    file.must_be_owned(frame)?;
    if brick.root_converts() && frame.uid() != 0 {
        gf_warn!(
            "{inode:?} stays plain: root alone makes plain files images here (user.bd.convert)"
        );
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// Whether the caller may set the policy of a directory.
fn may_rule<F: Fop>(frame: &Frame<F>, directory: &Seen) -> Result<(), Errno> {
    if directory.file_type() != FileType::Directory {
        return Err(Errno::ENOTDIR);
    }
    directory.must_be_owned(frame)
}

/// What is left for posix to keep.
fn rest_of(dict: &Dict<'_>) -> Dict<'static> {
    let rest = dict.duplicate();
    for key in [
        xattr::IMAGE,
        xattr::CLONE,
        xattr::SNAPSHOT,
        xattr::COPY_OF,
        xattr::PROMISE_MERGE,
        xattr::CALL_OFF_MERGE,
    ] {
        rest.remove(key);
    }
    rest
}

/// What can be asked by the name of an attribute which no file has.
#[derive(Clone, Copy, Debug)]
enum Question {
    /// What the server knows of an image.
    Info,
    /// The LV that it is a snapshot of.
    Origin,
    /// The image that it is a snapshot of.
    OriginImage,
    /// Whether the volume is one of gluster-bd.
    VolumeType,
    /// What it can do.
    VolumeCaps,
    /// The space of the brick.
    Space,
    /// The name of the top image directory.
    Top,
    /// The release of this translator.
    Release,
}

fn question(name: Option<&CStr>) -> Option<Question> {
    Some(match name?.to_str().ok()? {
        xattr::INFO => Question::Info,
        xattr::LIST_ORIGIN => Question::Origin,
        xattr::ORIGIN => Question::OriginImage,
        xattr::VOLUME_TYPE => Question::VolumeType,
        xattr::VOLUME_CAPS => Question::VolumeCaps,
        xattr::SPACE => Question::Space,
        xattr::TOP => Question::Top,
        xattr::RELEASE => Question::Release,
        _ => return None,
    })
}

/// Answers questions about images and the volume.
pub(crate) fn getxattr(brick: &Arc<Brick>, call: Call<'_, Getxattr>) {
    if call.args.name.as_deref() == Some(names::PATH) {
        return places::paths(brick, call);
    }
    let Some(question) = question(call.args.name.as_deref()) else {
        return call.pass();
    };
    let Some(inode) = call.args.loc.inode().map(|inode| inode.share()) else {
        return call.pass();
    };
    let frame = call.detach().frame;
    answer(brick, frame, &inode, question, |len, dict| GetxattrReply {
        len,
        dict: Some(dict),
        xdata: None,
    });
}

/// As [`getxattr`].
pub(crate) fn fgetxattr(brick: &Arc<Brick>, call: Call<'_, Fgetxattr>) {
    let Some(question) = question(call.args.name.as_deref()) else {
        return call.pass();
    };
    let inode = call.args.fd.inode().share();
    let frame = call.detach().frame;
    answer(brick, frame, &inode, question, |len, dict| FgetxattrReply {
        len,
        dict: Some(dict),
        xdata: None,
    });
}

fn answer<F: Fop>(
    brick: &Arc<Brick>,
    frame: Frame<F>,
    inode: &Inode<'_>,
    question: Question,
    reply: impl FnOnce(u32, Dict<'static>) -> F::Reply<'static> + Send + 'static,
) {
    let unwind = |frame: Frame<F>, text: Result<(&str, String), Errno>| match text
        .and_then(|(name, text)| one(name, &text))
    {
        Ok((len, dict)) => frame.unwind(reply(len, dict)),
        Err(errno) => frame.fail(errno),
    };
    match question {
        Question::VolumeType => unwind(frame, Ok((xattr::VOLUME_TYPE, "1".to_owned()))),
        Question::VolumeCaps => unwind(frame, Ok((xattr::VOLUME_CAPS, caps(brick).to_string()))),
        Question::Top => {
            let top = brick.server.brick().top.clone();
            unwind(frame, Ok((xattr::TOP, top)));
        }
        Question::Release => {
            let release = env!("CARGO_PKG_VERSION").to_owned();
            unwind(frame, Ok((xattr::RELEASE, release)));
        }
        Question::Space => brick.on_control(move |brick| {
            let text = space(brick).map(|text| (xattr::SPACE, text));
            unwind(frame, text);
        }),
        Question::Info | Question::Origin | Question::OriginImage => {
            match brick.image_of(&frame, inode) {
                Ok(Some(image)) => brick.on_control(move |brick| {
                    let text = match question {
                        Question::Origin => {
                            origin(brick, &image).map(|text| (xattr::LIST_ORIGIN, text))
                        }
                        Question::OriginImage => {
                            origin_image(brick, &image).map(|text| (xattr::ORIGIN, text))
                        }
                        _ => info(brick, &image).map(|text| (xattr::INFO, text)),
                    };
                    unwind(frame, text);
                }),
                Ok(None) => frame.fail(Errno::ENODATA),
                Err(errno) => frame.fail(errno),
            }
        }
    }
}

/// An answer of one attribute, and its length.
fn one(name: &str, text: &str) -> Result<(u32, Dict<'static>), Errno> {
    let dict = Dict::new();
    dict.set(name, text.as_bytes())?;
    Ok((u32::try_from(text.len()).map_err(|_| Errno::ERANGE)?, dict))
}

fn caps(brick: &Brick) -> u32 {
    use xattr::caps::{BD, OFFLOAD_COPY, OFFLOAD_SNAPSHOT, OFFLOAD_ZERO, THIN};
    let thin = match brick.kind_for(ImageKind::Thin) {
        ImageKind::Thin => THIN,
        ImageKind::Thick => 0,
    };
    BD | thin | OFFLOAD_COPY | OFFLOAD_SNAPSHOT | OFFLOAD_ZERO
}

fn known(brick: &Brick, image: &Image) -> Result<ImageInfo, Errno> {
    let gfid = image.gfid();
    let reply = brick.server.ask(&Request::Info {
        brick: brick.server.id(),
        gfid,
    });
    match reply {
        Ok(Reply::Image(known)) => Ok(known),
        Ok(_) => Err(Errno::EPROTO),
        // Another client has removed or merged it.
        Err(error) if error.is_not_found() && image.is_leaving() => Err(Errno::ESTALE),
        Err(error) => Err(brick.told("describe", gfid, &error)),
    }
}

fn origin(brick: &Brick, image: &Image) -> Result<String, Errno> {
    let origin = known(brick, image)?.origin;
    origin.map(String::from).ok_or(Errno::ENODATA)
}

fn origin_image(brick: &Brick, image: &Image) -> Result<String, Errno> {
    let origin = known(brick, image)?.origin_image;
    origin.map(|gfid| gfid.to_string()).ok_or(Errno::ENODATA)
}

fn info(brick: &Brick, image: &Image) -> Result<String, Errno> {
    let mut json = serde_json::to_value(known(brick, image)?).map_err(|_| Errno::EIO)?;
    json["size"] = image.size().into();
    Ok(json.to_string())
}

fn space(brick: &Brick) -> Result<String, Errno> {
    let space = match brick.server.ask(&Request::Space {
        brick: brick.server.id(),
    }) {
        Ok(Reply::Space(space)) => space,
        Ok(_) => return Err(Errno::EPROTO),
        Err(error) => {
            gf_warn!("cannot tell the space of the brick: {error}");
            return Err(Errno::new(error.errno()));
        }
    };
    let mut json = serde_json::to_value(space).map_err(|_| Errno::EIO)?;
    json["extent_size"] = brick.server.brick().extent_size.0.into();
    Ok(json.to_string())
}

/// What a removal of attributes may do.
enum Removal {
    /// What posix does.
    Pass,
    /// Nothing, and say it is done.
    Pretend,
    /// Nothing: it is refused.
    Refuse,
}

/// The mark of an image stays: without it the image would be an empty file. Heal removes and
/// sets it again, which must not touch the image. A policy goes if its directory's owner wants that.
fn removal_of<F: Fop>(
    brick: &Brick,
    frame: &Frame<F>,
    inode: &Inode<'_>,
    name: &CStr,
    xdata: Option<&Dict<'_>>,
) -> Result<Removal, Errno> {
    let list = xdata.filter(|_| name.is_empty());
    let is_named = |key: &str| name.to_bytes() == key.as_bytes();
    let is_meant = |key: &str| is_named(key) || list.is_some_and(|list| list.contains(key));
    if is_meant(xattr::DIR) {
        let gfid = Gfid::from_bytes(inode.gfid());
        rights::look(frame, inode, gfid)?.must_be_owned(frame)?;
    }
    if !is_meant(xattr::IMAGE) || brick.image_of(frame, inode)?.is_none() {
        return Ok(Removal::Pass);
    }
    if let Some(list) = list {
        list.remove(xattr::IMAGE);
        return Ok(Removal::Pass);
    }
    if rights::is_service(frame) {
        return Ok(Removal::Pretend);
    }
    gf_warn!("{inode:?} stays an image; copy it to a plain directory to make it a plain file");
    Ok(Removal::Refuse)
}

/// Removes attributes, but never an image's mark.
pub(crate) fn removexattr(brick: &Arc<Brick>, call: Call<'_, Removexattr>) {
    let Some(inode) = call.args.loc.inode().map(|inode| inode.share()) else {
        return call.pass();
    };
    let (name, xdata) = (&call.args.name, call.args.xdata.as_ref());
    let removal = removal_of(brick, &call.frame, &inode, name, xdata);
    match removal {
        Ok(Removal::Pass) if !is_question(xdata) => {
            pass_dressed(brick, call, &inode, |reply| share(&reply.xdata));
            brick.state_of(&inode).set_policy(None);
        }
        Ok(Removal::Pass | Removal::Pretend) => call.unwind(RemovexattrReply { xdata: None }),
        Ok(Removal::Refuse) => call.fail(Errno::EPERM),
        Err(errno) => call.fail(errno),
    }
}

/// As [`removexattr`].
pub(crate) fn fremovexattr(brick: &Arc<Brick>, call: Call<'_, Fremovexattr>) {
    let inode = call.args.fd.inode().share();
    let (name, xdata) = (&call.args.name, call.args.xdata.as_ref());
    match removal_of(brick, &call.frame, &inode, name, xdata) {
        Ok(Removal::Pass) => {
            pass_dressed(brick, call, &inode, |reply| share(&reply.xdata));
            brick.state_of(&inode).set_policy(None);
        }
        Ok(Removal::Pretend) => call.unwind(FremovexattrReply { xdata: None }),
        Ok(Removal::Refuse) => call.fail(Errno::EPERM),
        Err(errno) => call.fail(errno),
    }
}
