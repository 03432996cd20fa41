use std::ffi::CStr;

use bd_model::{Gfid, xattr};
use glusterfs::fops::{Getxattr, GetxattrArgs, Xattrop, XattropArgs};
use glusterfs::{Dict, Errno, Loc, Node, Stack, gf_warn};

use crate::path_resolution::Found;

/// [`xattr::ORIGIN`].
const ORIGIN: &CStr = c"glusterfs.bd.origin";
/// AFR's note that a change is under way.
const DIRTY: &str = "trusted.afr.dirty";
/// `GF_XATTROP_ENTRY_IN_KEY`: the name that heal has to look at.
const CHANGED_NAME: &str = "glusterfs.xattrop-entry-create";
/// What the names of AFR's notes begin with.
pub(crate) const NOTES: &str = "trusted.afr.";
/// Adds arrays of 32-bit numbers, `GF_XATTROP_ADD_ARRAY`.
pub(crate) const ADD: u32 = 0;

/// The bricks that hold a file, and AFR's way of noting what one of them has missed of it.
#[derive(Debug)]
pub(crate) struct Replicas {
    /// In AFR's order.
    nodes: Vec<Node>,
    /// The last one keeps names only.
    has_arbiter: bool,
    /// The notes that blame each of them; none where nothing replicates.
    blames: Vec<String>,
}

impl Replicas {
    /// The replicas below `part`, a part of a distributed volume.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for pieces of a dispersed volume, which are no replicas.
    pub(crate) fn of(part: Node) -> Result<Replicas, Errno> {
        if part.find_kind("cluster/disperse").is_some() {
            return Err(Errno::EOPNOTSUPP);
        }
        let Some(afr) = part.find_kind("cluster/replicate") else {
            return Ok(Replicas {
                nodes: vec![part],
                has_arbiter: false,
                blames: Vec::new(),
            });
        };
        let mut nodes = afr.children();
        if afr.option("thin-arbiter").is_some() {
            nodes.pop();
        }
        let names: Vec<String> = match afr.option("afr-pending-xattr") {
            Some(names) => names
                .split(',')
                .map(|name| name.trim().to_owned())
                .collect(),
            None => nodes.iter().map(Node::name).collect(),
        };
        let count = afr.option("arbiter-count");
        Ok(Replicas {
            has_arbiter: count.is_some_and(|count| count.trim() != "0"),
            blames: names.iter().map(|name| format!("{NOTES}{name}")).collect(),
            nodes,
        })
    }

    /// The replicas of all parts of the volume below `node`, where there is more than one.
    pub(crate) fn all(node: Node) -> Vec<Replicas> {
        let parts = match node.find_kind("cluster/distribute") {
            Some(dht) => dht.children(),
            None => node.first_child().into_iter().collect(),
        };
        let all = parts.into_iter().filter_map(|part| Replicas::of(part).ok());
        all.filter(|replicas| !replicas.blames.is_empty()).collect()
    }

    /// All of them.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The one that keeps names only.
    pub(crate) fn arbiter(&self) -> Option<Node> {
        self.nodes.last().copied().filter(|_| self.has_arbiter)
    }

    /// Those that hold bytes.
    pub(crate) fn with_bytes(&self) -> &[Node] {
        let arbiters = usize::from(self.has_arbiter);
        &self.nodes[..self.nodes.len().saturating_sub(arbiters)]
    }

    /// The image that a file is a snapshot of. One that heal has made does not know it, so each
    /// replica is asked.
    ///
    /// # Errors
    /// `EINVAL` if none knows one, or they know different ones.
    pub(crate) fn origin(&self, stack: &Stack, file: &Found) -> Result<Gfid, Errno> {
        let mut origin = None;
        for node in self.with_bytes() {
            let asked = stack.ask_node::<Getxattr>(
                *node,
                GetxattrArgs {
                    loc: Loc::by_gfid(&file.inode.fresh(), file.iatt.gfid()),
                    name: Some(ORIGIN.into()),
                    xdata: None,
                },
            );
            let told = match asked {
                Ok(reply) => reply.dict.and_then(|dict| dict.get_str(xattr::ORIGIN)),
                Err(failure) if failure.errno == Errno::ENODATA => continue,
                Err(failure) => return Err(failure.errno),
            };
            let told: Gfid = told.and_then(|text| text.parse().ok()).ok_or(Errno::EIO)?;
            if origin.is_some_and(|origin| origin != told) {
                gf_warn!(
                    "{:?} is a snapshot of different images: not merged",
                    file.inode
                );
                return Err(Errno::EINVAL);
            }
            origin = Some(told);
        }
        origin.ok_or_else(|| {
            let inode = &file.inode;
            gf_warn!("{inode:?} is no snapshot, or its origin is gone: not merged");
            Errno::EINVAL
        })
    }

