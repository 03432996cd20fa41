use blockdev::Span;

use crate::{Failure, Image, Server};

/// A clipped read: the whole blocks to read, and the wanted bytes in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadPlan {
    /// Whole blocks of the device.
    pub outer: Span,
    /// Bytes of `outer` before the first one wanted.
    pub skip: u64,
    /// Bytes wanted.
    pub len: u64,
}

impl<A: Clone> Image<A> {
    /// What to read for `len` bytes at `offset`; nothing at or past the end.
    ///
    /// Call with [`Image::begin_io`] held until the blocks were read.
    pub fn plan_read(&self, offset: u64, len: u64, block: u64) -> Option<ReadPlan> {
        let span = Span {
            start: offset,
            end: offset.saturating_add(len).min(self.size()),
        };
        (!span.is_empty()).then(|| {
            let outer = span.outward(block);
            ReadPlan {
                outer,
                skip: span.start - outer.start,
                len: span.len(),
            }
        })
    }

    /// Reads up to `len` bytes at `offset`; fewer at the end, none past it.
    pub fn read(&self, server: &dyn Server, offset: u64, len: u64) -> Result<Vec<u8>, Failure> {
        let _io = self.begin_io();
        let device = self.device(server)?;
        let end = offset.saturating_add(len).min(self.size());
        let len = usize::try_from(end.saturating_sub(offset))
            .map_err(|_| Failure::Errno(libc::EINVAL))?;
        let mut bytes = vec![0; len];
        device.read(offset, &mut bytes)?;
        Ok(bytes)
    }
}
