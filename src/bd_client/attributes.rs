//! Attributes that are seen and set from above.

use bd_model::xattr;
use glusterfs::{Dict, gf_warn};

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
