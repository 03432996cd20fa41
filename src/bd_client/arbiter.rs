//! Arbiters are plain bricks: they hold names and AFR's notes, and no images. What the other bricks
//! do below AFR, without its knowledge, is done here for them.

use std::ffi::{CStr, CString};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bd_model::xattr;
use glusterfs::fops::{
    Getxattr, GetxattrArgs, Lookup, LookupArgs, Mkdir, MkdirArgs, Setxattr, SetxattrArgs, Xattrop,
    XattropArgs,
};
use glusterfs::{Credentials, Dict, Errno, FileType, Inode, Loc, Node, Stack, gf_info, gf_warn};

use crate::client::BdClient;
use crate::replicas::{ADD, NOTES, Replicas};

/// [`xattr::TOP`].
const TOP: &CStr = c"glusterfs.bd.top";
/// How long arbiters that did not answer are left alone.
const AGAIN: Duration = Duration::from_secs(3);

/// Whether all arbiters have the top image directory, which the other bricks make by themselves.
#[derive(Debug, Default)]
pub(crate) struct Tops {
    are_there: AtomicBool,
    looked: Mutex<Option<Instant>>,
}

impl Tops {
    /// Whether somebody should look, who has then looked.
    pub(crate) fn want_a_look(&self) -> bool {
        if self.are_there.load(Ordering::Relaxed) {
            return false;
        }
        let mut looked = self
            .looked
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if looked.is_some_and(|at| at.elapsed() < AGAIN) {
            return false;
        }
        *looked = Some(Instant::now());
        true
    }

    /// Gives each arbiter the top image directory, with the identity that it has elsewhere: AFR never
    /// looks whether an arbiter lacks a name.
    pub(crate) fn make(&self, client: &BdClient, root: &Inode<'_>) {
        let stack = client.stack(&Credentials::root());
        let mut all = true;
        for replicas in client.arbitrated() {
            if let Some(arbiter) = replicas.arbiter()
                && let Err(errno) = make_top(&stack, replicas, arbiter, root)
            {
                all = false;
                gf_warn!("{arbiter:?} has no image directory yet: {errno}");
            }
        }
        self.are_there.store(all, Ordering::Relaxed);
    }
}

fn make_top(
    stack: &Stack,
    replicas: &Replicas,
    arbiter: Node,
    root: &Inode<'_>,
) -> Result<(), Errno> {
    let mut failed = None;
    for node in replicas.with_bytes() {
        match make_top_of(stack, *node, arbiter, root) {
            Ok(()) => return Ok(()),
            Err(errno) => failed = Some(errno),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Makes the top directory of `node` on the arbiter.
fn make_top_of(stack: &Stack, node: Node, arbiter: Node, root: &Inode<'_>) -> Result<(), Errno> {
    let asked = stack.ask_node::<Getxattr>(
        node,
        GetxattrArgs {
            loc: Loc::of_inode(root),
            name: Some(TOP.into()),
            xdata: None,
        },
    )?;
    let name = asked.dict.and_then(|dict| dict.get_str(xattr::TOP));
    let name = name.and_then(|name| CString::new(name).ok());
    let name = name.ok_or(Errno::EPROTO)?;
    let look = |node| {
        let xdata = Dict::new();
        xdata.set_u32(xattr::DIR, 0)?;
        let found = stack.ask_node::<Lookup>(
            node,
            LookupArgs {
                loc: Loc::by_name(root, &name, &root.fresh()),
                xdata: Some(xdata),
            },
        );
        Ok(found?)
    };
    match look(arbiter) {
        Ok(_) => return Ok(()),
        Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno),
    }
    let top = look(node)?;
    if top.buf.file_type() != FileType::Directory {
        return Err(Errno::ENOTDIR);
    }
    let xdata = Dict::new();
    xdata.set_gfid("gfid-req", top.buf.gfid())?;
    if let Some(policy) = top.xdata.as_ref().and_then(|xdata| xdata.get(xattr::DIR)) {
        xdata.set(xattr::DIR, &policy)?;
    }
    let made = stack.ask_node::<Mkdir>(
        arbiter,
        MkdirArgs {
            loc: Loc::by_name(root, &name, &root.fresh()),
            mode: top.buf.permissions(),
            umask: 0,
            xdata: Some(xdata),
        },
    );
    match made {
        Ok(_) => {
            gf_info!(
                "{arbiter:?} has the image directory /{}",
                name.to_string_lossy()
            );
            Ok(())
        }
        Err(failure) if failure.errno == Errno::EEXIST => Ok(()),
        Err(failure) => Err(failure.errno),
    }
}

/// Lets the arbiter's file `copy` be what it is on the other bricks: an image, of which a brick
/// misses what it misses of the source.
pub(crate) fn copied(
    stack: &Stack,
    arbiter: Node,
    source: &Loc<'_>,
    copy: &Loc<'_>,
    mark: &str,
) -> Result<(), Errno> {
    let asked = stack.ask_node::<Getxattr>(
        arbiter,
        GetxattrArgs {
            loc: source.duplicate(),
            name: None,
            xdata: None,
        },
    )?;
    let notes = Dict::new();
    for (name, value) in asked.dict.iter().flat_map(Dict::entries) {
        if name.starts_with(NOTES) && value.iter().any(|byte| *byte != 0) {
            notes.set(&name, &value)?;
        }
    }
    if !notes.is_empty() {
        stack.ask_node::<Xattrop>(
            arbiter,
            XattropArgs {
                loc: copy.duplicate(),
                optype: ADD,
                xattr: notes,
                xdata: None,
            },
        )?;
    }
    let dict = Dict::new();
    dict.set(xattr::IMAGE, mark.as_bytes())?;
    stack.ask_node::<Setxattr>(
        arbiter,
        SetxattrArgs {
            loc: copy.duplicate(),
            dict,
            flags: 0,
            xdata: None,
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_looks_once_in_a_while_until_all_is_there() {
        let tops = Tops::default();
        assert!(tops.want_a_look());
        assert!(!tops.want_a_look());
        *tops.looked.lock().unwrap() = Instant::now().checked_sub(AGAIN);
        assert!(tops.want_a_look());
        tops.are_there.store(true, Ordering::Relaxed);
        *tops.looked.lock().unwrap() = None;
        assert!(!tops.want_a_look());
        assert_eq!(TOP.to_str(), Ok(xattr::TOP));
    }
}