    /// Notes that the file's bytes are about to change, as AFR does before a write.
    pub(crate) fn begin(&self, stack: &Stack, file: &Found) -> Result<(), Errno> {
        for (number, node) in self.nodes.iter().enumerate() {
            if let Err(errno) = self.note(stack, *node, file, 1, &[]) {
                for node in &self.nodes[..number] {
                    self.end(stack, *node, file, &[]);
                }
                return Err(errno);
            }
        }
        Ok(())
    }

    /// Notes on one replica that the change is over, and which of the others have missed it.
    pub(crate) fn end(&self, stack: &Stack, node: Node, file: &Found, missed: &[usize]) {
        if let Err(errno) = self.note(stack, node, file, -1, missed) {
            // The note that a change was under way stays, and heal compares all replicas.
            gf_warn!(
                "{node:?} does not know that the change of {:?} is over: {errno}",
                file.inode
            );
        }
    }

    /// Notes on one replica that others have missed the making of a file.
    pub(crate) fn blame(
        &self,
        stack: &Stack,
        node: Node,
        file: &Loc<'_>,
        missed: &[usize],
    ) -> Result<(), Errno> {
        let xattr = Dict::new();
        for blamed in missed.iter().filter_map(|number| self.blames.get(*number)) {
            xattr.set(blamed, &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0])?;
        }
        stack.ask_node::<Xattrop>(
            node,
            XattropArgs {
                loc: file.duplicate(),
                optype: ADD,
                xattr,
                xdata: None,
            },
        )?;
        Ok(())
    }

    /// Notes on one replica that others have missed a change of a name in a directory.
    pub(crate) fn blame_for_name(
        &self,
        stack: &Stack,
        node: Node,
        dir: &Loc<'_>,
        name: &CStr,
        missed: &[usize],
    ) -> Result<(), Errno> {
        let xattr = Dict::new();
        for blamed in missed.iter().filter_map(|number| self.blames.get(*number)) {
            xattr.set(blamed, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])?;
        }
        let names = Dict::new();
        // A name that is no text is found by lookups alone.
        if let Ok(name) = name.to_str() {
            names.set_str(CHANGED_NAME, name)?;
        }
        stack.ask_node::<Xattrop>(
            node,
            XattropArgs {
                loc: dir.duplicate(),
                optype: ADD,
                xattr,
                xdata: Some(names),
            },
        )?;
        Ok(())
    }

    fn note(
        &self,
        stack: &Stack,
        node: Node,
        file: &Found,
        dirty: i32,
        missed: &[usize],
    ) -> Result<(), Errno> {
        if self.blames.is_empty() {
            return Ok(());
        }
        let xattr = Dict::new();
        xattr.set(DIRTY, &of_data(dirty))?;
        for blamed in missed.iter().filter_map(|number| self.blames.get(*number)) {
            xattr.set(blamed, &of_data(1))?;
        }
        stack.ask_node::<Xattrop>(
            node,
            XattropArgs {
                loc: Loc::by_gfid(&file.inode, file.iatt.gfid()),
                optype: ADD,
                xattr,
                xdata: None,
            },
        )?;
        Ok(())
    }
}

/// A note of AFR's: numbers for data, metadata and names.
fn of_data(count: i32) -> [u8; 12] {
    let mut note = [0; 12];
    note[..4].copy_from_slice(&count.to_be_bytes());
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_c_form_is_the_rust_form() {
        assert_eq!(ORIGIN.to_str(), Ok(xattr::ORIGIN));
    }

    #[test]
    fn notes_on_data_are_afrs() {
        assert_eq!(of_data(1), [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(of_data(-1)[..5], [255, 255, 255, 255, 0]);
    }
}
