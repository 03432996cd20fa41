use std::ffi::{CStr, CString};
use std::time::{Duration, Instant};

use bd_model::{Gfid, xattr};
use glusterfs::fops::{
    Getxattr, GetxattrArgs, Link, LinkArgs, Lookup, LookupArgs, Setxattr, SetxattrArgs, Unlink,
    UnlinkArgs,
};
use glusterfs::{Credentials, Dict, Errno, Inode, Loc, Node, Stack, gf_error, gf_warn};

use crate::path_resolution::Found;
use crate::replicas::{NOTES, Replicas};

/// `GF_CLIENT_PID_NO_ROOT_SQUASH`: one of Gluster's own, so that no translator that keeps what
/// people remove (trash) makes something else of the removal.
const OWN: i32 = -4;
/// Bytes of a name that no file system takes.
const TOO_LONG: usize = 300;
/// How long all bricks may take to promise a merge. They keep the snapshot closed for longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The merge of a snapshot into its origin on all replicas: all of them do it, or none does.
///
/// Each replica promises it first, and keeps the snapshot closed from then on. Then the snapshot's
/// name is removed, with a word along that makes the removal the merge. What a replica misses is
/// noted as AFR notes it: of the name by AFR, which removes it, and of the origin's bytes here.
/// While it goes on, each replica has a note that the origin is being changed; if this process
/// ends, heal finds it and makes the replicas equal.
///
/// The caller holds AFR's lock over the origin's bytes.
pub(crate) struct Merging<'a> {
    /// This translator.
    pub(crate) node: Node,
    /// Fops in root's name.
    pub(crate) stack: &'a Stack,
    /// Where the two are.
    pub(crate) replicas: &'a Replicas,
    /// The image that gets other bytes.
    pub(crate) origin: &'a Found,
    /// The image that goes.
    pub(crate) snapshot: &'a Found,
    /// The directory of the snapshot's name.
    pub(crate) parent: &'a Inode<'a>,
    /// The snapshot's only name.
    pub(crate) name: &'a CStr,
}

/// What became of the merge on one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The snapshot is gone: by the merge, unless all bricks have refused that.
    Done,
    /// It was not done, and is not done later.
    NotDone,
    /// The replica does not know, or does not answer.
    Unknown,
}

/// Whether that is what bricks answer which have not merged, and do not do so later.
fn is_refusal(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ENOENT | Errno::ESTALE | Errno::EBUSY | Errno::EMLINK
    )
}

