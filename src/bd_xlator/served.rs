//! The bricks that this process serves, which are sealed when it ends.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};

use bd_proto::seal::Served;
use glusterfs::{at_exit, gf_warn};

/// Several where bricks share a process.
static SERVED: Mutex<BTreeMap<PathBuf, Served>> = Mutex::new(BTreeMap::new());
static AT_EXIT: Once = Once::new();

/// Breaks the seal of a brick until [`end`], or the end of the process: posix, which starts after the
/// translators above it, takes no brick that has one.
///
/// # Errors
/// The directory's attributes cannot be written.
pub(crate) fn begin(dir: &Path) -> io::Result<()> {
    AT_EXIT.call_once(|| {
        if !at_exit(end_all) {
            gf_warn!("gluster-bdd alone will see that bricks are sealed when this process ends");
        }
    });
    let served = match Served::begin(dir) {
        // gluster-bdd says why it is no brick.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        served => served?,
    };
    let mut all = SERVED.lock().unwrap_or_else(PoisonError::into_inner);
    all.insert(dir.to_owned(), served);
    Ok(())
}

/// The brick is served no more.
pub(crate) fn end(dir: &Path) {
    let mut all = SERVED.lock().unwrap_or_else(PoisonError::into_inner);
    let served = all.remove(dir);
    drop(all);
    drop(served);
}

extern "C" fn end_all() {
    // Whoever holds it may be a thread that never goes on.
    if let Ok(mut all) = SERVED.try_lock() {
        all.clear();
    }
}
