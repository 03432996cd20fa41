//! Attributes that are seen and set from above.

use std::ffi::{CStr, CString};

use bd_model::{Gfid, xattr};
use glusterfs::fops::{Removexattr, RemovexattrArgs, Rename, Setxattr, SetxattrArgs};
use glusterfs::{Call, Dict, Errno, Fop, Inode, Loc, gf_warn};

use crate::client::BdClient;
use crate::replicas::Replicas;

/// Whether a set of attributes has one that only translators of gluster-bd use among themselves.
pub(crate) fn are_internal(dict: &Dict<'_>) -> bool {
    let found = xattr::INTERNAL.iter().find(|key| dict.contains(key));
    if let Some(key) = found {
        gf_warn!("{key} is refused: only gluster-bd itself uses it");
    }
    found.is_some()
}

/// A list of a file's attributes without those that programs must not copy or remove: to them they
/// would be notes of a user's, and not what makes the file what it is.
pub(crate) fn without_marks(list: &Dict<'_>) -> Dict<'static> {
    let rest = list.duplicate();
    for key in list.keys() {
        if xattr::is_hidden(&key) {
            rest.remove(&key);
        }
    }
    rest
}

/// Says in a rename which file is meant: GlusterFS sends names alone, and a brick that was away may have
/// another file of that name still.
pub(crate) fn name_renamed(call: &mut Call<'_, Rename>) -> Result<(), Errno> {
    let Some(file) = call.args.oldloc.inode().map(|inode| inode.gfid()) else {
        return Ok(());
    };
    let xdata = call.args.xdata.as_ref();
    let named = xdata.map_or_else(Dict::new, Dict::duplicate);
    named.set_str(xattr::RENAMED, &Gfid::from_bytes(file).to_string())?;
    call.args.xdata = Some(named);
    Ok(())
}

/// A mark or policy that is set or removed.
#[derive(Debug)]
pub(crate) enum Change {
    Set(Dict<'static>),
    Remove(CString),
}

impl Change {
    /// The change that a set of attributes is, if it is one.
    pub(crate) fn of_set(dict: &Dict<'_>) -> Option<Change> {
        let is_one = [xattr::IMAGE, xattr::DIR]
            .iter()
            .any(|key| dict.contains(key));
        is_one.then(|| Change::Set(dict.share()))
    }

    /// The change that the removal of an attribute is, if it is one.
    pub(crate) fn of_removal(name: &CStr) -> Option<Change> {
        let is_one = [xattr::IMAGE, xattr::DIR]
            .iter()
            .any(|key| name.to_bytes() == key.as_bytes());
        is_one.then(|| Change::Remove(name.to_owned()))
    }

    /// Lets `call` pass if all bricks that know of images let the caller do this to the file of `inode`.
    ///
    /// Only an arbiter knows of none: it would keep what the others refuse. Where there is none, they
    /// say it themselves.
    pub(crate) fn pass<F: Fop>(self, client: &BdClient, call: Call<'static, F>, inode: &Inode<'_>) {
        match self.is_allowed(client, &call, inode) {
            Ok(()) => call.pass(),
            Err(errno) => call.fail(errno),
        }
    }

    fn is_allowed<F: Fop>(
        &self,
        client: &BdClient,
        call: &Call<'_, F>,
        inode: &Inode<'_>,
    ) -> Result<(), Errno> {
        let stack = client.stack(&call.frame.credentials());
        for node in client.arbitrated().flat_map(Replicas::with_bytes) {
            let xdata = Dict::new();
            xdata.set_str(xattr::ONLY_ASK, "1")?;
            let (loc, xdata) = (Loc::by_gfid(&inode.fresh(), inode.gfid()), Some(xdata));
            let asked = match self {
                Change::Set(dict) => stack
                    .ask_node::<Setxattr>(
                        *node,
                        SetxattrArgs {
                            loc,
                            dict: dict.share(),
                            flags: 0,
                            xdata,
                        },
                    )
                    .map(drop),
                Change::Remove(name) => stack
                    .ask_node::<Removexattr>(
                        *node,
                        RemovexattrArgs {
                            loc,
                            name: name.as_c_str().into(),
                            xdata,
                        },
                    )
                    .map(drop),
            };
            match asked.map_err(|failure| failure.errno) {
                Ok(()) => {}
                // It is away, or the file is in another part of the volume.
                Err(Errno::ENOTCONN | Errno::ENOENT | Errno::ESTALE) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}
