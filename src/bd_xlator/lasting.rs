//! Changes of names and sizes that last: the posix translator brings neither to its disk, and after a power
//! cut an image would have its old name, or be back, though its client was told otherwise.

use std::fs::File;
use std::io;

use bd_model::Gfid;
use glusterfs::{Errno, Loc, gf_error};

use crate::Brick;

impl Brick {
    /// Brings to the disk what was changed before of the names in the directory of `loc`.
    ///
    /// Only for threads that may wait.
    ///
    /// # Errors
    /// That of the disk: nobody knows what of the change lasts.
    pub(crate) fn make_name_last(&self, loc: &Loc<'_>) -> Result<(), Errno> {
        self.make_last(Gfid::from_bytes(loc.parent_gfid()))
    }

    /// Brings to the disk what was changed before of a file or directory.
    ///
    /// Only for threads that may wait.
    ///
    /// # Errors
    /// As [`Brick::make_name_last`].
    pub(crate) fn make_last(&self, gfid: Gfid) -> Result<(), Errno> {
        // The handle of a directory is a link to it.
        let handle = self.server.dir().join(gfid.handle());
        match File::open(&handle).and_then(|file| file.sync_all()) {
            // Gone meanwhile, with all that was in it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => {
                gf_error!("cannot sync {}: {error}", handle.display());
                Err(Errno::new(error.raw_os_error().unwrap_or(libc::EIO)))
            }
            Ok(()) => Ok(()),
        }
    }
}
