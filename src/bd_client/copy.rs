//! The fops that can mean a copy.

use std::borrow::Cow;
use std::ffi::CString;

use bd_model::{Bytes, DirPolicy, Gfid, ImageMark, LinkMeans, xattr};
use glusterfs::fops::{
    Getxattr, GetxattrArgs, Link, LinkReply, Setxattr, SetxattrReply, Symlink, SymlinkReply,
};
use glusterfs::{
    Call, Credentials, Dict, Errno, FileType, Iatt, Inode, Loc, Stack, gf_info, gf_warn,
};

use crate::client::BdClient;
use crate::copy_operation::{CopyOperation, CopyRequest, Made};
use crate::home::away;
use crate::path_resolution::{self, Found};
use crate::permission::{Want, allowed};
use crate::recent_links::Place;
use crate::replicas::Replicas;

/// Tells the server that a link is meant as one.
fn mark_plain(xdata: &mut Option<Dict<'static>>) -> Result<(), Errno> {
    let marked = xdata.as_ref().map_or_else(Dict::new, Dict::duplicate);
    marked.set_str(xattr::PLAIN, "1")?;
    *xdata = Some(marked);
    Ok(())
}

/// Whether links in a directory mean copies.
fn links_copy(client: &BdClient, directory: &Inode<'_>) -> Result<bool, Errno> {
    // In root's name: a caller who may not read the directory's attributes may still link in it.
    let stack = client.stack(&Credentials::root());
    let name = CString::new(xattr::DIR).map_err(|_| Errno::EINVAL)?;
    let args = |inode: &Inode<'_>| GetxattrArgs {
        loc: Loc::by_gfid(inode, directory.gfid()),
        name: Some(Cow::Owned(name.clone())),
        xdata: None,
    };
    // AFR may ask an arbiter, which keeps whatever it is told.
    let replicas = client.arbitrated().next();
    let told = replicas
        .map_or(&[][..], Replicas::with_bytes)
        .iter()
        .map(|node| stack.ask_node::<Getxattr>(*node, args(&directory.fresh())))
        .find(|answer| !matches!(answer, Err(failure) if failure.errno == Errno::ENOTCONN));
    let answer = told.unwrap_or_else(|| stack.ask::<Getxattr>(args(directory)));
    let value = match answer {
        Ok(reply) => reply.dict.and_then(|dict| dict.get(xattr::DIR)),
        Err(failure) if matches!(failure.errno, Errno::ENODATA | Errno::EOPNOTSUPP) => None,
        Err(failure) => return Err(failure.errno),
    };
    let Some(value) = value else { return Ok(false) };
    match DirPolicy::read(&value) {
        Ok(policy) => Ok(policy.link == LinkMeans::Clone),
        Err(error) => {
            gf_warn!("{directory:?} has a policy that cannot be read: {error}");
            Err(Errno::EIO)
        }
    }
}

/// Whether a file can be copied in the stack's name; `false` if it is not an image.
///
/// # Errors
/// `ESTALE` if it is one, and its mark was not told: it would become a link in silence.
fn copyable(client: &BdClient, stack: &Stack, source: &Found) -> Result<bool, Errno> {
    match source.mark {
        _ if source.iatt.file_type() != FileType::Regular => Ok(false),
        None => {
            let fresh = source.inode.fresh();
            let loc = Loc::by_gfid(&fresh, source.iatt.gfid());
            match path_resolution::is_image_on_a_brick(stack, client.node(), &loc) {
                true => {
                    gf_warn!("{:?} is an image on some brick: not linked", source.inode);
                    Err(Errno::ESTALE)
                }
                false => Ok(false),
            }
        }
        // Somebody else's copy is being made; it is an image soon, or gone.
        Some(ImageMark::Pending { .. }) => Err(Errno::EBUSY),
        Some(ImageMark::Image { .. }) if allowed(stack, source, Want::Read)? => Ok(true),
        Some(ImageMark::Image { .. }) => Err(Errno::EACCES),
    }
}

/// The copy that is asked for by an attribute, and the text that says into which file.
pub(crate) fn old_wish(dict: &Dict<'_>) -> Option<(CopyRequest, String)> {
    let asked = |key, request| dict.get_str(key).map(|text| (request, text));
    asked(xattr::OLD_CLONE, CopyRequest::Clone)
        .or_else(|| asked(xattr::OLD_SNAPSHOT, CopyRequest::Snapshot(None)))
        .or_else(|| asked(xattr::SNAPSHOT_AS, CopyRequest::Snapshot(None)))
}

