use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bytemuck::{Pod, Zeroable};

/// Bytes in a page, enough alignment for direct I/O on every block device.
pub(crate) const PAGE: usize = 4096;
/// Bytes that a pool keeps for the next ones who ask.
const KEPT: usize = 4 << 20;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(4096))]
struct Page([u8; PAGE]);

/// Memory that is aligned for direct I/O; it goes back to its pool when dropped.
pub struct Pages {
    pages: Vec<Page>,
    len: usize,
    pool: Option<Arc<PagePool>>,
}

/// Memory that was used once and waits for its next use: making it anew costs more than the copy
/// that it is for.
#[derive(Debug, Default)]
pub(crate) struct PagePool {
    free: Mutex<Free>,
}

#[derive(Default)]
struct Free {
    kept: Vec<Vec<Page>>,
    bytes: usize,
}

impl std::fmt::Debug for Free {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.bytes)
    }
}

impl PagePool {
    /// A buffer of `len` bytes, aligned to 4096. What is in it is arbitrary.
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> Pages {
        let need = len.div_ceil(PAGE);
        let kept = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            // Not one that is much too large: somebody else may need it.
            let fits = |pages: &Vec<Page>| (need..=need.saturating_mul(2)).contains(&pages.len());
            let found = free.kept.iter().rposition(fits);
            found.map(|at| {
                let pages = free.kept.swap_remove(at);
                free.bytes -= pages.len() * PAGE;
                pages
            })
        };
        Pages {
            pages: kept.unwrap_or_else(|| bytemuck::zeroed_vec(need)),
            len,
            pool: Some(Arc::clone(self)),
        }
    }
}

impl Pages {
    /// A buffer of `len` zero bytes, aligned to 4096.
    pub fn zeroed(len: usize) -> Pages {
        Pages {
            pages: bytemuck::zeroed_vec(len.div_ceil(PAGE)),
            len,
            pool: None,
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

    /// Copies pieces one behind the other, from byte `at` on.
    pub(crate) fn fill(&mut self, mut at: usize, pieces: &[&[u8]]) {
        for piece in pieces {
            self.as_mut_slice()[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        }
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let Some(pool) = self.pool.take() else { return };
        let bytes = self.pages.len() * PAGE;
        let mut free = pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes > 0 && free.bytes + bytes <= KEPT {
            free.bytes += bytes;
            free.kept.push(std::mem::take(&mut self.pages));
        }
    }
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pages({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again() {
        let pool = Arc::new(PagePool::default());
        let mut first = pool.take(5000);
        first.fill(10, &[b"ab", b"c"]);
        assert_eq!(&first[10..13], b"abc");
        let at = first.as_ptr();
        drop(first);
        assert_eq!(pool.take(100).as_ptr().align_offset(PAGE), 0);
        let again = pool.take(8192);
        assert_eq!((again.as_ptr(), again.len()), (at, 8192));
        drop(pool.take(KEPT + 1));
        assert!(pool.free.lock().unwrap().bytes <= KEPT);
    }
}
