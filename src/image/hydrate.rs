//! Making a clone independent of its source.

use crate::{Failure, Image, Server};

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hydrated {
    /// It is the image's own, or not there any more.
    Done,
    /// The image has lost its last name.
    Orphan,
}

impl<A: Clone> Image<A> {
    /// Makes the chunk that begins at byte `at` the image's own. Its bytes stay what they are,
    /// whoever reads, writes, frees or cuts off meanwhile.
    ///
    /// What was freed since somebody found it mapped gets a chunk of zeros.
    pub fn hydrate(&self, server: &dyn Server, at: u64) -> Result<Hydrated, Failure> {
        // The size and the device stay: no shrink cuts the chunk off, and no merge puts another LV
        // in its place. A removal closes the device with both held.
        let _growth = self.growth();
        let _io = self.begin_io();
        if self.is_orphan() {
            return Ok(Hydrated::Orphan);
        }
        let device = self.device(server)?;
        if at < device.size()? {
            device.unshare(at)?;
        }
        Ok(Hydrated::Done)
    }
}
