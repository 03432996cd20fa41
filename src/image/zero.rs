use bd_model::ImageKind;
use blockdev::{Device, Span};

use crate::{Failure, Image, Server};

/// Bytes that one step of a discard, zeroing or provisioning covers.
const CHANGE_SLICE: u64 = 1 << 30;

impl<A: Clone> Image<A> {
    /// Makes the part of a span that lies inside the file read as zeros, and gives its blocks
    /// back where that can be done.
    pub fn zero(&self, server: &dyn Server, span: Span) -> Result<(), Failure> {
        self.change(server, span, Device::zero)?;
        self.forget_mapping();
        Ok(())
    }

    /// Allocates the blocks of the part of a span that lies inside the file.
    ///
    /// Thick images have theirs already.
    pub fn provision(&self, server: &dyn Server, span: Span) -> Result<(), Failure> {
        match self.kind {
            ImageKind::Thin => self.change(server, span, |device, part| {
                self.note_mapped(part);
                device.provision(part)
            }),
            ImageKind::Thick => Ok(()),
        }
    }

    fn change(
        &self,
        server: &dyn Server,
        span: Span,
        work: impl Fn(&Device, Span) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        // In slices, so that a truncate need not wait for all of them.
        for part in span.slices(CHANGE_SLICE) {
            let _io = self.begin_io();
            let device = self.device(server)?;
            let part = Span {
                start: part.start,
                end: part.end.min(self.size()),
            };
            if part.is_empty() {
                break;
            }
            let done = work(&device, part);
            self.note_written(0);
            done?;
        }
        Ok(())
    }
}
