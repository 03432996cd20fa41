//! The thread's current translator, which libglusterfs uses for logs and memory accounts.

use glusterfs_sys as sys;

/// The thread's current translator; never null.
pub(crate) fn get() -> *mut sys::xlator_t {
    // SAFETY: the function answers the address of a variable of this thread.
    unsafe { *sys::__glusterfs_this_location() }
}

/// Makes another translator the current one until dropped.
///
/// Must not be held over a point where the code could go on in another thread.
pub(crate) struct Entered(*mut sys::xlator_t);

impl Entered {
    /// # Safety
    /// `xl` lives as long as the result.
    pub(crate) unsafe fn new(xl: *mut sys::xlator_t) -> Entered {
        let old = get();
        // SAFETY: the address of a variable of this thread.
        unsafe { *sys::__glusterfs_this_location() = xl };
        Entered(old)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // SAFETY: the address of a variable of this thread; the old value was current before.
        unsafe { *sys::__glusterfs_this_location() = self.0 };
    }
}
