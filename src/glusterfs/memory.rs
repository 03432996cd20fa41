//! Memory that libglusterfs will free, and its C locks.

use std::ffi::{CStr, c_char, c_void};

use glusterfs_sys as sys;

/// What a field of a live structure holds now. C code may change the structure meanwhile, so there must be no
/// reference to it.
macro_rules! field {
    ($it:ident.$field:ident) => {
        // SAFETY: `as_ptr` of what exists leads to a live structure.
        unsafe { (&raw const (*$it.as_ptr()).$field).read() }
    };
}
pub(crate) use field;

/// Copies bytes into memory of libglusterfs, with a NUL behind them.
pub(crate) fn copy(bytes: &[u8]) -> *mut u8 {
    // SAFETY: the call has no precondition but a translator in THIS, which is always set.
    let raw = unsafe {
        sys::__gf_malloc(
            bytes.len() + 1,
            sys::gf_common_mt_char,
            c"gluster-bd".as_ptr(),
        )
    };
    let raw = raw.cast::<u8>();
    assert!(!raw.is_null(), "out of memory");
    // SAFETY: fresh memory of len + 1 bytes.
    unsafe {
        raw.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        raw.add(bytes.len()).write(0);
    }
    raw
}

/// Frees memory of libglusterfs.
///
/// # Safety
/// `raw` is null or came from libglusterfs and is not used any more.
pub(crate) unsafe fn free<T>(raw: *mut T) {
    // SAFETY: as the caller promises.
    unsafe { sys::__gf_free(raw.cast::<c_void>()) }
}

/// The bytes of a C string, empty for null.
///
/// # Safety
/// `raw` is null or a string that outlives the result.
pub(crate) unsafe fn text<'a>(raw: *const c_char) -> &'a CStr {
    if raw.is_null() {
        return c"";
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(raw) }
}

/// Holds a lock of libglusterfs until it is dropped.
pub(crate) struct Locked(*mut libc::pthread_mutex_t);

impl Locked {
    /// Takes the lock.
    ///
    /// # Safety
    /// `lock` is an initialised mutex that outlives the result.
    pub(crate) unsafe fn take(lock: *mut sys::gf_lock_t) -> Locked {
        let lock = lock.cast::<libc::pthread_mutex_t>();
        // SAFETY: as the caller promises.
        unsafe { libc::pthread_mutex_lock(lock) };
        Locked(lock)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: taken by this value on this thread.
        unsafe { libc::pthread_mutex_unlock(self.0) };
    }
}
