//! What replicating and dispersing translators have noted of a file's health on its stub.

use glusterfs::fops::{Getxattr, GetxattrArgs, Xattrop, XattropArgs};
use glusterfs::{Dict, Errno, Fop, Frame, Loc};

/// AFR's notes: which brick misses which changes.
const REPLICATE: &str = "trusted.afr.";
/// EC's notes: the size of the whole file, and the version of this brick's part.
const DISPERSE: &str = "trusted.ec.";
/// EC's note that changes are under way, or were cut short.
const DISPERSE_DIRTY: &str = "trusted.ec.dirty";
/// Keeps the list of files that need healing.
const INDEX: &str = "features/index";
/// Adds arrays of 32-bit numbers, `GF_XATTROP_ADD_ARRAY`.
const ADD: u32 = 0;
/// Adds arrays of 64-bit numbers, `GF_XATTROP_ADD_ARRAY64`.
const ADD_LONG: u32 = 1;

/// Lets a copy's stub have what is noted of its source: a brick that misses writes to the source
/// copies bytes without them, and only these notes tell that its copy wants healing, too.
///
/// What must be added to the stub's attributes along with its mark goes to `marks`.
pub(super) fn carry<F: Fop>(
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
    // Through the index, so that the copy is on the list of what wants healing.
    let node = frame.node();
    let index = node.find_above(INDEX).or_else(|| node.first_child());
    let index = index.ok_or(Errno::EIO)?;
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
