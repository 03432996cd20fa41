use std::ffi::{CStr, CString};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

use glusterfs_sys as sys;

use crate::memory::{Locked, field};
use crate::{Errno, FileType, Iatt, Translator, Xlator, memory, this};

/// A file or directory, known by its gfid.
///
/// An `Inode<'a>` borrows one that somebody else holds; [`Inode::share`] takes a reference.
pub struct Inode<'a> {
    raw: NonNull<sys::inode_t>,
    owned: bool,
    life: PhantomData<&'a sys::inode_t>,
}

// SAFETY: references are counted under the table's lock, contexts read under the inode's lock.
unsafe impl Send for Inode<'_> {}
// SAFETY: as above.
unsafe impl Sync for Inode<'_> {}

impl<'a> Inode<'a> {
    /// # Safety
    /// `raw` is live for 'a.
    pub(crate) unsafe fn borrow(raw: NonNull<sys::inode_t>) -> Inode<'a> {
        Inode {
            raw,
            owned: false,
            life: PhantomData,
        }
    }

    /// Takes over a reference that C code gave.
    ///
    /// # Safety
    /// `raw` is null or comes with a reference for the caller.
    unsafe fn take(raw: *mut sys::inode_t) -> Option<Inode<'static>> {
        NonNull::new(raw).map(|raw| Inode {
            raw,
            owned: true,
            life: PhantomData,
        })
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::inode_t {
        self.raw.as_ptr()
    }

    /// Takes a reference, so that the inode can be kept.
    pub fn into_owned(self) -> Inode<'static> {
        if !self.owned {
            // SAFETY: live, as self exists.
            unsafe { sys::inode_ref(self.raw.as_ptr()) };
        }
        let raw = self.raw;
        std::mem::forget(self);
        Inode {
            raw,
            owned: true,
            life: PhantomData,
        }
    }

    /// Another reference to the same inode.
    pub fn share(&self) -> Inode<'static> {
        Inode {
            raw: self.raw,
            owned: false,
            life: PhantomData::<&'a _>,
        }
        .into_owned()
    }

    /// The gfid's 16 bytes; all zero for an inode that is not linked into the table yet (the gfid
    /// then stands in the answer of the fop that makes or looks it up).
    pub fn gfid(&self) -> [u8; 16] {
        field!(self.gfid)
    }

    /// The type of the file; `Unknown` for an inode that is not linked yet.
    pub fn file_type(&self) -> FileType {
        FileType::from_raw(field!(self.ia_type))
    }

    /// The number of open files on it, of this process.
    pub fn open_count(&self) -> u32 {
        // SAFETY: live inode with an initialised lock.
        let _locked = unsafe { Locked::take(&raw mut (*self.as_ptr()).lock) };
        field!(self.fd_count)
    }

    /// The number of open files on it, of this process, that are still in use.
    pub fn active_count(&self) -> u32 {
        // SAFETY: live inode with an initialised lock.
        let _locked = unsafe { Locked::take(&raw mut (*self.as_ptr()).lock) };
        field!(self.active_fd_count)
    }

    /// True if both are the same inode object.
    pub fn is(&self, other: &Inode<'_>) -> bool {
        self.raw == other.raw
    }

    /// A number that tells this inode object from all others that are alive.
    pub fn address(&self) -> usize {
        self.raw.as_ptr().addr()
    }

    /// A fresh inode of the same table, without gfid.
    pub fn fresh(&self) -> Inode<'static> {
        let table = field!(self.table);
        // SAFETY: the table of a live inode is live.
        let raw = unsafe { sys::inode_new(table) };
        // SAFETY: inode_new gives a reference.
        unsafe { Inode::take(raw) }.expect("out of memory")
    }

    /// The table's root directory.
    pub fn root(&self) -> Inode<'static> {
        let table = field!(self.table);
        // SAFETY: the table of a live inode is live, and so is its root.
        let root = unsafe { NonNull::new((*table).root) }.expect("a table has a root");
        // SAFETY: live at least as long as the table.
        unsafe { Inode::borrow(root) }.into_owned()
    }

    /// The inode of that gfid, if the table has it.
    pub fn find(&self, gfid: [u8; 16]) -> Option<Inode<'static>> {
        let mut gfid = gfid;
        let table = field!(self.table);
        // SAFETY: live table; the function gives a reference.
        unsafe { Inode::take(sys::inode_find(table, gfid.as_mut_ptr())) }
    }

    /// The inode which the table remembers under a name of this directory.
    pub fn child(&self, name: &CStr) -> Option<Inode<'static>> {
        let table = field!(self.table);
        // SAFETY: live table and inode; the function gives a reference.
        unsafe { Inode::take(sys::inode_grep(table, self.as_ptr(), name.as_ptr())) }
    }

    /// Makes the table forget that this inode has a name; the next lookup of the name tells it again.
    pub fn forget_name(&self, parent: &Inode<'_>, name: &CStr) {
        // SAFETY: live inodes of one table. It looks for the name, and does nothing without it.
        unsafe { sys::inode_unlink(self.as_ptr(), parent.as_ptr(), name.as_ptr()) };
    }

    /// A directory of which this inode is a member, as far as the table remembers.
    pub fn parent(&self) -> Option<Inode<'static>> {
        // SAFETY: live inode; null gfid and name mean any parent; gives a reference.
        unsafe {
            Inode::take(sys::inode_parent(
                self.as_ptr(),
                [0u8; 16].as_mut_ptr(),
                std::ptr::null(),
            ))
        }
    }

    /// The path from the root, as far as the table remembers, with `name` behind it.
    pub fn path(&self, name: Option<&CStr>) -> Option<CString> {
        let mut path = std::ptr::null_mut();
        let name = name.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: live inode, and a place for the answer, which we own.
        let len = unsafe { sys::inode_path(self.as_ptr(), name, &raw mut path) };
        if path.is_null() {
            return None;
        }
        // SAFETY: a string of libglusterfs's allocator, given to us.
        let text = unsafe { CStr::from_ptr(path) }.to_owned();
        // SAFETY: ours, and copied.
        unsafe { memory::free(path) };
        (len > 0).then_some(text)
    }

    /// Puts the inode into the table, under a name if there is one, and answers the inode that
    /// has the gfid from now on: this one, or another that was there already.
    ///
    /// # Errors
    /// `EINVAL` if the table refuses it (no gfid, or the parent is not linked).
    pub fn link(
        &self,
        at: Option<(&Inode<'_>, &CStr)>,
        iatt: &Iatt,
    ) -> Result<Inode<'static>, Errno> {
        let (parent, name) = match at {
            Some((parent, name)) => (parent.as_ptr(), name.as_ptr()),
            None => (std::ptr::null_mut(), std::ptr::null()),
        };
        let mut iatt = *iatt;
        // SAFETY: live inodes of one table; the function gives a reference.
        unsafe {
            Inode::take(sys::inode_link(
                self.as_ptr(),
                parent,
                name,
                &raw mut iatt.0,
            ))
        }
        .ok_or(Errno::EINVAL)
    }

    /// Takes the name out of the table.
    pub fn unlink(&self, parent: &Inode<'_>, name: &CStr) {
        // SAFETY: live inodes.
        unsafe { sys::inode_unlink(self.as_ptr(), parent.as_ptr(), name.as_ptr()) };
    }

    /// Asks the kernel, on a FUSE mount, to forget this inode and its names; false if the table
    /// has nobody to ask (libgfapi, a brick).
    pub fn invalidate(&self) -> bool {
        let table = field!(self.table);
        // SAFETY: the table of a live inode is live.
        let (ask, asked) = unsafe { ((*table).invalidator_fn, (*table).invalidator_xl) };
        let Some(ask) = ask.filter(|_| !asked.is_null()) else {
            return false;
        };
        // SAFETY: the invalidator outlives its table.
        let _this = unsafe { this::Entered::new(asked) };
        // SAFETY: the function the table's owner registered, called as libglusterfs does.
        unsafe { ask(asked, self.as_ptr()) == 0 }
    }

    /// This translator's context of the inode.
    pub fn ctx<T: Translator>(&self, xl: Xlator<T>) -> Option<Arc<T::InodeCtx>> {
        // SAFETY: live inode with an initialised lock.
        let _locked = unsafe { Locked::take(&raw mut (*self.as_ptr()).lock) };
        self.ctx_locked(xl)
    }

    fn ctx_locked<T: Translator>(&self, xl: Xlator<T>) -> Option<Arc<T::InodeCtx>> {
        let mut value = 0u64;
        // SAFETY: the inode's lock is held.
        let ret = unsafe { sys::__inode_ctx_get0(self.as_ptr(), xl.as_ptr(), &raw mut value) };
        if ret != 0 || value == 0 {
            return None;
        }
        let raw = pointer::<T::InodeCtx>(value);
        // SAFETY: this translator puts only such pointers there, each with one count of its own
        // that goes when the value is replaced under the same lock or forgotten.
        unsafe {
            Arc::increment_strong_count(raw);
            Some(Arc::from_raw(raw))
        }
    }

    /// The context; `value` becomes it if there is none yet.
    pub fn ctx_or_insert<T: Translator>(
        &self,
        xl: Xlator<T>,
        value: T::InodeCtx,
    ) -> Arc<T::InodeCtx> {
        // SAFETY: live inode with an initialised lock.
        let _locked = unsafe { Locked::take(&raw mut (*self.as_ptr()).lock) };
        if let Some(ctx) = self.ctx_locked(xl) {
            return ctx;
        }
        let ctx = Arc::new(value);
        self.set_locked(xl, Some(ctx.clone()));
        ctx
    }

    /// Replaces the context and answers the one before; `None` removes it.
    pub fn set_ctx<T: Translator>(
        &self,
        xl: Xlator<T>,
        ctx: Option<Arc<T::InodeCtx>>,
    ) -> Option<Arc<T::InodeCtx>> {
        // SAFETY: live inode with an initialised lock.
        let _locked = unsafe { Locked::take(&raw mut (*self.as_ptr()).lock) };
        let old = self.ctx_locked(xl);
        if let Some(old) = &old {
            // SAFETY: the count that the slot held; `old` has one of its own.
            unsafe { Arc::decrement_strong_count(Arc::as_ptr(old)) };
        }
        self.set_locked(xl, ctx);
        old
    }

    fn set_locked<T: Translator>(&self, xl: Xlator<T>, ctx: Option<Arc<T::InodeCtx>>) {
        let mut value = ctx.map_or(0, number);
        // SAFETY: the inode's lock is held; the slot takes the count.
        unsafe { sys::__inode_ctx_set0(self.as_ptr(), xl.as_ptr(), &raw mut value) };
    }
}

/// The address inside a context slot, as a pointer again.
pub(crate) fn pointer<C>(value: u64) -> *const C {
    usize::try_from(value).map_or(std::ptr::null(), std::ptr::with_exposed_provenance)
}

/// Leaves a count of the Arc in a context slot.
pub(crate) fn number<C>(ctx: Arc<C>) -> u64 {
    Arc::into_raw(ctx).expose_provenance() as u64
}

impl Drop for Inode<'_> {
    fn drop(&mut self) {
        if self.owned {
            // SAFETY: gives back our own reference.
            unsafe { sys::inode_unref(self.raw.as_ptr()) };
        }
    }
}

impl fmt::Debug for Inode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<gfid:{}>", crate::GfidText(self.gfid()))
    }
}
