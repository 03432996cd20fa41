use glusterfs::fops::{Access, AccessArgs};
use glusterfs::{Errno, Loc, Stack};

use crate::path_resolution::Found;

/// What is wanted of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// To read it.
    Read,
    /// To write it.
    Write,
    /// To go through it, a directory.
    Search,
    /// To remove names from it, a directory.
    Change,
}

/// Whether the server lets the one in whose name the stack asks do what is wanted. Only the server
/// knows: access control lists, and root who is somebody else there, are nothing that the mode tells.
///
/// A clone belongs to the caller and holds the source's bytes, so that cloning is reading.
///
/// # Errors
/// The server does not answer.
pub(crate) fn allowed(stack: &Stack, file: &Found, want: Want) -> Result<bool, Errno> {
    let mask = match want {
        Want::Read => libc::R_OK,
        Want::Write => libc::W_OK,
        Want::Search => libc::X_OK,
        Want::Change => libc::W_OK | libc::X_OK,
    };
    let asked = stack.ask::<Access>(AccessArgs {
        loc: Loc::by_gfid(&file.inode, file.iatt.gfid()),
        mask,
        xdata: None,
    });
    match asked {
        Ok(_) => Ok(true),
        Err(failure) if failure.errno == Errno::EACCES => Ok(false),
        Err(failure) => Err(failure.errno),
    }
}
