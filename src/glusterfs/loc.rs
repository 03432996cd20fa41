use std::ffi::{CStr, CString};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

use glusterfs_sys as sys;

use crate::{Inode, memory};

/// The place a fop works on: an inode, or a name in a directory, or both.
pub struct Loc<'a> {
    raw: NonNull<sys::loc_t>,
    owned: bool,
    life: PhantomData<&'a sys::loc_t>,
}

// SAFETY: the structure is only read through shared references; its inodes are Send and Sync.
unsafe impl Send for Loc<'_> {}
// SAFETY: as above.
unsafe impl Sync for Loc<'_> {}

impl<'a> Loc<'a> {
    /// # Safety
    /// `raw` is live for 'a.
    pub(crate) unsafe fn borrow(raw: NonNull<sys::loc_t>) -> Loc<'a> {
        Loc {
            raw,
            owned: false,
            life: PhantomData,
        }
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::loc_t {
        self.raw.as_ptr()
    }

    fn get(&self) -> &sys::loc_t {
        // SAFETY: live, as self exists.
        unsafe { self.raw.as_ref() }
    }

    /// The inode: of an existing file, or the fresh one that a new file will get.
    pub fn inode(&self) -> Option<Inode<'_>> {
        // SAFETY: a loc holds references to its inodes.
        NonNull::new(self.get().inode).map(|raw| unsafe { Inode::borrow(raw) })
    }

    /// The directory the name is in.
    pub fn parent(&self) -> Option<Inode<'_>> {
        // SAFETY: a loc holds references to its inodes.
        NonNull::new(self.get().parent).map(|raw| unsafe { Inode::borrow(raw) })
    }

    /// The last part of the path; none in a nameless loc.
    pub fn name(&self) -> Option<&CStr> {
        let name = self.get().name;
        // SAFETY: a string that lives as long as the loc.
        (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) })
    }

    /// The path from the volume's root; good for log lines only, it may be out of date.
    pub fn path(&self) -> &CStr {
        // SAFETY: null or a string that lives as long as the loc.
        unsafe { memory::text(self.get().path) }
    }

    /// True if its path is not that of its name in its directory: trash says so where it moves a file
    /// to, and what directories it makes there.
    pub fn is_elsewhere(&self) -> bool {
        self.name()
            .is_some_and(|name| is_elsewhere(self.path(), name))
    }

    /// The gfid: the loc's own, else that of its inode; zero if neither is known.
    pub fn gfid(&self) -> [u8; 16] {
        match self.get().gfid {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => {
                self.inode().map_or([0; 16], |inode| inode.gfid())
            }
            gfid => gfid,
        }
    }

    /// The gfid of the directory; zero if it is not known.
    pub fn parent_gfid(&self) -> [u8; 16] {
        match self.get().pargfid {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => {
                self.parent().map_or([0; 16], |inode| inode.gfid())
            }
            gfid => gfid,
        }
    }

    /// Copies the texts and takes references, so that the loc can be kept.
    pub fn into_owned(self) -> Loc<'static> {
        if self.owned {
            let raw = self.raw;
            std::mem::forget(self);
            return Loc {
                raw,
                owned: true,
                life: PhantomData,
            };
        }
        self.duplicate()
    }

    /// A copy with references of its own.
    pub fn duplicate(&self) -> Loc<'static> {
        let from = self.get();
        // SAFETY: zero is an empty loc.
        let mut new: Box<sys::loc_t> = Box::new(unsafe { std::mem::zeroed() });
        new.gfid = self.gfid();
        new.pargfid = from.pargfid;
        if let Some(inode) = self.inode() {
            new.inode = into_raw(inode.share());
        }
        if let Some(parent) = self.parent() {
            new.parent = into_raw(parent.share());
        }
        set_texts(
            &mut new,
            self.name(),
            (!from.path.is_null()).then(|| self.path()),
        );
        Loc::from_box(new)
    }

    fn from_box(new: Box<sys::loc_t>) -> Loc<'static> {
        // SAFETY: a box is not null.
        let raw = unsafe { NonNull::new_unchecked(Box::into_raw(new)) };
        Loc {
            raw,
            owned: true,
            life: PhantomData,
        }
    }
}

fn into_raw(inode: Inode<'static>) -> *mut sys::inode_t {
    let raw = inode.as_ptr();
    std::mem::forget(inode);
    raw
}