/// A setxattr for which [`old_wish`] has found something.
pub(crate) fn setxattr(client: &BdClient, call: Call<'static, Setxattr>) {
    match try_setxattr(client, &call) {
        Ok(()) => call.unwind(SetxattrReply { xdata: None }),
        Err(errno) => call.fail(errno),
    }
}

fn try_setxattr(client: &BdClient, call: &Call<'static, Setxattr>) -> Result<(), Errno> {
    let (request, text) = old_wish(&call.args.dict).ok_or(Errno::EINVAL)?;
    if call.args.dict.contains(xattr::SNAPSHOT_AS) {
        return snapshot_as(client, call, &text);
    }
    let (gfid, space) = match text.split_once(':') {
        Some((gfid, space)) => (gfid, Some(space)),
        None => (text.as_str(), None),
    };
    let request = match (request, space) {
        (CopyRequest::Snapshot(_), Some(space)) => {
            // As in GlusterFS 5, a bare number is bytes.
            let space = Bytes::parse_with_unit(space, Bytes(1)).map_err(|error| {
                gf_warn!("cannot make a snapshot with a space of {space:?}: {error}");
                Errno::EINVAL
            })?;
            CopyRequest::Snapshot(Some(space))
        }
        (request, _) => request,
    };
    let dest: Gfid = gfid.parse().map_err(|_| {
        gf_warn!("cannot copy into {text:?}: the value is the gfid of an empty file");
        Errno::EINVAL
    })?;
    let inode = call.args.loc.inode().ok_or(Errno::EINVAL)?;
    let who = call.frame.credentials();
    let stack = client.stack(&who);
    let source = path_resolution::by_gfid(&stack, &inode, call.args.loc.gfid())?;
    if !copyable(client, &stack, &source)? {
        return Err(Errno::EOPNOTSUPP);
    }
    let into = path_resolution::by_gfid(&stack, &inode, *dest.as_bytes())?;
    if into.mark.is_some() || into.iatt.file_type() != FileType::Regular || into.iatt.size() > 0 {
        gf_warn!("cannot copy into <gfid:{dest}>: it is no empty plain file");
        return Err(Errno::EEXIST);
    }
    CopyOperation {
        node: client.node(),
        stack: &stack,
        who: &who,
        source: &source,
        parent: &inode,
        name: c"",
    }
    .copy_into(request, dest)?;
    // Caches have the empty file.
    let _seen = path_resolution::by_gfid(&stack, &inode, *dest.as_bytes());
    client.forget(&[&into.inode]);
    Ok(())
}

/// Makes a snapshot with a space of so many bytes, at a path from the volume's root.
fn snapshot_as(client: &BdClient, call: &Call<'static, Setxattr>, text: &str) -> Result<(), Errno> {
    let wrong = || {
        gf_warn!("cannot make a snapshot as {text:?}: that is no size and path");
        Errno::EINVAL
    };
    let (space, path) = text.split_once(' ').ok_or_else(wrong)?;
    let space: u64 = space.parse().map_err(|_| wrong())?;
    let (above, name) = path.rsplit_once('/').ok_or_else(wrong)?;
    let name = CString::new(name).map_err(|_| wrong())?;
    let inode = call.args.loc.inode().ok_or(Errno::EINVAL)?;
    let who = call.frame.credentials();
    let stack = client.stack(&who);
    let parent = path_resolution::directory(&stack, &inode.root(), above.as_bytes())?;
    if !links_copy(client, &parent)? {
        gf_warn!("cannot make a snapshot as {text:?}: it is in no image directory");
        return Err(Errno::EINVAL);
    }
    let source = path_resolution::by_gfid(&stack, &inode, call.args.loc.gfid())?;
    if !copyable(client, &stack, &source)? {
        return Err(Errno::EINVAL);
    }
    let operation = CopyOperation {
        node: client.node(),
        stack: &stack,
        who: &who,
        source: &source,
        parent: &parent,
        name: &name,
    };
    let made = operation.make(CopyRequest::Snapshot(Some(Bytes(space))), &parent.fresh())?;
    gf_info!(
        "{path} is a snapshot of {:?}: {}",
        source.inode,
        Gfid::from_bytes(made.iatt.gfid())
    );
    Ok(())
}

enum Plan<T> {
    Plain,
    Made(T),
}

pub(crate) fn link(client: &BdClient, mut call: Call<'static, Link>) {
    match try_link(client, &call) {
        Ok(Plan::Plain) => match mark_plain(&mut call.args.xdata) {
            Ok(()) => client.pass_in_full(call),
            Err(errno) => call.fail(errno),
        },
        Ok(Plan::Made((made, inode))) => call.unwind(LinkReply {
            inode: Some(inode),
            buf: made.iatt,
            preparent: made.preparent,
            postparent: made.postparent,
            xdata: None,
        }),
        Err(errno) => call.fail(errno),
    }
}

