//! Making a clone independent of its source.

use super::{Failure, Image};
use crate::core::link::Link;

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hydrated {
    /// It is the image's own, or not there any more.
    Done,
    /// The image has lost its last name.
    Doomed,
}

impl Image {
    /// Makes the chunk that begins at byte `at` the image's own. Its bytes stay what they are,
    /// whoever reads, writes, frees or cuts off meanwhile.
    ///
    /// What was freed since somebody found it mapped gets a chunk of zeros.
    pub(crate) fn hydrate(&self, link: &Link, at: u64) -> Result<Hydrated, Failure> {
        // The size and the device stay: no shrink cuts the chunk off, and no merge puts another LV
        // in its place. A removal closes the device with both held.
        let _growth = self.growth();
        let _io = self.begin_io();
        if self.is_doomed() {
            return Ok(Hydrated::Doomed);
        }
        let device = self.device(link)?;
        if at < device.size()? {
            device.unshare(at)?;
        }
        Ok(Hydrated::Done)
    }
}
