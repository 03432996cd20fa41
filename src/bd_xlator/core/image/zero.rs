use bd_model::ImageKind;
use blockdev::{Device, Span};

use super::{Failure, Image};
use crate::core::link::Link;

/// Bytes that one step of a discard, zeroing or provisioning covers.
const CHANGE_SLICE: u64 = 1 << 30;

impl Image {
    /// Makes the part of a span that lies inside the file read as zeros, and gives its blocks
    /// back where that can be done.
    pub(crate) fn zero(&self, link: &Link, span: Span) -> Result<(), Failure> {
        self.change(link, span, Device::zero)?;
        self.forget_mapping();
        Ok(())
    }

    /// Allocates the blocks of the part of a span that lies inside the file.
    ///
    /// Thick images have theirs already.
    pub(crate) fn provision(&self, link: &Link, span: Span) -> Result<(), Failure> {
        match self.kind {
            ImageKind::Thin => self.change(link, span, |device, part| {
                self.note_mapped(part);
                device.provision(part)
            }),
            ImageKind::Thick => Ok(()),
        }
    }

    fn change(
        &self,
        link: &Link,
        span: Span,
        work: impl Fn(&Device, Span) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        // In slices, so that a truncate need not wait for all of them.
        for part in span.slices(CHANGE_SLICE) {
            let _io = self.begin_io();
            let device = self.device(link)?;
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
