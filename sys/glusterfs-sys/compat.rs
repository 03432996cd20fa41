//! Functions whose C interface differs between GlusterFS 10 and 11, in one form.

#![expect(
    clippy::missing_safety_doc,
    reason = "the preconditions are those of the C functions"
)]

use std::ffi::{CStr, c_char, c_int, c_void};

use crate::{dict_t, fd_t, xlator_t};

fn parts(key: &CStr) -> (*mut c_char, c_int) {
    let len = c_int::try_from(key.count_bytes()).unwrap_or(c_int::MAX);
    (key.as_ptr().cast_mut(), len)
}

/// `dict_set_bin`.
pub unsafe fn dict_set_bin(dict: *mut dict_t, key: &CStr, value: *mut c_void, len: usize) -> c_int {
    let (key, key_len) = parts(key);
    // SAFETY: as the caller promises.
    #[cfg(glusterfs_11)]
    return unsafe { crate::bindings::dict_setn_bin(dict, key, key_len, value, len) };
    #[cfg(not(glusterfs_11))]
    {
        let _ = key_len;
        // SAFETY: as the caller promises.
        unsafe { crate::bindings::dict_set_bin(dict, key, value, len) }
    }
}

/// `dict_set_gfuuid`, not static.
pub unsafe fn dict_set_gfuuid(dict: *mut dict_t, key: &CStr, gfid: *mut u8) -> c_int {
    let (key, key_len) = parts(key);
    // SAFETY: as the caller promises.
    #[cfg(glusterfs_11)]
    return unsafe { crate::bindings::dict_setn_gfuuid(dict, key, key_len, gfid, false) };
    #[cfg(not(glusterfs_11))]
    {
        let _ = key_len;
        // SAFETY: as the caller promises.
        unsafe { crate::bindings::dict_set_gfuuid(dict, key, gfid, false) }
    }
}

/// `dict_del`.
pub unsafe fn dict_del(dict: *mut dict_t, key: &CStr) {
    let (key, len) = parts(key);
    // SAFETY: as the caller promises.
    unsafe { crate::bindings::dict_deln(dict, key, len) };
}

/// `__fd_ctx_get`, for a holder of the fd's lock; 0 if there is none.
pub unsafe fn fd_ctx_get_locked(fd: *mut fd_t, xl: *mut xlator_t) -> u64 {
    // SAFETY: as the caller promises.
    #[cfg(glusterfs_11)]
    return unsafe { crate::bindings::__fd_ctx_get(fd, xl) };
    #[cfg(not(glusterfs_11))]
    {
        let mut value = 0;
        // SAFETY: as the caller promises.
        let ret = unsafe { crate::bindings::__fd_ctx_get(fd, xl, &raw mut value) };
        if ret == 0 { value } else { 0 }
    }
}

/// `fd_ctx_del`; 0 if there was none.
pub unsafe fn fd_ctx_del(fd: *mut fd_t, xl: *mut xlator_t) -> u64 {
    // SAFETY: as the caller promises.
    #[cfg(glusterfs_11)]
    return unsafe { crate::bindings::fd_ctx_del(fd, xl) };
    #[cfg(not(glusterfs_11))]
    {
        let mut value = 0;
        // SAFETY: as the caller promises.
        let ret = unsafe { crate::bindings::fd_ctx_del(fd, xl, &raw mut value) };
        if ret == 0 { value } else { 0 }
    }
}
