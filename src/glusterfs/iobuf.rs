use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;

use glusterfs_sys as sys;

use crate::memory::field;
use crate::{Errno, Node};

/// A buffer that libglusterfs can send, for data that a readv answers.
pub struct Iobuf {
    raw: NonNull<sys::iobuf>,
    len: usize,
}

// SAFETY: the buffer belongs to this value alone until it becomes a payload.
unsafe impl Send for Iobuf {}
// SAFETY: shared references only read.
unsafe impl Sync for Iobuf {}

impl Iobuf {
    /// A buffer of `len` bytes that starts at a multiple of `align` (a power of two). Its first
    /// contents are arbitrary.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn aligned(node: Node, len: usize, align: usize) -> Result<Iobuf, Errno> {
        let pool = node.iobuf_pool();
        // SAFETY: the pool of the process, which lives as long as its translators.
        let raw = unsafe { sys::iobuf_get_page_aligned(pool, len.max(1), align) };
        let raw = NonNull::new(raw).ok_or(Errno::ENOMEM)?;
        Ok(Iobuf { raw, len })
    }

    fn start(&self) -> *mut u8 {
        let raw = self.raw;
        field!(raw.ptr).cast()
    }

    /// The payload made of some of its bytes.
    ///
    /// # Panics
    /// If the range ends behind the buffer.
    pub fn into_payload(self, bytes: Range<usize>) -> Payload<'static> {
        Payload::of_buffer(&self, bytes)
    }

    /// Makes the buffer shorter, as after a short read.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Deref for Iobuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: len bytes were asked for; the memory came from C and is initialised for us.
        unsafe { std::slice::from_raw_parts(self.start(), self.len) }
    }
}

impl DerefMut for Iobuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in deref, and nobody else has the buffer.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.len) }
    }
}

impl Drop for Iobuf {
    fn drop(&mut self) {
        // SAFETY: our own reference.
        unsafe { sys::iobuf_unref(self.raw.as_ptr()) };
    }
}

impl fmt::Debug for Iobuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "iobuf of {} bytes", self.len)
    }
}

/// The data of a writev, or of the answer to a readv: pieces of memory, kept by references.
pub struct Payload<'a> {
    vector: *mut sys::iovec,
    count: usize,
    iobref: *mut sys::iobref,
    owned: bool,
    life: PhantomData<&'a [u8]>,
}

// SAFETY: the memory is only read; references are counted atomically.
unsafe impl Send for Payload<'_> {}
// SAFETY: as above.
unsafe impl Sync for Payload<'_> {}

impl<'a> Payload<'a> {
    /// # Safety
    /// `vector` points to `count` pieces that are live for 'a, kept by `iobref` if not null.
    pub(crate) unsafe fn borrow(
        vector: *mut sys::iovec,
        count: i32,
        iobref: *mut sys::iobref,
    ) -> Payload<'a> {
        let count = if vector.is_null() {
            0
        } else {
            usize::try_from(count).unwrap_or(0)
        };
        Payload {
            vector,
            count,
            iobref,
            owned: false,
            life: PhantomData,
        }
    }

    pub(crate) fn vector(&self) -> *mut sys::iovec {
        self.vector
    }

    pub(crate) fn count(&self) -> i32 {
        i32::try_from(self.count).unwrap_or(i32::MAX)
    }

    pub(crate) fn iobref(&self) -> *mut sys::iobref {
        self.iobref
    }

    fn pieces(&self) -> &[sys::iovec] {
        if self.count == 0 {
            return &[];
        }
        // SAFETY: count pieces, live as long as self.
        unsafe { std::slice::from_raw_parts(self.vector, self.count) }
    }

    /// The pieces, in order.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces().iter().map(|piece| {
            if piece.iov_base.is_null() {
                return &[][..];
            }
            // SAFETY: a piece says where it is and how long.
            unsafe { std::slice::from_raw_parts(piece.iov_base.cast::<u8>(), piece.iov_len) }
        })
    }

    /// The number of bytes in all pieces.
    pub fn len(&self) -> usize {
        self.pieces().iter().map(|piece| piece.iov_len).sum()
    }

    /// True if there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All pieces in one, copied.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        self.slices()
            .for_each(|piece| bytes.extend_from_slice(piece));
        bytes
    }

    /// Takes references, so that the data can be kept; copies what no reference keeps.
    pub fn into_owned(self) -> Payload<'static> {
        let (vector, count, iobref, owned) = (self.vector, self.count, self.iobref, self.owned);
        if owned {
            std::mem::forget(self);
            return Payload {
                vector,
                count,
                iobref,
                owned,
                life: PhantomData,
            };
        }
        if iobref.is_null() && count > 0 {
            return Payload::copied(&self.to_vec());
        }
        if !iobref.is_null() {
            // SAFETY: live, as self exists.
            unsafe { sys::iobref_ref(iobref) };
        }
        let pieces: Box<[sys::iovec]> = self.pieces().into();
        Payload::of_parts(pieces, iobref)
    }
}

impl Payload<'static> {
    fn of_parts(pieces: Box<[sys::iovec]>, iobref: *mut sys::iobref) -> Payload<'static> {
        let count = pieces.len();
        let vector = Box::into_raw(pieces).cast::<sys::iovec>();
        Payload {
            vector,
            count,
            iobref,
            owned: true,
            life: PhantomData,
        }
    }

    fn of_buffer(buffer: &Iobuf, bytes: Range<usize>) -> Payload<'static> {
        let part = &buffer[bytes];
        // SAFETY: no precondition.
        let iobref = unsafe { sys::iobref_new() };
        assert!(!iobref.is_null(), "out of memory");
        // SAFETY: both live; the iobref takes a reference of its own.
        let ret = unsafe { sys::iobref_add(iobref, buffer.raw.as_ptr()) };
        assert!(ret == 0, "out of memory");
        let piece = sys::iovec {
            iov_base: part.as_ptr().cast_mut().cast(),
            iov_len: part.len(),
        };
        Payload::of_parts(Box::new([piece]), iobref)
    }

    /// No data.
    pub fn empty() -> Payload<'static> {
        // SAFETY: no precondition; the answer may be null when memory is out, as handled.
        let iobref = unsafe { sys::iobref_new() };
        Payload::of_parts(Box::new([]), iobref)
    }

    /// A copy of some bytes.
    pub fn copied(bytes: &[u8]) -> Payload<'static> {
        let node = Node::current();
        let mut buffer = Iobuf::aligned(node, bytes.len(), 16).expect("out of memory");
        buffer.copy_from_slice(bytes);
        buffer.into()
    }
}

impl From<Iobuf> for Payload<'static> {
    fn from(buffer: Iobuf) -> Payload<'static> {
        let all = 0..buffer.len;
        Payload::of_buffer(&buffer, all)
    }
}

impl Drop for Payload<'_> {
    fn drop(&mut self) {
        if !self.owned {
            return;
        }
        if !self.iobref.is_null() {
            // SAFETY: our own reference.
            unsafe { sys::iobref_unref(self.iobref) };
        }
        // SAFETY: made from a boxed slice of that length in of_parts.
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(self.vector, self.count)) });
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
