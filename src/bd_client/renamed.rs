//! Renames where a replica is an arbiter.
//!
//! A brick that was away may have another file of a name still when the name is changed. Other bricks refuse
//! that (`xattr::RENAMED`), and AFR notes which did; an arbiter does as it is told. So its name is looked at
//! afterwards, and what is wrong with it is noted on the others, as AFR would.

use std::ffi::CStr;

use glusterfs::fops::{Lookup, LookupArgs, Rename};
use glusterfs::{Call, Credentials, Errno, Inode, Loc, Node, Stack, gf_warn};

use crate::client::BdClient;
use crate::replicas::Replicas;

/// Lets a rename pass, and looks at what the arbiters have made of it.
pub(crate) fn rename(client: &BdClient, call: Call<'static, Rename>) {
    let file = call.args.oldloc.inode().map(|inode| inode.gfid());
    let new = call.args.newloc.duplicate();
    let (frame, answer) = call.ask();
    if let (Ok(_), Some(file), Some(parent), Some(name)) = (&answer, file, new.parent(), new.name())
    {
        let stack = client.stack(&Credentials::root());
        let place = Place {
            stack: &stack,
            parent: &parent,
            name,
        };
        for replicas in Replicas::arbitrated(client.node()) {
            if let Err(errno) = place.compare(&replicas, file) {
                gf_warn!("cannot tell whether {name:?} is right on all bricks: {errno}");
            }
        }
    }
    frame.answer(answer);
}

/// A new name.
struct Place<'a> {
    stack: &'a Stack,
    parent: &'a Inode<'a>,
    name: &'a CStr,
}

impl Place<'_> {
    /// Has those that give the name to `file` note that the arbiter gives it to another.
    fn compare(&self, replicas: &Replicas, file: [u8; 16]) -> Result<(), Errno> {
        let Some(arbiter) = replicas.arbiter() else {
            return Ok(());
        };
        match self.leads_to(arbiter) {
            Ok(found) if found != file => {}
            // It does not answer, or has no such name: then AFR knows, or the file is in another part.
            Ok(_) | Err(_) => return Ok(()),
        }
        for node in replicas.with_bytes() {
            // Somebody else may have given the name to another file meanwhile.
            if self.leads_to(*node) == Ok(file) {
                gf_warn!("{arbiter:?} has another file of the name {:?}", self.name);
                let dir = Loc::by_gfid(self.parent, self.parent.gfid());
                replicas.blame_arbiter_for_name(self.stack, *node, &dir, self.name)?;
            }
        }
        Ok(())
    }

    fn leads_to(&self, node: Node) -> Result<[u8; 16], Errno> {
        let loc = Loc::by_name(self.parent, self.name, &self.parent.fresh());
        let asked = LookupArgs { loc, xdata: None };
        Ok(self.stack.ask_node::<Lookup>(node, asked)?.buf.gfid())
    }
}