impl Merging<'_> {
    pub(crate) fn run(&self) -> Result<(), Errno> {
        for file in [self.origin, self.snapshot] {
            self.must_be_changeable(file)?;
        }
        let begun = Instant::now();
        let nodes = self.replicas.with_bytes();
        let (promised, all) = self.ask_for_promises(nodes);
        let ready = all.and_then(|()| {
            for node in nodes {
                for file in [self.snapshot, self.origin] {
                    self.must_be_whole(*node, file)?;
                }
            }
            if begun.elapsed() > PATIENCE {
                gf_warn!("{:?}: its bricks answer too slowly", self.snapshot.inode);
                return Err(Errno::EBUSY);
            }
            self.replicas.begin(self.stack, self.origin)
        });
        if let Err(errno) = ready {
            self.call_off(promised);
            return Err(errno);
        }
        let removed = self.remove();
        self.conclude(removed)
    }

    /// Makes sure that the volume lets the file be changed: `features.worm` does not know a merge, which is
    /// the removal of another file, in the name of one of Gluster's own. It knows links. One with a name
    /// that is too long is made nowhere, and before anybody sees that, it is refused as changes are.
    fn must_be_changeable(&self, file: &Found) -> Result<(), Errno> {
        let name = CString::new("-".repeat(TOO_LONG)).map_err(|_| Errno::EINVAL)?;
        for node in self.replicas.with_bytes() {
            let fresh = file.inode.fresh();
            let linked = self.stack.ask_node::<Link>(
                *node,
                LinkArgs {
                    oldloc: Loc::by_gfid(&file.inode, file.iatt.gfid()),
                    newloc: Loc::by_name(self.parent, &name, &fresh),
                    xdata: None,
                },
            );
            if linked.is_err_and(|failure| failure.errno == Errno::EROFS) {
                gf_warn!("{:?} must not be changed: not merged", file.inode);
                return Err(Errno::EROFS);
            }
        }
        Ok(())
    }

    /// Asks one after the other, until one refuses; answers those that have promised.
    fn ask_for_promises<'n>(&self, nodes: &'n [Node]) -> (&'n [Node], Result<(), Errno>) {
        let origin = Gfid::from_bytes(self.origin.iatt.gfid()).to_string();
        for (number, node) in nodes.iter().enumerate() {
            if let Err(errno) = self.tell(*node, xattr::PROMISE_MERGE, &origin) {
                gf_warn!(
                    "{node:?} cannot merge {:?} into {origin}: {errno}; not merged",
                    self.snapshot.inode
                );
                return (&nodes[..number], Err(errno));
            }
        }
        (nodes, Ok(()))
    }

    /// Makes sure that no replica misses writes to one of the two, as far as this one knows: what is
    /// missed of the snapshot would be lost, and heal may be at work on the origin.
    fn must_be_whole(&self, node: Node, file: &Found) -> Result<(), Errno> {
        let asked = self.stack.ask_node::<Getxattr>(
            node,
            GetxattrArgs {
                loc: Loc::by_gfid(&file.inode.fresh(), file.iatt.gfid()),
                name: None,
                xdata: None,
            },
        )?;
        let noted = |(name, value): (String, Vec<u8>)| {
            // The first number is that of data.
            name.starts_with(NOTES) && value.iter().take(4).any(|byte| *byte != 0)
        };
        if asked.dict.iter().flat_map(Dict::entries).any(noted) {
            gf_warn!("{:?} is to be healed first: not merged", file.inode);
            return Err(Errno::EBUSY);
        }
        Ok(())
    }

    /// Removes the snapshot's name through all translators below, which merges it.
    fn remove(&self) -> Result<(), Errno> {
        let xdata = Dict::new();
        let origin = Gfid::from_bytes(self.origin.iatt.gfid());
        xdata.set_str(xattr::MERGE, &origin.to_string())?;
        let who = Credentials {
            pid: OWN,
            ..Credentials::root()
        };
        let stack = Stack::new(self.node, &who);
        stack.ask::<Unlink>(UnlinkArgs {
            loc: Loc::by_name(self.parent, self.name, &self.snapshot.inode),
            xflags: 0,
            xdata: Some(xdata),
        })?;
        Ok(())
    }

    /// Looks at what each replica has done, and notes what it has missed.
    fn conclude(&self, removed: Result<(), Errno>) -> Result<(), Errno> {
        let nodes = self.replicas.nodes();
        let outcomes: Vec<Outcome> = nodes.iter().map(|node| self.outcome(*node)).collect();
        let with_bytes = self.replicas.with_bytes().len();
        let is_done = outcomes[..with_bytes].contains(&Outcome::Done);
        let is_known = !outcomes.contains(&Outcome::Unknown);
        if outcomes[..with_bytes].iter().all(|it| *it == Outcome::Done)
            && let Err(errno) = removed
            && is_refusal(errno)
        {
            // It was another client that removed the snapshot, or merged it. Where there are notes they stay,
            // as only heal can say that the replicas are equal.
            return Err(errno);
        }
        if !is_done {
            // Where one may still do it, the notes stay, so that heal looks at all of them.
            if is_known {
                for node in nodes {
                    self.replicas.end(self.stack, *node, self.origin, &[]);
                }
            }
            return removed.and(Err(Errno::EIO));
        }
        let missed: Vec<usize> = (0..nodes.len())
            .filter(|number| outcomes[*number] != Outcome::Done)
            .collect();
        for (node, outcome) in nodes.iter().zip(&outcomes) {
            if *outcome == Outcome::Done {
                self.replicas.end(self.stack, *node, self.origin, &missed);
            } else {
                gf_error!(
                    "{node:?} has not merged {:?}, which the others have; it gets the bytes by heal",
                    self.snapshot.inode
                );
            }
        }
        match missed.is_empty() {
            true => Ok(()),
            false => removed,
        }
    }

    fn outcome(&self, node: Node) -> Outcome {
        let look = LookupArgs {
            loc: self.loc_of_snapshot(),
            xdata: None,
        };
        match self.stack.ask_node::<Lookup>(node, look) {
            Ok(_) if !self.replicas.with_bytes().contains(&node) => Outcome::NotDone,
            Ok(_) => match self.tell(node, xattr::CALL_OFF_MERGE, "1") {
                Ok(()) => Outcome::NotDone,
                Err(_) => Outcome::Unknown,
            },
            Err(failure) if matches!(failure.errno, Errno::ENOENT | Errno::ESTALE) => Outcome::Done,
            Err(_) => Outcome::Unknown,
        }
    }

    /// Lets replicas that have promised the merge open the snapshot again. Those that cannot be told do so
    /// after a while. No others are told: they may have promised it to another client.
    fn call_off(&self, promised: &[Node]) {
        for node in promised {
            if let Err(errno) = self.tell(*node, xattr::CALL_OFF_MERGE, "1") {
                gf_warn!("{node:?} keeps the snapshot closed for a while: {errno}");
            }
        }
    }

    fn tell(&self, node: Node, key: &str, value: &str) -> Result<(), Errno> {
        let dict = Dict::new();
        dict.set_str(key, value)?;
        self.stack.ask_node::<Setxattr>(
            node,
            SetxattrArgs {
                loc: self.loc_of_snapshot(),
                dict,
                flags: 0,
                xdata: None,
            },
        )?;
        Ok(())
    }

    fn loc_of_snapshot(&self) -> Loc<'static> {
        Loc::by_gfid(&self.snapshot.inode.fresh(), self.snapshot.iatt.gfid())
    }
}
