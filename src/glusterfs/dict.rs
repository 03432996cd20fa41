use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

use glusterfs_sys as sys;

use crate::memory::Locked;
use crate::{Errno, memory};

/// A dictionary of named values: extended attributes, options, and the extra data (xdata) which
/// every fop and every answer can carry.
///
/// A `Dict<'a>` borrows one that somebody else holds; [`Dict::into_owned`] takes a reference.
/// It has a lock of its own, so that setting needs no `&mut`. Others may hold the same
/// dictionary: [`Dict::duplicate`] before changing one that a caller could use again.
pub struct Dict<'a> {
    raw: NonNull<sys::dict_t>,
    owned: bool,
    life: PhantomData<&'a sys::dict_t>,
}

// SAFETY: libglusterfs counts references atomically, and takes the dictionary's lock in each call that is
// made here, or it is taken around it.
unsafe impl Send for Dict<'_> {}
// SAFETY: as above.
unsafe impl Sync for Dict<'_> {}

fn key(key: &str) -> Result<CString, Errno> {
    CString::new(key).map_err(|_| Errno::EINVAL)
}

fn done(ret: c_int) -> Result<(), Errno> {
    if ret == 0 { Ok(()) } else { Err(Errno::ENOMEM) }
}

impl<'a> Dict<'a> {
    /// # Safety
    /// `raw` is live for 'a.
    pub(crate) unsafe fn borrow(raw: NonNull<sys::dict_t>) -> Dict<'a> {
        Dict {
            raw,
            owned: false,
            life: PhantomData,
        }
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::dict_t {
        self.raw.as_ptr()
    }

