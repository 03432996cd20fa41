use bytemuck::{Pod, Zeroable};

/// Bytes in a page, enough alignment for direct I/O on every block device.
pub(crate) const PAGE: usize = 4096;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(4096))]
struct Page([u8; PAGE]);

/// A zeroed buffer whose memory is aligned for direct I/O.
pub struct Pages {
    pages: Vec<Page>,
    len: usize,
}

impl Pages {
    /// A buffer of `len` zero bytes, aligned to 4096.
    pub fn zeroed(len: usize) -> Pages {
        Pages {
            pages: bytemuck::zeroed_vec(len.div_ceil(PAGE)),
            len,
        }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.pages)[..self.len]
    }

    /// The bytes, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.pages)[..self.len]
    }
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pages({} bytes)", self.len)
    }
}
