//! The ioctls of block devices, from `linux/fs.h`.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use crate::Span;

mod raw {
    nix::ioctl_write_ptr_bad!(discard, nix::request_code_none!(0x12, 119), [u64; 2]);
    nix::ioctl_write_ptr_bad!(zeroout, nix::request_code_none!(0x12, 127), [u64; 2]);
    nix::ioctl_read!(size64, 0x12, 114, u64);
}

/// `BLKDISCARD`: gives the blocks of a span back to the device.
pub(crate) fn discard(fd: impl AsFd, span: Span) -> io::Result<()> {
    let range = [span.start, span.len()];
    // SAFETY: BLKDISCARD reads a `uint64_t[2]`, which outlives the call; the descriptor is open.
    unsafe { raw::discard(fd.as_fd().as_raw_fd(), &range) }?;
    Ok(())
}

/// `BLKZEROOUT`: makes a span read as zeros, by the device's own means or by writing.
pub(crate) fn zeroout(fd: impl AsFd, span: Span) -> io::Result<()> {
    let range = [span.start, span.len()];
    // SAFETY: BLKZEROOUT reads a `uint64_t[2]`, which outlives the call; the descriptor is open.
    unsafe { raw::zeroout(fd.as_fd().as_raw_fd(), &range) }?;
    Ok(())
}

/// `BLKGETSIZE64`: the bytes of a block device.
pub(crate) fn size(fd: impl AsFd) -> io::Result<u64> {
    let mut bytes = 0;
    // SAFETY: BLKGETSIZE64 writes one u64, for which there is room; the descriptor is open.
    unsafe { raw::size64(fd.as_fd().as_raw_fd(), &mut bytes) }?;
    Ok(bytes)
}
