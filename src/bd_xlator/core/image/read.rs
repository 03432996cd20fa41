use blockdev::Span;

use super::{Failure, Image};
use crate::core::link::Link;

/// A clipped read: the whole blocks to read, and the wanted bytes in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadPlan {
    /// Whole blocks of the device.
    pub(crate) outer: Span,
    /// Bytes of `outer` before the first one wanted.
    pub(crate) skip: u64,
    /// Bytes wanted.
    pub(crate) len: u64,
}

impl Image {
    /// What to read for `len` bytes at `offset`; nothing at or past the end.
    ///
    /// Call with [`Image::begin_io`] held until the blocks were read.
    pub(crate) fn plan_read(&self, offset: u64, len: u64, block: u64) -> Option<ReadPlan> {
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
    pub(crate) fn read(&self, link: &Link, offset: u64, len: u64) -> Result<Vec<u8>, Failure> {
        let _io = self.begin_io();
        let device = self.device(link)?;
        let end = offset.saturating_add(len).min(self.size());
        let len = usize::try_from(end.saturating_sub(offset))
            .map_err(|_| Failure::Errno(libc::EINVAL))?;
        let mut bytes = vec![0; len];
        device.read(offset, &mut bytes)?;
        Ok(bytes)
    }
}