/// Sets path and name. The name points into the path behind a slash, as `loc_copy` of C needs; only
/// where the path is that of another place (see [`Loc::is_elsewhere`]), it stands behind the path.
fn set_texts(loc: &mut sys::loc_t, name: Option<&CStr>, path: Option<&CStr>) {
    if let (Some(name), Some(path)) = (name, path)
        && is_elsewhere(path, name)
    {
        let both = [path.to_bytes_with_nul(), name.to_bytes()].concat();
        let copy = memory::copy(&both).cast::<std::ffi::c_char>();
        loc.path = copy;
        // SAFETY: inside the copy, which ends in NUL.
        loc.name = unsafe { copy.add(path.to_bytes_with_nul().len()) };
        return;
    }
    let path = match (name, path) {
        (None, None) => return,
        (None, Some(path)) => path.to_bytes().to_vec(),
        (Some(name), Some(path)) if ends_in(path.to_bytes(), name.to_bytes()) => {
            path.to_bytes().to_vec()
        }
        (Some(name), _) => [b"/", name.to_bytes()].concat(),
    };
    let copy = memory::copy(&path).cast::<std::ffi::c_char>();
    loc.path = copy;
    if name.is_some() {
        let at = path
            .iter()
            .rposition(|&b| b == b'/')
            .map_or(0, |slash| slash + 1);
        // SAFETY: inside the copy, which ends in NUL.
        loc.name = unsafe { copy.add(at) };
    }
}

/// Whether posix, which goes by a path from the root where it has one, goes past the name.
fn is_elsewhere(path: &CStr, name: &CStr) -> bool {
    let (path, name) = (path.to_bytes(), name.to_bytes());
    path.starts_with(b"/") && !ends_in(path, name)
}

fn ends_in(path: &[u8], name: &[u8]) -> bool {
    path.strip_suffix(name)
        .is_some_and(|rest| rest.ends_with(b"/"))
}

impl Loc<'static> {
    /// A loc that has only an inode, and the inode a gfid.
    pub fn of_inode(inode: &Inode<'_>) -> Loc<'static> {
        Loc::by_gfid(inode, inode.gfid())
    }

    /// A nameless loc: the file of that gfid. `inode` is its inode, or a fresh one.
    pub fn by_gfid(inode: &Inode<'_>, gfid: [u8; 16]) -> Loc<'static> {
        // SAFETY: zero is an empty loc.
        let mut new: Box<sys::loc_t> = Box::new(unsafe { std::mem::zeroed() });
        new.gfid = gfid;
        new.inode = into_raw(inode.share());
        let path = CString::new(format!("<gfid:{}>", crate::GfidText(gfid))).unwrap_or_default();
        set_texts(&mut new, None, Some(&path));
        Loc::from_box(new)
    }

    /// A name in a directory. `inode` is the file's inode, or a fresh one; its gfid, if it has
    /// one, becomes the loc's.
    pub fn by_name(parent: &Inode<'_>, name: &CStr, inode: &Inode<'_>) -> Loc<'static> {
        // SAFETY: zero is an empty loc.
        let mut new: Box<sys::loc_t> = Box::new(unsafe { std::mem::zeroed() });
        new.pargfid = parent.gfid();
        new.parent = into_raw(parent.share());
        new.gfid = inode.gfid();
        new.inode = into_raw(inode.share());
        let path = parent.path(Some(name));
        set_texts(&mut new, Some(name), path.as_deref());
        Loc::from_box(new)
    }

    /// The same place, at a path from the volume's root. Posix goes by the path where it has one.
    pub fn with_path(mut self, path: &CStr) -> Loc<'static> {
        let name = self.name().map(CStr::to_owned);
        // SAFETY: owned by this loc alone.
        let raw = unsafe { self.raw.as_mut() };
        // SAFETY: our own copy, which nothing uses any more.
        unsafe { memory::free(raw.path.cast_mut()) };
        raw.name = std::ptr::null();
        set_texts(raw, name.as_deref(), Some(path));
        self
    }

    /// The volume's root directory.
    pub fn root(root: &Inode<'_>) -> Loc<'static> {
        let mut loc = Loc::by_gfid(root, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        // SAFETY: owned by this loc alone.
        let raw = unsafe { loc.raw.as_mut() };
        // SAFETY: our own copy, which nothing uses any more.
        unsafe { memory::free(raw.path.cast_mut()) };
        raw.path = memory::copy(b"/").cast();
        loc
    }

    /// Replaces the inode, as when a lookup has to start with a fresh one.
    pub fn set_inode(&mut self, inode: &Inode<'_>) {
        // SAFETY: owned, as every Loc<'static> the kit gives out.
        let raw = unsafe { self.raw.as_mut() };
        let old = std::mem::replace(&mut raw.inode, into_raw(inode.share()));
        if !old.is_null() {
            // SAFETY: the loc's own reference.
            unsafe { sys::inode_unref(old) };
        }
    }

    /// Sets the gfid that the loc asks for; zero asks by name alone.
    pub fn set_gfid(&mut self, gfid: [u8; 16]) {
        // SAFETY: owned, as every Loc<'static> the kit gives out.
        unsafe { self.raw.as_mut() }.gfid = gfid;
    }
}

impl Drop for Loc<'_> {
    fn drop(&mut self) {
        if self.owned {
            // SAFETY: made by Box::into_raw in this file; its path and inodes are its own.
            unsafe {
                sys::loc_wipe(self.raw.as_ptr());
                drop(Box::from_raw(self.raw.as_ptr()));
            }
        }
    }
}

impl fmt::Debug for Loc<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} <gfid:{}>",
            self.path().to_string_lossy(),
            crate::GfidText(self.gfid())
        )
    }
}
