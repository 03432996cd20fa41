//! Names after changes that AFR takes for done on a brick where they are not.
//!
//! A brick that was away may have another file of a name still when the name is changed. Other bricks refuse
//! that (`xattr::RENAMED`), and AFR notes which did; an arbiter does as it is told. And where such a brick has
//! yet to learn that files of a directory were removed, it cannot remove the directory, which AFR takes for no
//! failure. So the names are looked at afterwards, and what is wrong is noted, as AFR would.

use std::ffi::CStr;

use glusterfs::fops::{Lookup, LookupArgs, Rename, Rmdir};
use glusterfs::{Call, Credentials, Errno, Inode, Loc, Node, Stack, gf_warn};

use crate::client::BdClient;
use crate::replicas::Replicas;

/// Lets a rename pass, and looks at what the arbiters have made of it.
pub(crate) fn rename(client: &BdClient, call: Call<'static, Rename>) {
    let file = call.args.oldloc.inode().map(|inode| inode.gfid());
    let (old, new) = (call.args.oldloc.duplicate(), call.args.newloc.duplicate());
    let (frame, answer) = call.ask();
    if answer.is_ok() && file.is_some() {
        look(client, &new, client.arbitrated(), file);
        // It stays where both names led to the file already, as heal has it for a moment.
        look(client, &old, client.arbitrated(), None);
    }
    frame.answer(answer);
}

/// Lets a directory be removed, and looks whether all replicas have done it.
pub(crate) fn rmdir(client: &BdClient, call: Call<'static, Rmdir>) {
    let place = call.args.loc.duplicate();
    let (frame, answer) = call.ask();
    if answer.is_ok() {
        look(client, &place, client.replicas(), None);
    }
    frame.answer(answer);
}

/// Looks whether a name leads to `file`, or to nothing, on all bricks of these groups.
fn look<'a>(
    client: &BdClient,
    place: &Loc<'_>,
    all: impl IntoIterator<Item = &'a Replicas>,
    file: Option<[u8; 16]>,
) {
    let (Some(parent), Some(name)) = (place.parent(), place.name()) else {
        return;
    };
    let stack = client.stack(&Credentials::root());
    let place = Place {
        stack: &stack,
        parent: &parent,
        name,
    };
    for replicas in all {
        if let Err(errno) = place.compare(replicas, file) {
            gf_warn!("cannot tell whether {name:?} is right on all bricks: {errno}");
        }
    }
}

/// A name that was changed.
struct Place<'a> {
    stack: &'a Stack,
    parent: &'a Inode<'a>,
    name: &'a CStr,
}

impl Place<'_> {
    /// Has the bricks where the name leads to `file` note where it does not.
    ///
    /// Somebody else may have changed it meanwhile: then heal finds nothing to do.
    fn compare(&self, replicas: &Replicas, file: Option<[u8; 16]>) -> Result<(), Errno> {
        let (mut right, mut wrong) = (Vec::new(), Vec::new());
        for (number, node) in replicas.nodes().iter().enumerate() {
            match self.leads_to(*node) {
                Ok(found) if found == file => right.push(*node),
                Ok(_) => wrong.push(number),
                // It does not answer, and AFR knows.
                Err(_) => {}
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let dir = Loc::by_gfid(self.parent, self.parent.gfid());
        for node in right {
            gf_warn!("{:?} is another name on bricks {wrong:?}", self.name);
            replicas.blame_for_name(self.stack, node, &dir, self.name, &wrong)?;
        }
        Ok(())
    }

    /// The file that the name leads to on one brick.
    fn leads_to(&self, node: Node) -> Result<Option<[u8; 16]>, Errno> {
        let loc = Loc::by_name(self.parent, self.name, &self.parent.fresh());
        match self
            .stack
            .ask_node::<Lookup>(node, LookupArgs { loc, xdata: None })
        {
            Ok(found) => Ok(Some(found.buf.gfid())),
            Err(failure) if failure.errno == Errno::ENOENT => Ok(None),
            Err(failure) => Err(failure.errno),
        }
    }
}
