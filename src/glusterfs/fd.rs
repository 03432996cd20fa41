use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

use glusterfs_sys as sys;

use crate::inode::{number, pointer};
use crate::memory::{Locked, field};
use crate::{Inode, Translator, Xlator};

/// An open file or directory.
///
/// An `Fd<'a>` borrows one that somebody else holds; [`Fd::share`] takes a reference.
pub struct Fd<'a> {
    raw: NonNull<sys::fd_t>,
    owned: bool,
    life: PhantomData<&'a sys::fd_t>,
}

// SAFETY: references are counted atomically, contexts are read under the fd's lock.
unsafe impl Send for Fd<'_> {}
// SAFETY: as above.
unsafe impl Sync for Fd<'_> {}

impl<'a> Fd<'a> {
    /// # Safety
    /// `raw` is live for 'a.
    pub(crate) unsafe fn borrow(raw: NonNull<sys::fd_t>) -> Fd<'a> {
        Fd {
            raw,
            owned: false,
            life: PhantomData,
        }
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::fd_t {
        self.raw.as_ptr()
    }

    /// Takes a reference, so that the fd can be kept. While references exist the file is not
    /// released.
    pub fn into_owned(self) -> Fd<'static> {
        if !self.owned {
            // SAFETY: live, as self exists.
            unsafe { sys::fd_ref(self.raw.as_ptr()) };
        }
        let raw = self.raw;
        std::mem::forget(self);
        Fd {
            raw,
            owned: true,
            life: PhantomData,
        }
    }

    /// Another reference to the same fd.
    pub fn share(&self) -> Fd<'static> {
        Fd {
            raw: self.raw,
            owned: false,
            life: PhantomData::<&'a _>,
        }
        .into_owned()
    }

    /// The file it is open on.
    pub fn inode(&self) -> Inode<'_> {
        let raw = NonNull::new(field!(self.inode)).expect("an fd has an inode");
        // SAFETY: an fd holds a reference to its inode.
        unsafe { Inode::borrow(raw) }
    }

    /// The flags it was opened with (`O_*`).
    pub fn flags(&self) -> i32 {
        field!(self.flags)
    }

    /// The process that opened it, on the client.
    pub fn pid(&self) -> u64 {
        field!(self.pid)
    }

    /// True for one that no open made: used by fops that have only a gfid, such as those of NFS
    /// and of heal.
    pub fn is_anonymous(&self) -> bool {
        // SAFETY: live fd.
        unsafe { sys::fd_is_anonymous(self.as_ptr()) }
    }

    /// A new fd on an inode, for an open, create or opendir; bind it with [`Fd::bind`] after the
    /// open succeeded.
    pub fn new(inode: &Inode<'_>, pid: i32) -> Fd<'static> {
        // SAFETY: live inode; the function gives a reference.
        let raw = unsafe { sys::fd_create(inode.as_ptr(), pid) };
        let raw = NonNull::new(raw).expect("out of memory");
        Fd {
            raw,
            owned: true,
            life: PhantomData,
        }
    }

    /// An anonymous fd of an inode: reads and writes through it need no open.
    pub fn anonymous(inode: &Inode<'_>) -> Fd<'static> {
        // SAFETY: live inode; the function gives a reference.
        let raw = unsafe { sys::fd_anonymous(inode.as_ptr()) };
        let raw = NonNull::new(raw).expect("out of memory");
        Fd {
            raw,
            owned: true,
            life: PhantomData,
        }
    }

    /// Puts the fd on its inode's list of open files.
    pub fn bind(&self) {
        // SAFETY: live fd.
        unsafe { sys::fd_bind(self.as_ptr()) };
    }

    /// This translator's context of the fd.
    pub fn ctx<T: Translator>(&self, xl: Xlator<T>) -> Option<Arc<T::FdCtx>> {
        // SAFETY: live fd with an initialised lock.
        let _locked = unsafe { Locked::take(&raw mut (*self.as_ptr()).lock) };
        // SAFETY: the fd's lock is held.
        let value = unsafe { sys::compat::fd_ctx_get_locked(self.as_ptr(), xl.as_ptr()) };
        if value == 0 {
            return None;
        }
        let raw = pointer::<T::FdCtx>(value);
        // SAFETY: this translator puts only such pointers there, each with one count of its own.
        unsafe {
            Arc::increment_strong_count(raw);
            Some(Arc::from_raw(raw))
        }
    }

    /// Replaces the context, and answers the one before; `None` removes it.
    pub fn set_ctx<T: Translator>(
        &self,
        xl: Xlator<T>,
        ctx: Option<Arc<T::FdCtx>>,
    ) -> Option<Arc<T::FdCtx>> {
        // SAFETY: live fd with an initialised lock.
        let _locked = unsafe { Locked::take(&raw mut (*self.as_ptr()).lock) };
        // SAFETY: the fd's lock is held.
        let old = unsafe { sys::compat::fd_ctx_get_locked(self.as_ptr(), xl.as_ptr()) };
        if old != 0 || ctx.is_some() {
            // SAFETY: the fd's lock is held; the slot takes the count.
            unsafe { sys::__fd_ctx_set(self.as_ptr(), xl.as_ptr(), ctx.map_or(0, number)) };
        }
        // SAFETY: the slot's count, which is ours now.
        (old != 0).then(|| unsafe { Arc::from_raw(pointer::<T::FdCtx>(old)) })
    }
}

impl Drop for Fd<'_> {
    fn drop(&mut self) {
        if self.owned {
            // SAFETY: gives back our own reference.
            unsafe { sys::fd_unref(self.raw.as_ptr()) };
        }
    }
}

impl fmt::Debug for Fd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fd on {:?}", self.inode())
    }
}
