//! What a descriptor may be used for. A mount's kernel sees to it, but a program with libgfapi is held by
//! nobody else: the stub is open as was asked, and the image's device for reading and writing.

use glusterfs::{Errno, Fd};

use crate::Brick;

/// Fails with `EBADF` if `fd` was not opened for reading.
pub(super) fn reads(fd: &Fd<'_>) -> Result<(), Errno> {
    match fd.flags() & libc::O_ACCMODE {
        libc::O_WRONLY if !fd.is_anonymous() => Err(Errno::EBADF),
        _ => Ok(()),
    }
}

/// Fails with `EBADF` if `fd` was not opened for writing.
pub(super) fn writes(brick: &Brick, fd: &Fd<'_>) -> Result<(), Errno> {
    let refused = fd.flags() & libc::O_ACCMODE == libc::O_RDONLY
        && !fd.is_anonymous()
        && fd.ctx(brick.xl).is_none_or(|open| !open.is_maker);
    if refused { Err(Errno::EBADF) } else { Ok(()) }
}

/// The flags with which posix creates a file that was asked for with `flags`. Without any it is open for
/// reading and writing; so it shall be where another flag is added.
pub(super) fn of_creation(flags: i32) -> i32 {
    if flags == 0 { libc::O_RDWR } else { flags }
}
