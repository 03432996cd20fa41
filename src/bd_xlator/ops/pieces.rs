//! Files that sharding (`features.shard`) keeps in pieces: an image would have the first of them only.
//!
//! Sharding is the clients'. Where the volume's filter has not taken it out of their graphs, because
//! there were files in pieces before the volume became ours, no image is made.

use std::fmt::Debug;

use glusterfs::{Dict, Errno, gf_error};

use crate::names;

/// Asks for what [`refuse`] looks at along with another request.
pub(crate) fn ask(request: &Dict<'_>) -> Result<(), Errno> {
    request.set_u64(names::SHARD_SIZE, 0)
}

/// Fails with `EOPNOTSUPP` if `told`, which comes with the making of a file or with its attributes,
/// says that it is kept in pieces. `what` is the file.
pub(crate) fn refuse(what: &dyn Debug, told: Option<&Dict<'_>>) -> Result<(), Errno> {
    if !told.is_some_and(|told| told.contains(names::SHARD_SIZE)) {
        return Ok(());
    }
    gf_error!(
        "{what:?} is kept in pieces and cannot be an image: run gluster volume set VOL \
         features.shard off, after files in pieces were moved elsewhere, and make it anew"
    );
    Err(Errno::EOPNOTSUPP)
}
