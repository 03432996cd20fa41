//! What a descriptor may be used for. A mount's kernel sees to it, but a program with libgfapi is held by
//! nobody else: the stub is open as was asked, and the image's device for reading and writing.

use blockdev::{Device, Span};
use glusterfs::{Errno, Fd};

use crate::Brick;

/// Fails with `EBADF` if `fd` was not opened for reading.
pub(crate) fn reads(fd: &Fd<'_>) -> Result<(), Errno> {
    match fd.flags() & libc::O_ACCMODE {
        libc::O_WRONLY if !fd.is_anonymous() => Err(Errno::EBADF),
        _ => Ok(()),
    }
}

/// Fails with `EBADF` if `fd` was not opened for writing.
pub(crate) fn writes(brick: &Brick, fd: &Fd<'_>) -> Result<(), Errno> {
    let refused = fd.flags() & libc::O_ACCMODE == libc::O_RDONLY
        && !fd.is_anonymous()
        && fd.ctx(brick.xl).is_none_or(|open| !open.is_maker);
    if refused { Err(Errno::EBADF) } else { Ok(()) }
}

/// Fails with `EINVAL` where the read of a device that was opened with `O_DIRECT` would: programs find out
/// its blocks so. The request must carry the flag, too: a mount's kernel brings what a program does after it
/// has taken the flag away on the same descriptor.
///
/// Writes are taken as they come: write-behind joins them, also those of dd(1), which takes the flag away
/// for the last bytes, with others.
pub(crate) fn read_is_aligned(
    fd: &Fd<'_>,
    flags: u32,
    offset: u64,
    len: usize,
    device: &Device,
) -> Result<(), Errno> {
    let is_direct = fd.flags() & flags.cast_signed() & libc::O_DIRECT != 0;
    if is_direct && !Span::at(offset, len as u64).is_aligned(device.block_size()) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// The flags with which posix creates a file that was asked for with `flags`. Without any it is open for
/// reading and writing; so it shall be where another flag is added.
pub(crate) fn of_creation(flags: i32) -> i32 {
    if flags == 0 { libc::O_RDWR } else { flags }
}