fn try_link(
    client: &BdClient,
    call: &Call<'static, Link>,
) -> Result<Plan<(Made, Inode<'static>)>, Errno> {
    let (old, new) = (&call.args.oldloc, &call.args.newloc);
    let (Some(old_inode), Some(parent), Some(name)) = (old.inode(), new.parent(), new.name())
    else {
        return Ok(Plan::Plain);
    };
    let who = call.frame.credentials();
    let stack = client.stack(&who);
    if !links_copy(client, &parent)? {
        return Ok(Plan::Plain);
    }
    let source = path_resolution::by_gfid(&stack, &old_inode, old.gfid())?;
    if !copyable(client, &stack, &source)? {
        return Ok(Plan::Plain);
    }
    let node = client.node();
    let operation = CopyOperation {
        node,
        stack: &stack,
        who: &who,
        source: &source,
        parent: &parent,
        name,
    };
    let inode = parent.fresh();
    let made = operation.make(CopyRequest::Clone, &inode)?;
    if !client.fuse() {
        let place = Place {
            parent: new.parent_gfid(),
            name: name.to_bytes().to_vec(),
        };
        client.recent_links().insert(place, made.iatt.gfid());
    }
    gf_info!(
        "{} is a clone of {}",
        new.path().to_string_lossy(),
        old.path().to_string_lossy()
    );
    Ok(Plan::Made((made, inode)))
}

pub(crate) fn symlink(client: &BdClient, mut call: Call<'static, Symlink>) {
    match try_symlink(client, &call) {
        Ok(Plan::Plain) => match mark_plain(&mut call.args.xdata) {
            Ok(()) => call.pass(),
            Err(errno) => call.fail(errno),
        },
        Ok(Plan::Made((made, buf))) => {
            let inode = call.args.loc.inode().map(|inode| inode.share());
            call.unwind(SymlinkReply {
                inode,
                buf,
                preparent: made.preparent,
                postparent: made.postparent,
                xdata: None,
            });
        }
        Err(errno) => call.fail(errno),
    }
}

fn try_symlink(
    client: &BdClient,
    call: &Call<'static, Symlink>,
) -> Result<Plan<(Made, Iatt)>, Errno> {
    let loc = &call.args.loc;
    let (Some(inode), Some(parent), Some(name)) = (loc.inode(), loc.parent(), loc.name()) else {
        return Ok(Plan::Plain);
    };
    let who = call.frame.credentials();
    let stack = client.stack(&who);
    if !links_copy(client, &parent)? {
        return Ok(Plan::Plain);
    }
    path_resolution::learn(&client.stack(&Credentials::root()), &parent)?;
    let text = call.args.linkname.to_bytes();
    let below = client.below_mount(&stack, call.frame.pid(), &parent, text)?;
    let text = below.as_deref().unwrap_or(text);
    let source = match path_resolution::follow(
        &stack,
        client.node(),
        &parent,
        text,
        &client.roots(),
    ) {
        Ok(Some(source)) => source,
        Ok(None) => return Ok(Plan::Plain),
        Err(Errno::ENOENT) => {
            // The image may be where nobody can look for it: a link to it would be none for good.
            if let Some(part) = away(client.node(), &stack, &parent) {
                let text = call.args.linkname.to_string_lossy();
                gf_warn!(
                    "cannot tell whether {text} is an image while {part:?} cannot be reached: no link is \
                     made; start the volume's bricks"
                );
                return Err(Errno::ENOTCONN);
            }
            return Ok(Plan::Plain);
        }
        Err(errno) => return Err(errno),
    };
    if !copyable(client, &stack, &source)? {
        return Ok(Plan::Plain);
    }
    let node = client.node();
    let operation = CopyOperation {
        node,
        stack: &stack,
        who: &who,
        source: &source,
        parent: &parent,
        name,
    };
    let made = if client.fuse() {
        operation.make(CopyRequest::Snapshot(None), &parent.fresh())?
    } else {
        // libgfapi takes a file where it asked for a symbolic link.
        operation.make(CopyRequest::Snapshot(None), &inode)?
    };
    gf_info!(
        "{} is a snapshot of {:?}",
        loc.path().to_string_lossy(),
        source.inode
    );
    let buf = if client.fuse() {
        client.make_phantom(&inode, &parent, name, &made.iatt, text.len())
    } else {
        made.iatt
    };
    Ok(Plan::Made((made, buf)))
}
