use std::sync::atomic::Ordering;

use bd_model::{Bytes, ImageKind};
use blockdev::{Device, Media, Span};

use crate::growth;
use crate::image::{Image, SetStubSize, lock};
use crate::{Failure, Server, ServerError};

impl<A: Clone> Image<A> {
    /// Makes the device hold at least `need` bytes.
    pub(crate) fn make_room(
        &self,
        server: &dyn Server,
        device: &Device,
        known: &mut Option<u64>,
        need: u64,
        in_steps: bool,
    ) -> Result<(), Failure> {
        let have = match *known {
            Some(bytes) => bytes,
            None => device.size()?,
        };
        *known = Some(have);
        if have >= need {
            return Ok(());
        }
        let generous = if in_steps {
            growth::step(self.kind, have, need)
        } else {
            need
        };
        let resized = match self.resize(server, generous) {
            Err(error) if error.is_too_much() && generous > need => self.resize(server, need),
            result => result,
        };
        *known = Some(resized?);
        Ok(())
    }

    fn resize(&self, server: &dyn Server, size: u64) -> Result<u64, ServerError> {
        Ok(server.resize(self.gfid, Bytes(size))?.0)
    }

    /// Sets the size: bytes past a shrunk end are gone, bytes of a grown end are zero.
    ///
    /// If the LV cannot give back what a shrink cut off, the error is in the second place: the
    /// file is shrunk all the same.
    pub fn truncate(
        &self,
        server: &dyn Server,
        size: u64,
        set_stub_size: SetStubSize<'_>,
    ) -> Result<Result<(), Failure>, Failure> {
        let mut growth = self.growth();
        self.note_size_set();
        self.set_size_held(server, &mut growth, size, set_stub_size)
    }

    /// As [`Image::truncate`], with the size at rest.
    pub(crate) fn set_size_held(
        &self,
        server: &dyn Server,
        known: &mut Option<u64>,
        size: u64,
        set_stub_size: SetStubSize<'_>,
    ) -> Result<Result<(), Failure>, Failure> {
        let old = self.size();
        if size < old {
            let gate = self.gate_alone();
            self.forget_mapping();
            set_stub_size(size).map_err(Failure::Errno)?;
            self.size.store(size, Ordering::Release);
            drop(gate);
            return Ok(self.give_back(server, known, size, old));
        }
        self.grow_held(server, known, size, set_stub_size)?;
        *lock(&self.grown) = Some(Span {
            start: old,
            end: size,
        });
        Ok(Ok(()))
    }

    /// Grows the file to `size` bytes if it is smaller; the new bytes are zero.
    pub fn grow(
        &self,
        server: &dyn Server,
        size: u64,
        set_stub_size: SetStubSize<'_>,
    ) -> Result<(), Failure> {
        let mut growth = self.growth();
        if size <= self.size() {
            return Ok(());
        }
        self.grow_held(server, &mut growth, size, set_stub_size)
    }

    fn grow_held(
        &self,
        server: &dyn Server,
        known: &mut Option<u64>,
        size: u64,
        set_stub_size: SetStubSize<'_>,
    ) -> Result<(), Failure> {
        let old = self.size();
        if size > old {
            let device = self.device(server)?;
            let before = match *known {
                Some(bytes) => bytes,
                None => device.size()?,
            };
            *known = Some(before);
            self.make_room(server, &device, known, size, false)?;
            // What a crash or a failed write left between the old end and the device's end.
            device.zero(Span {
                start: old,
                end: size.min(before),
            })?;
            self.allocation_changed();
            if let Err(errno) = set_stub_size(size) {
                // The file is as large as before, and so should be its LV. If that fails, it is
                // larger than it has to be until it is resized or closed.
                self.untrimmed.store(true, Ordering::Release);
                if let Ok(bytes) = self.resize(server, old) {
                    *known = Some(bytes);
                }
                return Err(Failure::Errno(errno));
            }
            self.size.store(size, Ordering::Release);
            return Ok(());
        }
        set_stub_size(size).map_err(Failure::Errno)
    }

    /// Zeroes what lies between a shrunk end and the old one, and shrinks the LV.
    fn give_back(
        &self,
        server: &dyn Server,
        known: &mut Option<u64>,
        size: u64,
        old: u64,
    ) -> Result<(), Failure> {
        let device = self.device(server)?;
        self.allocation_changed();
        let kept = match self.kind {
            // Discarding first gives the chunks back to the pool even if the LV stays large.
            ImageKind::Thin => old,
            // What lvreduce cuts off is zeroed when it is allocated again.
            ImageKind::Thick => Bytes(size)
                .round_up(server.extent_size())
                .map_or(old, |b| b.0.min(old)),
        };
        device.zero(Span {
            start: size,
            end: kept,
        })?;
        if device.media() == Media::Block {
            // Written zeros must not overtake the LV's end.
            device
                .flush()
                .or_else(|error| self.flush_by_pool(server, error))?;
        }
        *known = Some(self.resize(server, size)?);
        Ok(())
    }

    /// Shrinks the LV to what the file needs, if growing in steps has made it larger.
    pub fn trim(&self, server: &dyn Server) -> Result<(), ServerError> {
        if self.untrimmed.swap(false, Ordering::AcqRel) {
            let mut growth = self.growth();
            let size = self.size();
            let least = Bytes(size.max(1)).round_up(server.extent_size());
            if growth.is_none_or(|bytes| least.is_none_or(|least| bytes > least.0)) {
                *growth = Some(self.resize(server, size)?);
            }
        }
        Ok(())
    }
}
