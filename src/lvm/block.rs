use std::io;
use std::os::fd::AsFd;

use bd_model::Bytes;

use crate::ffi;

/// Frees a range of a block device; what it reads afterwards is up to the device.
///
/// Offset and length are multiples of the logical block size.
pub fn discard(device: impl AsFd, from: Bytes, len: Bytes) -> io::Result<()> {
    ffi::blkdiscard(device.as_fd(), from.0, len.0)
}

/// Makes a range of a block device read as zeros, and keeps its blocks allocated.
///
/// Offset and length are multiples of the logical block size. The kernel writes zeros itself
/// where the device has no command for it.
pub fn zero_out(device: impl AsFd, from: Bytes, len: Bytes) -> io::Result<()> {
    ffi::blkzeroout(device.as_fd(), from.0, len.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_files_are_refused() {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        assert!(discard(&file, Bytes(0), Bytes(4096)).is_err());
        assert!(zero_out(&file, Bytes(0), Bytes(4096)).is_err());
    }
}
