//! What becomes of a copy that not every brick has made.
//!
//! Copies are asked for by an attribute of the source. A brick that fails to copy, because its
//! gluster-bdd is away, is noted as one that misses a change of the source's attributes: nobody blames it
//! for the copy, whose file it has, without bytes. So each brick is looked at afterwards, and what one
//! lacks is noted on the others' files.

use bd_model::{Gfid, ImageMark};
use glusterfs::fops::{Xattrop, XattropArgs};
use glusterfs::{Dict, Errno, Inode, Loc, Node, Stack, gf_warn};

use crate::path_resolution::mark_on_brick;
use crate::replicas::Replicas;

/// EC's note that changes of bytes and attributes were cut short.
const DISPERSE_DIRTY: &str = "trusted.ec.dirty";
/// Adds arrays of 64-bit numbers, `GF_XATTROP_ADD_ARRAY64`.
const ADD_LONG: u32 = 1;

/// Lets heal know of bricks of `part` that have not made the copy `dest`; `source` is any inode of the
/// volume.
///
/// # Errors
/// `EIO` if no more than half of the bricks have it, and what a brick answers to the notes.
pub(crate) fn note_missing(
    stack: &Stack,
    part: Node,
    source: &Inode<'_>,
    dest: Gfid,
) -> Result<(), Errno> {
    let pieces = part.find_kind("cluster/disperse");
    let replicas = Replicas::of(part).ok();
    let nodes = match (&pieces, &replicas) {
        (Some(disperse), _) => disperse.children(),
        (None, Some(replicas)) => replicas.with_bytes().to_vec(),
        (None, None) => return Err(Errno::EIO),
    };
    if nodes.len() < 2 {
        return Ok(());
    }
    let fresh = source.fresh();
    let loc = Loc::by_gfid(&fresh, *dest.as_bytes());
    let (mut done, mut missed) = (Vec::new(), Vec::new());
    for (number, node) in nodes.iter().enumerate() {
        if is_image(stack, *node, &loc)? {
            done.push(*node);
        } else {
            gf_warn!("{node:?} has not made the copy <gfid:{dest}>, and gets it by heal");
            missed.push(number);
        }
    }
    if done.len() * 2 <= nodes.len() {
        return Err(Errno::EIO);
    }
    if missed.is_empty() {
        return Ok(());
    }
    for node in done {
        match &replicas {
            Some(replicas) => replicas.blame(stack, node, &loc, &missed)?,
            None => cut_short(stack, node, &loc)?,
        }
    }
    Ok(())
}

/// Whether a brick has the copy; `false` if it does not answer.
fn is_image(stack: &Stack, node: Node, loc: &Loc<'_>) -> Result<bool, Errno> {
    let mark = mark_on_brick(stack, node, loc)?.map(|mark| ImageMark::read(&mark));
    Ok(matches!(mark, Some(Ok(ImageMark::Image { .. }))))
}

/// Lets EC compare the pieces: those which miss something have another version.
fn cut_short(stack: &Stack, node: Node, loc: &Loc<'_>) -> Result<(), Errno> {
    let xattr = Dict::new();
    xattr.set(DISPERSE_DIRTY, &[1_u64.to_be_bytes(); 2].concat())?;
    stack.ask_node::<Xattrop>(
        node,
        XattropArgs {
            loc: loc.duplicate(),
            optype: ADD_LONG,
            xattr,
            xdata: None,
        },
    )?;
    Ok(())
}
