use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use blockdev::{Device, Span, WholeWrite};
use parking_lot::RawRwLock;
use parking_lot::lock_api::ArcRwLockReadGuard;

use crate::errno::{self, Errno};
use crate::image::{Image, SetStubSize, lock};
use crate::{Failure, Server, ServerError};

/// Where a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteAt {
    /// To this byte.
    Offset(u64),
    /// Behind the last byte, wherever that is when its turn comes.
    End,
}

/// What a write was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where it began.
    pub offset: u64,
    /// The file's bytes when its turn came.
    pub before: u64,
    /// The file's bytes after it.
    pub after: u64,
}

impl Written {
    /// A write that left the size as it is.
    pub fn within(offset: u64, size: u64) -> Written {
        Written {
            offset,
            before: size,
            after: size,
        }
    }

    /// Whether it began at the end of the file.
    pub fn is_append(&self) -> bool {
        self.offset == self.before
    }
}

/// Where a write ends; no file ends further than an offset can say.
fn end_of(offset: u64, len: u64) -> Result<u64, Failure> {
    let end = offset.checked_add(len);
    end.filter(|end| i64::try_from(*end).is_ok())
        .ok_or(Failure::Errno(libc::EFBIG))
}

impl<A: Clone> Image<A> {
    /// Writes, growing the file if the write ends past its end.
    pub fn write(
        &self,
        server: &dyn Server,
        at: WriteAt,
        pieces: &[&[u8]],
        set_stub_size: SetStubSize<'_>,
    ) -> Result<Written, Failure> {
        let len: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        if let WriteAt::Offset(offset) = at {
            let end = end_of(offset, len)?;
            let _io = self.begin_io();
            if end <= self.size() {
                let device = self.device(server)?;
                self.write_within(&device, offset, pieces)?;
                return Ok(Written::within(offset, self.size()));
            }
        }
        let mut growth = self.growth();
        let device = self.device(server)?;
        let old = self.size();
        let offset = match at {
            WriteAt::Offset(offset) => offset,
            WriteAt::End => old,
        };
        let end = end_of(offset, len)?;
        if end > old {
            self.make_room(server, &device, &mut growth, end, true)?;
            // A hole that the write leaves behind the old end must read as zeros.
            device.zero(Span {
                start: old,
                end: offset.max(old),
            })?;
            set_stub_size(end).map_err(Failure::Errno)?;
            self.size.store(end, Ordering::Release);
            self.untrimmed.store(true, Ordering::Release);
        }
        // Grown bytes must not be taken away before they are written.
        let io = self.begin_io();
        drop(growth);
        let written = self.write_within(&device, offset, pieces);
        drop(io);
        if let Err(error) = written {
            self.take_back_growth(old, end, set_stub_size);
            return Err(error);
        }
        Ok(Written {
            offset,
            before: old,
            after: end.max(old),
        })
    }

    fn write_within(&self, device: &Device, offset: u64, pieces: &[&[u8]]) -> Result<(), Failure> {
        let len = pieces.iter().map(|piece| piece.len() as u64).sum();
        self.note_mapped(Span::at(offset, len));
        let written = device.write(offset, pieces);
        self.note_written(len);
        Ok(written?)
    }

    /// Begins a write of whole blocks within the file, if it can be begun without waiting.
    pub fn begin_write(self: &Arc<Self>, offset: u64, len: u64) -> Option<WriteUnderWay<A>> {
        let io = self.try_begin_io()?;
        let device = self.device_now()?;
        if offset.checked_add(len)? > self.size() {
            return None;
        }
        let write = WholeWrite::begin(&device, offset, len)?;
        self.note_mapped(Span::at(offset, len));
        Some(WriteUnderWay {
            write,
            _io: io,
            image: Arc::clone(self),
        })
    }

    /// So many bytes came to the device. Only now a flush can bring them to stable storage: one that
    /// runs while they are on their way does not.
    pub(crate) fn note_written(&self, bytes: u64) {
        self.unflushed.store(true, Ordering::Release);
        self.allocation_grew(bytes);
    }

    /// A growing write failed: the file ends where it ended before, unless others have grown it
    /// further since.
    fn take_back_growth(&self, old: u64, end: u64, set_stub_size: SetStubSize<'_>) {
        let _growth = self.growth();
        if end > old && self.size() == end && set_stub_size(old).is_ok() {
            self.size.store(old, Ordering::Release);
        }
    }

    /// Waits until all that was written is on stable storage.
    ///
    /// Only for threads that may wait.
    pub fn flush(&self, server: &dyn Server) -> Result<(), Errno> {
        let Some(device) = self.device_to_flush(server)? else {
            return Ok(());
        };
        let refused = {
            // Who comes while another one flushes waits for that: it may be about the same bytes.
            let _alone = lock(&self.flushing);
            if !self.unflushed.swap(false, Ordering::AcqRel) {
                return Ok(());
            }
            let Err(error) = device.flush() else {
                return Ok(());
            };
            // Also if gluster-bdd helps now: the next one tries the device again.
            self.unflushed.store(true, Ordering::Release);
            error
        };
        // Not while others wait for the lock.
        self.flush_by_pool(server, refused)
            .map_err(|error| errno::of_io(&error))
    }

    /// The device, if anything that was written to it may not be on stable storage.
    fn device_to_flush(&self, server: &dyn Server) -> Result<Option<Arc<Device>>, Errno> {
        if let Some(device) = self.device_now() {
            return Ok(Some(device));
        }
        if !self.unflushed.load(Ordering::Acquire) {
            return Ok(None);
        }
        match self.device(server) {
            Ok(device) => Ok(Some(device)),
            // It is removed; or merged, and who does that flushes.
            Err(ServerError::Gone | ServerError::Fenced) => Ok(None),
            Err(error) => Err(error.errno()),
        }
    }

    /// Brings what was written to stable storage, of a device whose flush was refused: a thin LV
    /// refuses it while its pool is full, if its first chunk is not mapped.
    pub(crate) fn flush_by_pool(&self, server: &dyn Server, refused: io::Error) -> io::Result<()> {
        if refused.raw_os_error() != Some(libc::ENOSPC) {
            return Err(refused);
        }
        server.sync(self.gfid).map_err(|_| refused)
    }
}

/// A write of whole blocks that somebody else does, begun by [`Image::begin_write`].
#[derive(Debug)]
pub struct WriteUnderWay<A: Clone> {
    write: WholeWrite,
    _io: ArcRwLockReadGuard<RawRwLock, ()>,
    image: Arc<Image<A>>,
}

impl<A: Clone> WriteUnderWay<A> {
    /// What is written, and where.
    pub fn write(&self) -> &WholeWrite {
        &self.write
    }
}

impl<A: Clone> AsFd for WriteUnderWay<A> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.write.as_fd()
    }
}

impl<A: Clone> Drop for WriteUnderWay<A> {
    fn drop(&mut self) {
        self.image.note_written(self.write.len());
    }
}
