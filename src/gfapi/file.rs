use std::io;
use std::ptr::NonNull;

use crate::FileError;
use crate::volume::{done, last_error, unwanted};

/// An open file, closed when dropped.
#[derive(Debug)]
pub struct File {
    fd: NonNull<gfapi_sys::glfs_fd>,
    path: String,
}

impl File {
    pub(crate) fn new(fd: NonNull<gfapi_sys::glfs_fd>, path: String) -> File {
        File { fd, path }
    }

    /// Makes the file `size` bytes long, on stable storage; what is added reads as zeros.
    pub fn truncate(&self, size: u64) -> Result<(), FileError> {
        let failed = |source| FileError {
            operation: "resize",
            path: self.path.clone(),
            source,
        };
        let size =
            i64::try_from(size).map_err(|_| failed(io::Error::from_raw_os_error(libc::EFBIG)))?;
        // SAFETY: the descriptor is open; null pointers mean that the answers are not wanted.
        let code =
            unsafe { gfapi_sys::glfs_ftruncate(self.fd.as_ptr(), size, unwanted(), unwanted()) };
        done(code).ok_or_else(|| failed(last_error()))?;
        // EC tells the bricks the size within a second, and would not if this process ended before.
        // SAFETY: as above.
        let code = unsafe { gfapi_sys::glfs_fsync(self.fd.as_ptr(), unwanted(), unwanted()) };
        done(code).ok_or_else(|| failed(last_error()))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the descriptor is open and used by nobody after this.
        unsafe { gfapi_sys::glfs_close(self.fd.as_ptr()) };
    }
}
