use std::ffi::CStr;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

use crate::volume::last_error;
use crate::{FileError, Stat, Volume};

/// The names in a directory, with their attributes; one answer of a server holds many.
#[derive(Debug)]
pub struct Directory<'a> {
    fd: NonNull<gfapi_sys::glfs_fd>,
    path: String,
    volume: PhantomData<&'a Volume>,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name; bytes that are no UTF-8 are shown as U+FFFD.
    pub name: String,
    /// The attributes.
    pub stat: Stat,
}

impl Directory<'_> {
    pub(crate) fn new<'a>(fd: NonNull<gfapi_sys::glfs_fd>, path: String) -> Directory<'a> {
        Directory {
            fd,
            path,
            volume: PhantomData,
        }
    }

    fn read(&mut self) -> Result<Option<Entry>, FileError> {
        let mut stat = MaybeUninit::<gfapi_sys::stat>::zeroed();
        let mut entry = MaybeUninit::<gfapi_sys::dirent>::zeroed();
        let mut found = ptr::null_mut();
        // SAFETY: the descriptor is open and the three structures have room for the answer.
        let code = unsafe {
            gfapi_sys::glfs_readdirplus_r(
                self.fd.as_ptr(),
                stat.as_mut_ptr(),
                entry.as_mut_ptr(),
                &mut found,
            )
        };
        if code != 0 {
            return Err(FileError {
                operation: "list",
                path: self.path.clone(),
                source: last_error(),
            });
        }
        if found.is_null() {
            return Ok(None);
        }
        // SAFETY: an entry was found, so both structures are filled (they were zeroed besides,
        // and zeros are valid in all their fields), and the name ends with a zero byte.
        let (stat, name) = unsafe {
            let name = CStr::from_ptr((*entry.as_ptr()).d_name.as_ptr());
            (stat.assume_init_ref(), name.to_string_lossy().into_owned())
        };
        Ok(Some(Entry {
            name,
            stat: Stat::from_c(stat),
        }))
    }
}

impl Iterator for Directory<'_> {
    type Item = Result<Entry, FileError>;

    /// The next name that is neither `.` nor `..`.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.read() {
                Ok(Some(entry)) if entry.name == "." || entry.name == ".." => {}
                other => return other.transpose(),
            }
        }
    }
}

impl Drop for Directory<'_> {
    fn drop(&mut self) {
        // SAFETY: the descriptor is open and used by nobody after this.
        unsafe { gfapi_sys::glfs_closedir(self.fd.as_ptr()) };
    }
}
