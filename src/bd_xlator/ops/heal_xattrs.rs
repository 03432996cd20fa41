//! What replicating and dispersing translators have noted of a file's health on its stub.

use std::ffi::CStr;

use glusterfs::fops::{Getxattr, GetxattrArgs, Stat, StatArgs, Xattrop, XattropArgs};
use glusterfs::{Dict, Errno, Fop, Frame, Loc, Node, Stack};

use crate::Brick;
use crate::names::AFR_DIRTY;

/// AFR's notes: which brick misses which changes.
const REPLICATE: &str = "trusted.afr.";
/// EC's notes: the size of the whole file, and the version of this brick's part.
const DISPERSE: &str = "trusted.ec.";
/// EC's note that changes are under way, or were cut short.
const DISPERSE_DIRTY: &str = "trusted.ec.dirty";
/// EC's count of changes: of the bytes or names, and of the attributes.
const DISPERSE_VERSION: &str = "trusted.ec.version";
/// The option of [`INDEX`] that says of which notes the list is made.
const WATCHED: &str = "xattrop64-watchlist";
/// As [`WATCHED`], of AFR's note that changes are under way.
const REPLICATE_WATCHED: &str = "xattrop-dirty-watchlist";
/// Keeps the list of files that need healing.
const INDEX: &str = "features/index";
/// `GF_XATTROP_ENTRY_IN_KEY`: the name that heal has to look at.
const CHANGED_NAME: &str = "glusterfs.xattrop-entry-create";
/// Adds arrays of 32-bit numbers, `GF_XATTROP_ADD_ARRAY`.
const ADD: u32 = 0;
/// Adds arrays of 64-bit numbers, `GF_XATTROP_ADD_ARRAY64`.
const ADD_LONG: u32 = 1;

/// Lets a copy's stub have what is noted of its source: a brick that misses writes to the source
/// copies bytes without them, and only these notes tell that its copy wants healing, too.
///
/// What must be added to the stub's attributes along with its mark goes to `marks`.
pub(crate) fn carry<F: Fop>(
    frame: &Frame<F>,
    source: Loc<'_>,
    dest: Loc<'_>,
    marks: &Dict<'_>,
) -> Result<(), Errno> {
    let notes = frame.ask::<Getxattr>(GetxattrArgs {
        loc: source,
        name: None,
        xdata: None,
    })?;
    let (replicate, disperse) = (Dict::new(), Dict::new());
    for (name, value) in notes.dict.iter().flat_map(Dict::entries) {
        if name == DISPERSE_DIRTY {
            // The second number counts changes of attributes, and the request to copy is one.
            let mut data = value;
            data.iter_mut().skip(8).for_each(|byte| *byte = 0);
            if data.iter().any(|byte| *byte != 0) {
                disperse.set(&name, &data)?;
            }
        } else if name.starts_with(DISPERSE) {
            marks.set(&name, &value)?;
        } else if name.starts_with(REPLICATE) && value.iter().any(|byte| *byte != 0) {
            replicate.set(&name, &value)?;
        }
    }
    let index = index(frame.node())?;
    for (notes, optype) in [(replicate, ADD), (disperse, ADD_LONG)] {
        if !notes.is_empty() {
            frame.ask_node::<Xattrop>(
                index,
                XattropArgs {
                    loc: dest.duplicate(),
                    optype,
                    xattr: notes,
                    xdata: None,
                },
            )?;
        }
    }
    Ok(())
}

/// What changes of a file or directory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    /// Its bytes.
    Bytes,
    /// That name in it.
    Name(&'a CStr),
}

/// Notes that something changes here without AFR's knowledge, where AFR keeps replicas: heal compares them
/// then, also if it is at that just now. Fails where the file or directory is not there.
pub(crate) fn note_change(
    brick: &Brick,
    stack: &Stack,
    file: &Loc<'_>,
    change: Change<'_>,
) -> Result<(), Errno> {
    let loc = file.duplicate();
    stack.ask::<Stat>(StatArgs { loc, xdata: None })?;
    let index = index(brick.xl.node())?;
    // Volumes without replicas watch for it, too.
    if !brick.server.heals() || index.option(REPLICATE_WATCHED).as_deref() != Some(AFR_DIRTY) {
        return Ok(());
    }
    let mut note = [0; 12];
    let mut xdata = None;
    match change {
        Change::Bytes => note[3] = 1,
        Change::Name(name) => {
            note[11] = 1;
            // A name that is no text is found by lookups alone.
            if let Ok(name) = name.to_str() {
                let names = Dict::new();
                names.set_str(CHANGED_NAME, name)?;
                xdata = Some(names);
            }
        }
    }
    add(stack, index, file, (AFR_DIRTY, &note, ADD), xdata)
}

/// Adds a note, which has a key, a value and a way to be added, to those of a file or directory.
fn add(
    stack: &Stack,
    index: Node,
    file: &Loc<'_>,
    (key, note, optype): (&str, &[u8], u32),
    xdata: Option<Dict<'static>>,
) -> Result<(), Errno> {
    let xattr = Dict::new();
    xattr.set(key, note)?;
    let args = XattropArgs {
        loc: file.duplicate(),
        optype,
        xattr,
        xdata,
    };
    stack.ask_node::<Xattrop>(index, args)?;
    Ok(())
}

/// Has EC compare a directory of which this brick knows no change, as one that it made itself: on a brick that
/// has taken another's place it would count as a good one for ever. Nothing where files are not dispersed.
pub(crate) fn doubt(stack: &Stack, node: Node, dir: &Loc<'_>) -> Result<(), Errno> {
    let index = index(node)?;
    if index.option(WATCHED).as_deref() != Some(DISPERSE_DIRTY) {
        return Ok(());
    }
    let notes = stack.ask::<Getxattr>(GetxattrArgs {
        loc: dir.duplicate(),
        name: None,
        xdata: None,
    })?;
    let is_known = |dict: &Dict<'_>| dict.contains(DISPERSE_VERSION);
    if notes.dict.as_ref().is_some_and(is_known) {
        return Ok(());
    }
    let mut note = [0; 16];
    note[7] = 1;
    add(stack, index, dir, (DISPERSE_DIRTY, &note, ADD_LONG), None)
}

/// The translator through which what is noted comes on the list of what wants healing.
fn index(node: Node) -> Result<Node, Errno> {
    let index = node.find_above(INDEX).or_else(|| node.first_child());
    index.ok_or(Errno::EIO)
}
