//! Where an image holds data, and where it has holes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use bd_model::ImageKind;
use blockdev::{Device, Media, Span};

use crate::extent_map::ExtentMap;
use crate::image::{Image, lock};
use crate::{Failure, Server};

impl<A: Clone> Image<A> {
    /// The first byte at or behind `from`, and before the end, that may hold data.
    pub fn next_data(&self, server: &dyn Server, from: u64) -> Result<Option<u64>, Failure> {
        let data = match self.file(server)? {
            Some((_io, device)) => device.next_data(from)?,
            None => self.with_mapping(server, Some(from), |mapping| mapping.next_data(from)),
        };
        Ok(data.filter(|data| *data < self.size()))
    }

    /// The first byte at or behind `from` that holds no data; the end of the file is such a one.
    pub fn next_hole(&self, server: &dyn Server, from: u64) -> Result<u64, Failure> {
        let hole = match self.file(server)? {
            Some((_io, device)) => device.next_hole(from)?,
            None => self.with_mapping(server, u64::MAX, |mapping| mapping.next_hole(from)),
        };
        Ok(hole.min(self.size()))
    }

    /// Its device for some I/O, if that is a file; without the I/O's guard if it is not.
    fn file(&self, server: &dyn Server) -> Result<Option<(impl Drop, Arc<Device>)>, Failure> {
        let io = self.begin_io();
        let device = self.device(server)?;
        Ok((device.media() == Media::File).then_some((io, device)))
    }

    /// What the mapping says; `else_` where there is none to be had, which means that all is data.
    pub(crate) fn with_mapping<T>(
        &self,
        server: &dyn Server,
        else_: T,
        say: impl FnOnce(&ExtentMap) -> T,
    ) -> T {
        if self.kind() != ImageKind::Thin {
            return else_;
        }
        let _alone = self
            .map_reader
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(mapping) = lock(&self.mapping).as_ref().filter(|m| m.is_usable()) {
            return say(mapping);
        }
        *lock(&self.mapping) = Some(ExtentMap::begun());
        self.is_mapped.store(true, Ordering::Release);
        // Writes that do not know of it are over when this is; all later ones are noted.
        drop(self.gate_alone());
        let told = server.mapped(self.gfid);
        let mut slot = lock(&self.mapping);
        match (told, slot.as_mut()) {
            (Ok(Some(spans)), Some(mapping)) => {
                mapping.finish(spans);
                say(mapping)
            }
            // Not known, or bytes were taken away meanwhile.
            _ => {
                *slot = None;
                self.is_mapped.store(false, Ordering::Release);
                else_
            }
        }
    }

    /// Something is about to be written or allocated. Call with [`Image::begin_io`] held.
    pub(crate) fn note_mapped(&self, span: Span) {
        if !self.is_mapped.load(Ordering::Acquire) {
            return;
        }
        let mut slot = lock(&self.mapping);
        match slot.as_mut() {
            Some(mapping) if !mapping.is_over() => mapping.add(span),
            _ => {
                *slot = None;
                self.is_mapped.store(false, Ordering::Release);
            }
        }
    }

    /// Bytes were freed: the next one who asks shall see the holes.
    pub(crate) fn forget_mapping(&self) {
        if self.is_mapped.load(Ordering::Acquire) {
            let mut slot = lock(&self.mapping);
            *slot = None;
            self.is_mapped.store(false, Ordering::Release);
        }
    }
}
