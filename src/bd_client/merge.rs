//! `setfattr -n merge` on a snapshot, as in GlusterFS 5.

use bd_model::{Gfid, ImageMark, xattr};
use glusterfs::fops::{Getxattr, GetxattrArgs, Lookup, LookupArgs, Setxattr, SetxattrReply};
use glusterfs::{Call, Credentials, Dict, Errno, Iatt, Loc, Stack, gf_info, gf_warn};

use crate::client::BdClient;
use crate::permission::{Want, allowed};
use crate::recipe::{ORIGIN, Recipe};
use crate::walk::{self, Found};

/// The sticky bit of a directory: its files are removed by their owners alone.
const STICKY: u32 = 0o1000;

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

fn merge(client: &BdClient, call: &Call<'static, Setxattr>) -> Result<(), Errno> {
    let inode = call.args.loc.inode().ok_or(Errno::EINVAL)?;
    let who = call.frame.credentials();
    let stack = client.stack(&Credentials::root());
    let snapshot = walk::by_gfid(&stack, &inode, call.args.loc.gfid())?;
    if !matches!(snapshot.mark, Some(ImageMark::Image { .. })) {
        gf_warn!("{inode:?} is no image, and cannot be merged");
        return Err(Errno::EINVAL);
    }
    let origin = origin_of(&stack, &snapshot)?;
    let origin = walk::by_gfid(&stack, &inode, *origin.as_bytes())?;
    must_be_allowed(&stack, &who, &snapshot, &origin)?;
    let recipe = Recipe {
        node: client.node(),
        stack: &stack,
        who: &who,
        source: &origin,
        parent: &inode,
        name: c"",
    };
    recipe.merge(&snapshot)?;
    gf_info!(
        "{} is merged into {:?}",
        call.args.loc.path().to_string_lossy(),
        origin.inode
    );
    // Caches have the origin's old bytes and size, and a name that is gone.
    let _seen = walk::by_gfid(&stack, &inode, origin.iatt.gfid());
    for stale in [&origin.inode, &snapshot.inode] {
        stale.invalidate();
    }
    Ok(())
}

fn origin_of(stack: &Stack, snapshot: &Found) -> Result<Gfid, Errno> {
    let asked = stack.ask::<Getxattr>(GetxattrArgs {
        loc: Loc::of_inode(&snapshot.inode),
        name: Some(ORIGIN.into()),
        xdata: None,
    });
    match asked {
        Ok(reply) => {
            let text = reply.dict.and_then(|dict| dict.get_str(xattr::ORIGIN));
            text.and_then(|text| text.parse().ok()).ok_or(Errno::EINVAL)
        }
        Err(failure) if failure.errno == Errno::ENODATA => {
            let inode = &snapshot.inode;
            gf_warn!("{inode:?} is no snapshot, or its origin is gone: not merged");
            Err(Errno::EINVAL)
        }
        Err(failure) => Err(failure.errno),
    }
}

/// To merge is to read the snapshot, to write the origin, and to remove the snapshot's name.
fn must_be_allowed(
    stack: &Stack,
    who: &Credentials,
    snapshot: &Found,
    origin: &Found,
) -> Result<(), Errno> {
    if who.uid == 0 {
        return Ok(());
    }
    let bytes = allowed(who, &snapshot.iatt, Want::Read) && allowed(who, &origin.iatt, Want::Write);
    // Without a known directory nobody can say who may remove the name.
    let parent = snapshot.inode.parent().ok_or(Errno::EACCES)?;
    let loc = Loc::by_gfid(&parent.fresh(), parent.gfid());
    let folder = stack.ask::<Lookup>(LookupArgs { loc, xdata: None })?.buf;
    if bytes && may_remove(who, &folder, &snapshot.iatt) {
        return Ok(());
    }
    Err(Errno::EACCES)
}

/// Whether the name of a file in that directory may be removed (unlink(2)).
fn may_remove(who: &Credentials, folder: &Iatt, file: &Iatt) -> bool {
    let owns = folder.permissions() & STICKY == 0 || [folder.uid(), file.uid()].contains(&who.uid);
    owns && allowed(who, folder, Want::Write) && allowed(who, folder, Want::Search)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_removed_by_whom_unlink_lets() {
        let iatt = |uid: u32, mode: u32| {
            let mut iatt = Iatt::default();
            iatt.set_uid(uid);
            iatt.set_permissions(mode);
            iatt
        };
        let who = |uid| Credentials {
            uid,
            gid: uid,
            groups: Vec::new(),
            ..Credentials::root()
        };
        for (folder, file, uid, may) in [
            (iatt(1, 0o755), 1, 1, true),
            (iatt(1, 0o755), 2, 2, false),
            (iatt(1, 0o777), 1, 2, true),
            (iatt(1, 0o776), 1, 2, false),
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

    #[test]
    fn the_c_form_is_the_rust_form() {
        assert_eq!(ORIGIN.to_str(), Ok(xattr::ORIGIN));
    }
}
