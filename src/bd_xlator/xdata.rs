//! What requests carry beside their arguments, and what becomes of it where the brick answers for an
//! image itself: docs/xdata.md in the form of code.
//!
//! Translators above say with keys in a fop's extra data (xdata) what posix shall do or tell besides.
//! A key that nobody has thought of may lose data. So builds with debug assertions look at the keys of
//! each such request, and say in the log which are not in the table; the tests look for that.

#[cfg(any(debug_assertions, test))]
mod table;

/// Says in the log which keys of a request are not in the table, once each.
#[cfg(debug_assertions)]
pub(crate) fn look_at(fop: &'static str, xdata: Option<&glusterfs::Dict<'_>>) {
    use std::collections::HashSet;
    use std::sync::{LazyLock, Mutex, PoisonError};

    static SEEN: LazyLock<Mutex<HashSet<(&str, String)>>> = LazyLock::new(Mutex::default);

    let Some(xdata) = xdata.filter(|_| table::OWN.contains(&fop)) else {
        return;
    };
    for (key, _) in xdata.entries() {
        let known = table::row(fop, &key);
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.insert((fop, key.clone())) {
            match known {
                Some(row) => glusterfs::gf_info!("{fop} with {key}: {:?}, {}", row.how, row.why),
                None => {
                    glusterfs::gf_error!("{fop} with {key}, which is not in the table of xdata")
                }
            }
        }
    }
}

/// Builds without debug assertions do not look.
#[cfg(not(debug_assertions))]
pub(crate) fn look_at(_: &'static str, _: Option<&glusterfs::Dict<'_>>) {}
