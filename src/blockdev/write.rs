use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::{Device, Pages, Span};

/// A write of whole blocks that is under way by other means than [`Device::write`].
///
/// While it lives no write to a part of one of its blocks runs.
#[derive(Debug)]
pub struct WholeWrite {
    device: Arc<Device>,
    span: Span,
}

impl WholeWrite {
    /// Begins a write of `len` bytes at `start`, if it covers whole blocks and nobody changes a
    /// part of one of them just now.
    pub fn begin(device: &Arc<Device>, start: u64, len: u64) -> Option<WholeWrite> {
        let span = Span::at(start, len);
        let whole = !span.is_empty() && span.is_aligned(device.block_size());
        (whole && device.writes().try_share(span)).then(|| WholeWrite {
            device: Arc::clone(device),
            span,
        })
    }

    /// The first byte.
    pub fn start(&self) -> u64 {
        self.span.start
    }

    /// How many bytes.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> u64 {
        self.span.len()
    }

    /// The pieces one behind the other, in memory that direct I/O takes.
    pub fn gather(&self, pieces: &[&[u8]]) -> Pages {
        let len = pieces.iter().map(|piece| piece.len()).sum();
        let mut pages = self.device.pages(len);
        pages.fill(0, pieces);
        pages
    }

    /// Whether direct I/O takes these bytes where they are.
    pub fn takes(&self, bytes: &[u8]) -> bool {
        usize::try_from(self.device.block_size())
            .is_ok_and(|block| bytes.as_ptr().align_offset(block) == 0)
    }

    /// The device.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }
}

impl AsFd for WholeWrite {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

impl Drop for WholeWrite {
    fn drop(&mut self) {
        self.device.writes().give_back(self.span);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::Geometry;

    #[test]
    fn whole_writes_and_partial_ones_keep_apart() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let geometry = Geometry {
            block_size: 512,
            zeroing_discard: 0,
        };
        let device = Device::new(file.try_clone().unwrap().into(), geometry).unwrap();
        let device = Arc::new(device);
        assert!(WholeWrite::begin(&device, 0, 100).is_none());
        assert!(WholeWrite::begin(&device, 0, 0).is_none());
        let write = WholeWrite::begin(&device, 512, 1024).unwrap();
        let pages = write.gather(&[&[1; 1000], &[2; 24]]);
        assert!(write.takes(&pages) && !write.takes(&pages[1..]));
        std::thread::scope(|scope| {
            let partial = scope.spawn(|| device.write(600, &[b"x"]));
            file.write_all_at(&pages, write.start()).unwrap();
            drop(write);
            partial.join().unwrap().unwrap();
        });
        let mut bytes = [0; 1024];
        file.read_exact_at(&mut bytes, 512).unwrap();
        assert_eq!((bytes[87], bytes[88], bytes[89]), (1, b'x', 1));
        assert_eq!(bytes[1023], 2);
    }
}