    /// Takes a reference, so that the dictionary can be kept.
    pub fn into_owned(self) -> Dict<'static> {
        if !self.owned {
            // SAFETY: live, as self exists.
            unsafe { sys::dict_ref(self.raw.as_ptr()) };
        }
        let raw = self.raw;
        std::mem::forget(self);
        Dict {
            raw,
            owned: true,
            life: PhantomData,
        }
    }

    /// Another reference to the same dictionary.
    pub fn share(&self) -> Dict<'static> {
        Dict {
            raw: self.raw,
            owned: false,
            life: PhantomData::<&'a _>,
        }
        .into_owned()
    }

    /// A new dictionary with the same contents.
    pub fn duplicate(&self) -> Dict<'static> {
        let new = Dict::new();
        // SAFETY: both are live; the function copies each pair. It does not take the lock of the one it
        // reads, and that of the other is another one.
        unsafe {
            let _locked = Locked::take(&raw mut (*self.as_ptr()).lock);
            sys::dict_copy(self.as_ptr(), new.as_ptr());
        }
        new
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        // SAFETY: live, as self exists.
        usize::try_from(unsafe { sys::dict_key_count(self.as_ptr()) }).unwrap_or(0)
    }

    /// True if there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if there is an entry of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.with(name, |_| ()).is_some()
    }

    fn with<R>(&self, name: &str, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let name = key(name).ok()?;
        let mut data: *mut sys::data_t = std::ptr::null_mut();
        // SAFETY: live dictionary, NUL-ended name, and a place for the answer, which comes with a
        // reference of our own.
        let ret = unsafe {
            sys::dict_get_with_ref(self.as_ptr(), name.as_ptr().cast_mut(), &raw mut data)
        };
        let data = NonNull::new(data).filter(|_| ret == 0)?;
        // SAFETY: we hold a reference; values are not changed once they are in a dictionary.
        let result = read(unsafe { bytes_of(data.as_ref()) });
        // SAFETY: gives back the reference taken above.
        unsafe { sys::data_unref(data.as_ptr()) };
        Some(result)
    }

    /// The bytes of a value. Strings carry their ending NUL: see [`Dict::get_str`].
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.with(name, <[u8]>::to_vec)
    }

    /// A value as text, without ending NULs; `None` as well if it is not UTF-8.
    pub fn get_str(&self, name: &str) -> Option<String> {
        self.with(name, |bytes| {
            let end = bytes
                .iter()
                .rposition(|&b| b != 0)
                .map_or(0, |last| last + 1);
            std::str::from_utf8(&bytes[..end]).ok().map(str::to_owned)
        })?
    }

    /// A gfid.
    pub fn get_gfid(&self, name: &str) -> Option<[u8; 16]> {
        self.with(name, |bytes| bytes.try_into().ok())?
    }

    /// Attributes of a file.
    pub fn get_iatt(&self, name: &str) -> Option<crate::Iatt> {
        let name = key(name).ok()?;
        let mut iatt = crate::Iatt::default();
        // SAFETY: live dictionary, NUL-ended name, and a place for the answer.
        let ret =
            unsafe { sys::dict_get_iatt(self.as_ptr(), name.as_ptr().cast_mut(), &raw mut iatt.0) };
        (ret == 0).then_some(iatt)
    }

    /// Sets bytes, as extended attributes are.
    ///
    /// # Errors
    /// `EINVAL` for a name with a NUL in it, `ENOMEM`.
    pub fn set(&self, name: &str, value: &[u8]) -> Result<(), Errno> {
        let name = key(name)?;
        let copy = memory::copy(value);
        // SAFETY: the dictionary takes the copy, which came from libglusterfs's allocator.
        let ret = unsafe {
            sys::compat::dict_set_bin(self.as_ptr(), &name, copy.cast::<c_void>(), value.len())
        };
        if ret != 0 {
            // SAFETY: not taken after all.
            unsafe { memory::free(copy) };
        }
        done(ret)
    }

    /// Sets a text, with its ending NUL counted as GlusterFS does.
    ///
    /// # Errors
    /// `EINVAL` for a name with a NUL in it, `ENOMEM`.
    pub fn set_str(&self, name: &str, value: &str) -> Result<(), Errno> {
        let name = key(name)?;
        let copy = memory::copy(value.as_bytes());
        // SAFETY: the dictionary takes the copy, which came from libglusterfs's allocator.
        let ret = unsafe {
            sys::dict_set_dynstr(
                self.as_ptr(),
                name.as_ptr().cast_mut(),
                copy.cast::<c_char>(),
            )
        };
        // Unlike for bytes, the copy is freed there if the name cannot be set.
        done(ret)
    }

    /// Sets a number without sign, in the form that C code reads with `dict_get_uint64`.
    ///
    /// # Errors
    /// `EINVAL` for a name with a NUL in it, `ENOMEM`.
    pub fn set_u64(&self, name: &str, value: u64) -> Result<(), Errno> {
        let name = key(name)?;
        // SAFETY: live dictionary and NUL-ended name, which is copied.
        done(unsafe { sys::dict_set_uint64(self.as_ptr(), name.as_ptr().cast_mut(), value) })
    }

    /// Sets a number, in the form that C code reads with `dict_get_int32`.
    ///
    /// # Errors
    /// `EINVAL` for a name with a NUL in it, `ENOMEM`.
    pub fn set_i32(&self, name: &str, value: i32) -> Result<(), Errno> {
        let name = key(name)?;
        // SAFETY: live dictionary and NUL-ended name, which is copied.
        done(unsafe { sys::dict_set_int32(self.as_ptr(), name.as_ptr().cast_mut(), value) })
    }

    /// Sets a number without sign, in the form that C code reads with `dict_get_uint32`.
    ///
    /// # Errors
    /// `EINVAL` for a name with a NUL in it, `ENOMEM`.
    pub fn set_u32(&self, name: &str, value: u32) -> Result<(), Errno> {
        let name = key(name)?;
        // SAFETY: live dictionary and NUL-ended name, which is copied.
        done(unsafe { sys::dict_set_uint32(self.as_ptr(), name.as_ptr().cast_mut(), value) })
    }

    /// Sets a gfid, with the type that `gfid-req` must have.
    ///
    /// # Errors
    /// `EINVAL` for a name with a NUL in it, `ENOMEM`.
    pub fn set_gfid(&self, name: &str, gfid: [u8; 16]) -> Result<(), Errno> {
        let name = key(name)?;
        let copy = memory::copy(&gfid);
        // SAFETY: not static, so the dictionary takes the copy, which is from its allocator.
        let ret = unsafe { sys::compat::dict_set_gfuuid(self.as_ptr(), &name, copy) };
        if ret != 0 {
            // SAFETY: not taken after all.
            unsafe { memory::free(copy) };
        }
        done(ret)
    }

    /// Sets attributes of a file, in the form that C code reads with `dict_get_iatt`.
    ///
    /// # Errors
    /// `EINVAL` for a name with a NUL in it, `ENOMEM`.
    pub fn set_iatt(&self, name: &str, iatt: &crate::Iatt) -> Result<(), Errno> {
        let name = key(name)?;
        let len = std::mem::size_of::<sys::iatt>();
        // SAFETY: the bytes of a live structure, which are only copied.
        let bytes = unsafe { std::slice::from_raw_parts((&raw const iatt.0).cast::<u8>(), len) };
        let copy = memory::copy(bytes);
        // SAFETY: not static, so the dictionary takes the copy, which is from its allocator and as
        // aligned as all of its memory.
        let ret = unsafe {
            sys::dict_set_iatt(
                self.as_ptr(),
                name.as_ptr().cast_mut(),
                copy.cast::<sys::iatt>(),
                false,
            )
        };
        if ret != 0 {
            // SAFETY: not taken after all.
            unsafe { memory::free(copy) };
        }
        done(ret)
    }

    /// Removes an entry; false if there was none.
    pub fn remove(&self, name: &str) -> bool {
        let Ok(name) = key(name) else { return false };
        let there = {
            let mut data: *mut sys::data_t = std::ptr::null_mut();
            // SAFETY: as in `with`.
            let ret = unsafe {
                sys::dict_get_with_ref(self.as_ptr(), name.as_ptr().cast_mut(), &raw mut data)
            };
            if ret == 0 && !data.is_null() {
                // SAFETY: gives back the reference taken above.
                unsafe { sys::data_unref(data) };
            }
            ret == 0
        };
        // SAFETY: live dictionary and NUL-ended name.
        unsafe { sys::compat::dict_del(self.as_ptr(), &name) };
        there
    }

    /// All names and values, copied. Names that are not UTF-8 are left out.
    pub fn entries(&self) -> Vec<(String, Vec<u8>)> {
        unsafe extern "C" fn each(
            _: *mut sys::dict_t,
            key: *mut c_char,
            value: *mut sys::data_t,
            list: *mut c_void,
        ) -> c_int {
            // SAFETY: dict_foreach passes live values and the list given below.
            let (key, value, list) = unsafe {
                (
                    CStr::from_ptr(key),
                    bytes_of(&*value),
                    &mut *list.cast::<Vec<(String, Vec<u8>)>>(),
                )
            };
            if let Ok(key) = key.to_str() {
                list.push((key.to_owned(), value.to_vec()));
            }
            0
        }
        let mut list: Vec<(String, Vec<u8>)> = Vec::new();
        // SAFETY: `each` gets the list, which outlives the call. The function does not take the lock, and
        // `each` calls nothing that does.
        unsafe {
            let _locked = Locked::take(&raw mut (*self.as_ptr()).lock);
            sys::dict_foreach(self.as_ptr(), Some(each), (&raw mut list).cast());
        }
        list
    }

    /// All names. Names that are not UTF-8 are left out.
    pub fn keys(&self) -> Vec<String> {
        self.entries().into_iter().map(|(key, _)| key).collect()
    }
}

impl Dict<'static> {
    /// An empty dictionary.
    pub fn new() -> Dict<'static> {
        // SAFETY: needs only the context of THIS, which is always set in a process of GlusterFS.
        let raw = unsafe { sys::dict_new() };
        let raw = NonNull::new(raw).expect("out of memory");
        Dict {
            raw,
            owned: true,
            life: PhantomData,
        }
    }
}

impl Default for Dict<'static> {
    fn default() -> Dict<'static> {
        Dict::new()
    }
}

/// # Safety
/// The caller holds a reference to `data`.
unsafe fn bytes_of(data: &sys::data_t) -> &[u8] {
    let len = usize::try_from(data.len).unwrap_or(0);
    if data.data.is_null() || len == 0 {
        return &[];
    }
    // SAFETY: the value says its length, and lives as long as the reference.
    unsafe { std::slice::from_raw_parts(data.data.cast::<u8>(), len) }
}

impl Drop for Dict<'_> {
    fn drop(&mut self) {
        if self.owned {
            // SAFETY: gives back our own reference.
            unsafe { sys::dict_unref(self.raw.as_ptr()) };
        }
    }
}

impl fmt::Debug for Dict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys()).finish()
    }
}
