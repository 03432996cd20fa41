use std::borrow::Cow;
use std::ffi::{CStr, c_char};

use glusterfs_sys as sys;

/// One argument of a fop or of its answer: how it looks in C, and back.
///
/// Only the kit implements it.
pub trait Arg: Sized {
    /// The C parameter.
    type Raw: Copy;
    /// The same with references of its own, free to move to another thread.
    type Owned: 'static;

    /// Borrows what the C side lends for the time of a call; `None` if a pointer that must be
    /// there is null.
    ///
    /// # Safety
    /// `raw` is null or points to a live object of its type, which outlives the result.
    unsafe fn from_raw(raw: Self::Raw) -> Option<Self>;

    /// The C parameter; it is valid as long as `self` is.
    fn raw(&self) -> Self::Raw;

    /// Takes references.
    fn own(self) -> Self::Owned;

    /// What stands in the place of this argument in the answer of a failed fop.
    fn absent() -> Self::Raw;

    /// As [`Arg::absent`], unless the failure has something to put there.
    fn absent_from(failure: &Failure<'_>) -> Self::Raw {
        let _ = failure;
        Self::absent()
    }
}

macro_rules! plain {
    ($($t:ty),*) => {$(
        impl Arg for $t {
            type Raw = $t;
            type Owned = $t;
            unsafe fn from_raw(raw: $t) -> Option<$t> {
                Some(raw)
            }
            fn raw(&self) -> $t {
                *self
            }
            fn own(self) -> $t {
                self
            }
            fn absent() -> $t {
                <$t>::default()
            }
        }
    )*};
}

plain!(i32, u32, i64, u64, usize);

impl<'a> Arg for Cow<'a, CStr> {
    type Raw = *const c_char;
    type Owned = Cow<'static, CStr>;

    unsafe fn from_raw(raw: *const c_char) -> Option<Self> {
        // SAFETY: a string that the caller lends ends in NUL and outlives 'a.
        (!raw.is_null()).then(|| Cow::Borrowed(unsafe { CStr::from_ptr(raw) }))
    }

    fn raw(&self) -> *const c_char {
        self.as_ptr()
    }

    fn own(self) -> Cow<'static, CStr> {
        Cow::Owned(self.into_owned())
    }

    fn absent() -> *const c_char {
        std::ptr::null()
    }
}

impl<'a> Arg for Option<Cow<'a, CStr>> {
    type Raw = *const c_char;
    type Owned = Option<Cow<'static, CStr>>;

    unsafe fn from_raw(raw: *const c_char) -> Option<Self> {
        // SAFETY: as the caller promises.
        Some(unsafe { Cow::from_raw(raw) })
    }

    fn raw(&self) -> *const c_char {
        self.as_ref().map_or(std::ptr::null(), |text| text.as_ptr())
    }

    fn own(self) -> Self::Owned {
        self.map(Arg::own)
    }

    fn absent() -> *const c_char {
        std::ptr::null()
    }
}

/// Implements [`Arg`] for a handle type and for its `Option`, which stands for a nullable pointer.
macro_rules! handle_arg {
    ($name:ident, $raw:ty $(, $absent_from:item)*) => {
        impl<'a> Arg for $name<'a> {
            type Raw = *mut $raw;
            type Owned = $name<'static>;

            unsafe fn from_raw(raw: *mut $raw) -> Option<Self> {
                // SAFETY: the caller promises that a pointer which is not null is live for 'a.
                std::ptr::NonNull::new(raw).map(|raw| unsafe { $name::borrow(raw) })
            }

            fn raw(&self) -> *mut $raw {
                self.as_ptr()
            }

            fn own(self) -> $name<'static> {
                self.into_owned()
            }

            fn absent() -> *mut $raw {
                std::ptr::null_mut()
            }
        }

        impl<'a> Arg for Option<$name<'a>> {
            type Raw = *mut $raw;
            type Owned = Option<$name<'static>>;

            unsafe fn from_raw(raw: *mut $raw) -> Option<Self> {
                // SAFETY: as the caller promises.
                Some(unsafe { <$name<'a> as Arg>::from_raw(raw) })
            }

            fn raw(&self) -> *mut $raw {
                self.as_ref()
                    .map_or(std::ptr::null_mut(), |handle| handle.as_ptr())
            }

            fn own(self) -> Self::Owned {
                self.map(Arg::own)
            }

            fn absent() -> *mut $raw {
                std::ptr::null_mut()
            }

            $($absent_from)*
        }
    };
}

use crate::{Dict, Failure, Fd, Inode, Loc};

handle_arg!(Dict, sys::dict_t);
handle_arg!(Fd, sys::fd_t);
handle_arg!(
    Inode,
    sys::inode_t,
    fn absent_from(failure: &Failure<'_>) -> *mut sys::inode_t {
        failure.inode.raw()
    }
);
handle_arg!(Loc, sys::loc_t);

/// Implements [`Arg`] for a value that C passes by pointer.
macro_rules! value_arg {
    ($name:ty, $raw:ty) => {
        impl Arg for $name {
            type Raw = *mut $raw;
            type Owned = $name;

            unsafe fn from_raw(raw: *mut $raw) -> Option<Self> {
                if raw.is_null() {
                    return Some(<$name>::default());
                }
                // SAFETY: not null, so it points to a live value, as the caller promises; the
                // type is a transparent wrapper.
                Some(unsafe { raw.cast::<$name>().read() })
            }

            fn raw(&self) -> *mut $raw {
                std::ptr::from_ref(self).cast_mut().cast()
            }

            fn own(self) -> $name {
                self
            }

            fn absent() -> *mut $raw {
                // Some callbacks read the structures of a failed answer too.
                static EMPTY: crate::arg::Zeroed<$raw> = crate::arg::Zeroed::new();
                EMPTY.get()
            }
        }
    };
}

/// A value of zero bytes at a fixed address.
pub(crate) struct Zeroed<T>(std::cell::UnsafeCell<std::mem::MaybeUninit<T>>);

// SAFETY: nobody in this process reads it as a Rust value; C code reads it, and code that wrote to
// the structures of a failed answer would do so in its own error.
unsafe impl<T> Sync for Zeroed<T> {}

impl<T> Zeroed<T> {
    pub(crate) const fn new() -> Zeroed<T> {
        Zeroed(std::cell::UnsafeCell::new(std::mem::MaybeUninit::zeroed()))
    }

    pub(crate) fn get(&self) -> *mut T {
        self.0.get().cast()
    }
}

use crate::{Flock, Iatt, StatFs};

value_arg!(Iatt, sys::iatt);
value_arg!(StatFs, sys::statvfs);
value_arg!(Flock, sys::gf_flock);

/// The strong checksum of a block, SHA-256.
impl Arg for [u8; 32] {
    type Raw = *mut u8;
    type Owned = [u8; 32];

    unsafe fn from_raw(raw: *mut u8) -> Option<Self> {
        if raw.is_null() {
            return Some([0; 32]);
        }
        // SAFETY: rchecksum answers are given with a buffer of SHA256_DIGEST_LENGTH bytes.
        Some(unsafe { raw.cast::<[u8; 32]>().read() })
    }

    fn raw(&self) -> *mut u8 {
        self.as_ptr().cast_mut()
    }

    fn own(self) -> [u8; 32] {
        self
    }

    fn absent() -> *mut u8 {
        std::ptr::null_mut()
    }
}
