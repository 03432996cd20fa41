use std::ffi::CStr;
use std::fmt;
use std::marker::PhantomData;

use glusterfs_sys as sys;

use crate::arg::Arg;
use crate::{Dict, FileType, Iatt, Inode};

/// The entries that a readdir or readdirp answers.
pub struct Entries<'a> {
    head: *mut sys::gf_dirent_t,
    owned: bool,
    life: PhantomData<&'a sys::gf_dirent_t>,
}

// SAFETY: the list belongs to one holder; its inodes and dictionaries are Send and Sync.
unsafe impl Send for Entries<'_> {}

/// One entry of a directory.
pub struct Entry<'a> {
    raw: *mut sys::gf_dirent_t,
    life: PhantomData<&'a mut sys::gf_dirent_t>,
}

impl<'a> Entries<'a> {
    fn first(&self) -> *mut sys::gf_dirent_t {
        self.after(self.head)
    }

    /// The entry behind `entry`, or null at the end.
    fn after(&self, entry: *mut sys::gf_dirent_t) -> *mut sys::gf_dirent_t {
        if self.head.is_null() {
            return self.head;
        }
        // SAFETY: the list is a ring of live entries through its head.
        let next = unsafe { (*entry).__bindgen_anon_1.__bindgen_anon_1.next };
        if next == self.head {
            std::ptr::null_mut()
        } else {
            next
        }
    }

    /// The entries, with attributes that can be changed in place.
    pub fn iter(&mut self) -> impl Iterator<Item = Entry<'_>> {
        let mut at = self.first();
        let list: &Entries<'a> = self;
        std::iter::from_fn(move || {
            let raw = at;
            if raw.is_null() {
                return None;
            }
            at = list.after(raw);
            Some(Entry {
                raw,
                life: PhantomData,
            })
        })
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        let mut count = 0;
        let mut at = self.first();
        while !at.is_null() {
            count += 1;
            at = self.after(at);
        }
        count
    }

    /// True if there is no entry.
    pub fn is_empty(&self) -> bool {
        self.first().is_null()
    }

    /// Removes the entries for which `keep` answers false.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut Entry<'_>) -> bool) {
        let mut at = self.first();
        while !at.is_null() {
            let next = self.after(at);
            if !keep(&mut Entry {
                raw: at,
                life: PhantomData,
            }) {
                // SAFETY: a live entry of the list, unlinked and freed with what it holds.
                unsafe { sys::gf_dirent_entry_free(at) };
            }
            at = next;
        }
    }

    /// Copies the entries, so that the list can be kept.
    pub fn into_owned(self) -> Entries<'static> {
        if self.owned {
            let head = self.head;
            std::mem::forget(self);
            return Entries {
                head,
                owned: true,
                life: PhantomData,
            };
        }
        let copy = Entries::empty();
        let mut at = self.first();
        while !at.is_null() {
            // SAFETY: a live entry of the list.
            unsafe { copy.push_copy(at) };
            at = self.after(at);
        }
        copy
    }

    /// # Safety
    /// `from` is a live entry, and self is owned.
    unsafe fn push_copy(&self, from: *mut sys::gf_dirent_t) {
        // SAFETY: a live entry, whose name ends in NUL.
        let new = unsafe { sys::gf_dirent_for_name((*from).d_name.as_ptr()) };
        assert!(!new.is_null(), "out of memory");
        // SAFETY: both live; the new one takes references, and goes to the end of the ring.
        unsafe {
            (*new).d_ino = (*from).d_ino;
            (*new).d_off = (*from).d_off;
            (*new).d_len = (*from).d_len;
            (*new).d_type = (*from).d_type;
            (*new).d_stat = (*from).d_stat;
            if !(*from).inode.is_null() {
                (*new).inode = sys::inode_ref((*from).inode);
            }
            if !(*from).dict.is_null() {
                (*new).dict = sys::dict_ref((*from).dict);
            }
            let last = (*self.head).__bindgen_anon_1.__bindgen_anon_1.prev;
            (*new).__bindgen_anon_1.__bindgen_anon_1.prev = last;
            (*new).__bindgen_anon_1.__bindgen_anon_1.next = self.head;
            (*last).__bindgen_anon_1.__bindgen_anon_1.next = new;
            (*self.head).__bindgen_anon_1.__bindgen_anon_1.prev = new;
        }
    }
}

impl Entries<'static> {
    /// No entries.
    pub fn empty() -> Entries<'static> {
        // SAFETY: integers and pointers, for which zero is a value.
        let head = Box::into_raw(Box::new(unsafe { std::mem::zeroed::<sys::gf_dirent_t>() }));
        // SAFETY: the fresh head, made into an empty ring.
        unsafe {
            (*head).__bindgen_anon_1.__bindgen_anon_1.next = head;
            (*head).__bindgen_anon_1.__bindgen_anon_1.prev = head;
        }
        Entries {
            head,
            owned: true,
            life: PhantomData,
        }
    }
}

impl Drop for Entries<'_> {
    fn drop(&mut self) {
        if self.owned {
            // SAFETY: made by `empty`; the entries are our own.
            unsafe {
                sys::gf_dirent_free(self.head);
                drop(Box::from_raw(self.head));
            }
        }
    }
}

impl fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entries", self.len())
    }
}

impl Arg for Entries<'_> {
    type Raw = *mut sys::gf_dirent_t;
    type Owned = Entries<'static>;

    unsafe fn from_raw(raw: Self::Raw) -> Option<Self> {
        Some(Entries {
            head: raw,
            owned: false,
            life: PhantomData,
        })
    }

    fn raw(&self) -> Self::Raw {
        self.head
    }

    fn own(self) -> Entries<'static> {
        self.into_owned()
    }

    fn absent() -> Self::Raw {
        std::ptr::null_mut()
    }
}

impl Entry<'_> {
    fn get(&self) -> &sys::gf_dirent_t {
        // SAFETY: live as long as the list is borrowed.
        unsafe { &*self.raw }
    }

    /// The name.
    pub fn name(&self) -> &CStr {
        // SAFETY: the name follows the structure and ends in NUL.
        unsafe { CStr::from_ptr((*self.raw).d_name.as_ptr()) }
    }

    /// Where to go on reading behind this entry.
    pub fn offset(&self) -> u64 {
        self.get().d_off
    }

    /// The attributes; empty ones in a plain readdir, and when posix could not read them.
    pub fn iatt(&self) -> Iatt {
        Iatt(self.get().d_stat)
    }

    /// True if it is a regular file, as far as the attributes say.
    pub fn is_regular(&self) -> bool {
        self.iatt().file_type() == FileType::Regular
    }

    /// Changes the attributes.
    pub fn set_iatt(&mut self, iatt: &Iatt) {
        // SAFETY: live, and borrowed mutably.
        unsafe { (*self.raw).d_stat = iatt.0 };
    }

    /// The inode, if the layer below made one.
    pub fn inode(&self) -> Option<Inode<'_>> {
        // SAFETY: the entry holds a reference.
        std::ptr::NonNull::new(self.get().inode).map(|raw| unsafe { Inode::borrow(raw) })
    }

    /// The extended attributes that were asked for.
    pub fn dict(&self) -> Option<Dict<'_>> {
        // SAFETY: the entry holds a reference.
        std::ptr::NonNull::new(self.get().dict).map(|raw| unsafe { Dict::borrow(raw) })
    }
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.name())
    }
}
