//! `setfattr -n merge` on a snapshot, as in GlusterFS 5.

use std::ffi::{CStr, CString};

use bd_model::{ImageMark, xattr};
use glusterfs::fops::{Getxattr, GetxattrArgs, Lookup, LookupArgs, Setxattr, SetxattrReply};
use glusterfs::{Call, Credentials, Dict, Errno, Iatt, Inode, Loc, Stack, gf_info, gf_warn};

use crate::client::BdClient;
use crate::copy_operation::CopyOperation;
use crate::path_resolution::{self, Found};
use crate::permission::{Want, allowed};

/// The sticky bit of a directory: its files are removed by their owners alone.
const STICKY: u32 = 0o1000;
/// `GFID2PATH_VIRT_XATTR_KEY`: where posix says a file is.
const PATH: &CStr = c"glusterfs.gfidtopath";

/// How often a snapshot is looked for that is not where it was a moment ago.
const ATTEMPTS: u32 = 8;

/// Whether a merge is asked for.
pub(crate) fn is_wish(dict: &Dict<'_>) -> bool {
    dict.contains(xattr::OLD_MERGE)
}

/// A setxattr for which [`is_wish`] is true.
pub(crate) fn setxattr(client: &BdClient, call: Call<'static, Setxattr>) {
    match merge(client, &call) {
        Ok(()) => call.unwind(SetxattrReply { xdata: None }),
        Err(errno) => call.fail(errno),
    }
}

/// Merges the snapshot, which other clients may rename meanwhile: it is the file that is meant, whatever its
/// name.
fn merge(client: &BdClient, call: &Call<'static, Setxattr>) -> Result<(), Errno> {
    let mut tried = 1;
    loop {
        match attempt(client, call) {
            // Where the snapshot itself is gone, that is what the next one answers.
            Err(Errno::ENOENT | Errno::ESTALE) if tried < ATTEMPTS => tried += 1,
            ended => return ended,
        }
    }
}

fn attempt(client: &BdClient, call: &Call<'static, Setxattr>) -> Result<(), Errno> {
    let inode = call.args.loc.inode().ok_or(Errno::EINVAL)?;
    let who = call.frame.credentials();
    let stack = client.stack(&Credentials::root());
    let snapshot = path_resolution::by_gfid(&stack, &inode, call.args.loc.gfid())?;
    if !matches!(snapshot.mark, Some(ImageMark::Image { .. })) {
        gf_warn!("{inode:?} is no image, and cannot be merged");
        return Err(Errno::EINVAL);
    }
    let (parent, name) = place_of(&stack, &snapshot)?;
    let mut operation = CopyOperation {
        node: client.node(),
        stack: &stack,
        who: &who,
        source: &snapshot,
        parent: &parent,
        name: &name,
    };
    let origin = operation.origin()?;
    let origin = path_resolution::by_gfid(&stack, &inode, *origin.as_bytes())?;
    must_be_allowed(&client.stack(&who), &who, &snapshot, &origin, &parent)?;
    operation.source = &origin;
    operation.merge(&snapshot)?;
    gf_info!(
        "{} is merged into {:?}",
        call.args.loc.path().to_string_lossy(),
        origin.inode
    );
    // Caches have the origin's old bytes and size, and a name that is gone, which the kernel is told of as long as
    // the table has it.
    let _seen = path_resolution::by_gfid(&stack, &inode, origin.iatt.gfid());
    client.forget(&[&origin.inode, &snapshot.inode]);
    snapshot.inode.unlink(&parent, &name);
    Ok(())
}

/// The directory and the name of the snapshot, which has one name.
fn place_of(stack: &Stack, snapshot: &Found) -> Result<(Inode<'static>, CString), Errno> {
    let inode = &snapshot.inode;
    if snapshot.iatt.nlink() > 1 {
        gf_warn!("{inode:?} has several names: not merged");
        return Err(Errno::EMLINK);
    }
    // Posix knows it; the inode does if somebody has asked for it by name.
    let asked = stack.ask::<Getxattr>(GetxattrArgs {
        loc: Loc::by_gfid(inode, snapshot.iatt.gfid()),
        name: Some(PATH.into()),
        xdata: None,
    });
    let told = asked.ok().and_then(|reply| reply.dict);
    let told = told.and_then(|dict| dict.get_str(PATH.to_str().ok()?));
    let path = match told {
        Some(path) => path.into_bytes(),
        None => inode.path(None).ok_or(Errno::ESTALE)?.into_bytes(),
    };
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let above = &path[..path.len() - name.len()];
    let parent = path_resolution::directory(stack, &inode.root(), above)?;
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    let found = stack.ask::<Lookup>(LookupArgs {
        loc: Loc::by_name(&parent, &name, &parent.fresh()),
        xdata: None,
    })?;
    if found.buf.gfid() != snapshot.iatt.gfid() {
        gf_warn!("{inode:?} is not {name:?} any more: not merged");
        return Err(Errno::ESTALE);
    }
    Ok((parent, name))
}

/// To merge is to read the snapshot, to write the origin, and to remove the snapshot's name.
fn must_be_allowed(
    stack: &Stack,
    who: &Credentials,
    snapshot: &Found,
    origin: &Found,
    parent: &Inode<'_>,
) -> Result<(), Errno> {
    let folder = path_resolution::by_gfid(stack, parent, parent.gfid())?;
    let may = allowed(stack, snapshot, Want::Read)?
        && allowed(stack, origin, Want::Write)?
        && allowed(stack, &folder, Want::Change)?
        && (who.uid == 0 || may_remove(who, &folder.iatt, &snapshot.iatt));
    may.then_some(()).ok_or(Errno::EACCES)
}

/// Whether the sticky bit of a directory lets somebody who may change it remove the name of a file
/// there (unlink(2)).
fn may_remove(who: &Credentials, folder: &Iatt, file: &Iatt) -> bool {
    folder.permissions() & STICKY == 0 || [folder.uid(), file.uid()].contains(&who.uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sticky_bit_keeps_names_for_their_owners() {
        let iatt = |uid: u32, mode: u32| {
            let mut iatt = Iatt::default();
            iatt.set_uid(uid);
            iatt.set_permissions(mode);
            iatt
        };
        let who = |uid| Credentials {
            uid,
            ..Credentials::root()
        };
        for (folder, file, uid, may) in [
            (iatt(1, 0o755), 1, 2, true),
            (iatt(1, 0o1777), 1, 1, true),
            (iatt(1, 0o1777), 1, 2, false),
            (iatt(1, 0o1777), 2, 2, true),
        ] {
            assert_eq!(
                may_remove(&who(uid), &folder, &iatt(file, 0)),
                may,
                "{folder:?}"
            );
        }
    }
}
