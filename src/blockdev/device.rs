use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FileType, SeekFrom, fallocate, fdatasync, fstat, seek};
use rustix::io::{Errno, pread, pwrite};

use crate::page::PagePool;
use crate::range_lock::RangeLock;
use crate::{Pages, Span, ioctl};

/// Bytes that one discard or zeroing covers, so that other I/O gets its turn in between.
const SLICE: u64 = 32 << 20;

/// Smallest chunk of a thin pool (lvmthin(7)): how far apart blocks are touched where the chunk
/// size is not known.
const PROVISION_STEP: u64 = 64 << 10;

/// How a device takes I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Alignment of direct I/O in bytes; a power of two.
    pub block_size: u32,
    /// Alignment of discards that free space, in bytes; zero if discard cannot be used to zero.
    ///
    /// For a thin LV it is the pool's chunk size: a chunk discarded whole reads as zeros.
    pub zeroing_discard: u64,
}

/// What lies below a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// A block device.
    Block,
    /// A regular file.
    File,
}

/// An open block device, or a regular file that stands in for one.
#[derive(Debug)]
pub struct Device {
    fd: OwnedFd,
    media: Media,
    geometry: Geometry,
    writes: RangeLock,
    memory: Arc<PagePool>,
}

impl Device {
    /// Takes over a descriptor that is open for reading, writing and, where the file system
    /// has it, direct I/O.
    ///
    /// Fails if it is neither a block device nor a regular file, or the block size is no power
    /// of two between 512 and 4096.
    pub fn new(fd: OwnedFd, geometry: Geometry) -> io::Result<Device> {
        let media = match FileType::from_raw_mode(fstat(&fd)?.st_mode) {
            FileType::BlockDevice => Media::Block,
            FileType::RegularFile => Media::File,
            other => return Err(io::Error::other(format!("{other:?} is not a disk"))),
        };
        let block = geometry.block_size;
        if !block.is_power_of_two() || !(512..=4096).contains(&block) {
            return Err(io::Error::other(format!(
                "block size of {block} bytes is not usable"
            )));
        }
        Ok(Device {
            fd,
            media,
            geometry,
            writes: RangeLock::default(),
            memory: Arc::default(),
        })
    }

    /// Memory for direct I/O. What is in it is arbitrary.
    pub(crate) fn pages(&self, len: usize) -> Pages {
        self.memory.take(len)
    }

    /// The lock between writes.
    pub(crate) fn writes(&self) -> &RangeLock {
        &self.writes
    }

    /// What lies below.
    pub fn media(&self) -> Media {
        self.media
    }

    /// Alignment of direct I/O in bytes.
    pub fn block_size(&self) -> u64 {
        u64::from(self.geometry.block_size)
    }

    /// The bytes of the device at this moment.
    pub fn size(&self) -> io::Result<u64> {
        match self.media {
            Media::Block => ioctl::size(&self.fd),
            Media::File => u64::try_from(fstat(&self.fd)?.st_size)
                .map_err(|_| io::ErrorKind::InvalidData.into()),
        }
    }

    /// Reads a span that is aligned to the block size into aligned memory of its length.
    ///
    /// A device that ends before the span does is an error: nothing is made up.
    pub fn read_aligned(&self, start: u64, into: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < into.len() {
            let at = start.saturating_add(done as u64);
            match pread(&self.fd, &mut into[done..], at) {
                Ok(0) => {
                    return Err(io::Error::other(format!("device ends before byte {at}")));
                }
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The first byte at or behind `from` that holds data; `None` if there is none. Of a block
    /// device everything is data, as far as it can tell.
    pub fn next_data(&self, from: u64) -> io::Result<Option<u64>> {
        match self.media {
            Media::Block => Ok(Some(from)),
            Media::File => match seek(&self.fd, SeekFrom::Data(from)) {
                Ok(at) => Ok(Some(at)),
                Err(Errno::NXIO) => Ok(None),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// The first byte at or behind `from` that is in no data; `u64::MAX` if that is not known.
    pub fn next_hole(&self, from: u64) -> io::Result<u64> {
        match self.media {
            Media::Block => Ok(u64::MAX),
            Media::File => match seek(&self.fd, SeekFrom::Hole(from)) {
                Ok(at) => Ok(at),
                Err(Errno::NXIO) => Ok(from),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Reads any span.
    pub fn read(&self, start: u64, into: &mut [u8]) -> io::Result<()> {
        if into.is_empty() {
            return Ok(());
        }
        let span = Span::at(start, into.len() as u64);
        let outer = span.outward(self.block_size());
        let mut bounce = self.pages(usize_of(outer.len())?);
        self.read_aligned(outer.start, bounce.as_mut_slice())?;
        let skip = usize_of(span.start - outer.start)?;
        into.copy_from_slice(&bounce.as_slice()[skip..skip + into.len()]);
        Ok(())
    }

    /// Writes the pieces one behind the other from byte `start` on.
    ///
    /// Blocks which are only partly covered keep their other bytes, also against writes that
    /// run at the same time.
    pub fn write(&self, start: u64, pieces: &[&[u8]]) -> io::Result<()> {
        let len = pieces.iter().map(|piece| piece.len() as u64).sum();
        let span = Span::at(start, len);
        if span.is_empty() {
            return Ok(());
        }
        let block = self.block_size();
        let outer = span.outward(block);
        let partial = !span.is_aligned(block);
        let mut bounce = self.pages(usize_of(outer.len())?);
        let _held = self.writes.hold(outer, partial);
        if partial {
            self.read_edges(span, outer, bounce.as_mut_slice())?;
        }
        bounce.fill(usize_of(span.start - outer.start)?, pieces);
        self.write_all(outer.start, bounce.as_slice())
    }

    /// Reads the first and last block of `outer` where `span` covers them only in part.
    fn read_edges(&self, span: Span, outer: Span, buffer: &mut [u8]) -> io::Result<()> {
        let block = usize_of(self.block_size())?;
        let last = buffer.len() - block;
        if span.start > outer.start {
            self.read_aligned(outer.start, &mut buffer[..block])?;
        }
        if span.end < outer.end && (last > 0 || span.start == outer.start) {
            self.read_aligned(outer.end - self.block_size(), &mut buffer[last..])?;
        }
        Ok(())
    }

    fn write_all(&self, start: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match pwrite(&self.fd, &bytes[done..], start.saturating_add(done as u64)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Makes a span read as zeros, giving its blocks back where that can be done exactly.
    pub fn zero(&self, span: Span) -> io::Result<()> {
        if span.is_empty() {
            return Ok(());
        }
        if self.media == Media::File {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _held = self.writes.hold(span, false);
            return Ok(fallocate(&self.fd, flags, span.start, span.len())?);
        }
        let unit = match self.geometry.zeroing_discard {
            0 => self.block_size(),
            granularity => granularity,
        };
        let whole = span.inward(unit);
        if whole.is_empty() {
            return self.zero_by_writing(span);
        }
        self.zero_by_writing(Span {
            start: span.start,
            end: whole.start,
        })?;
        for part in whole.slices(SLICE.next_multiple_of(unit)) {
            // Not while a block of it is read to be written back.
            let _held = self.writes.hold(part, false);
            if self.geometry.zeroing_discard == 0 {
                ioctl::zeroout(&self.fd, part)?;
            } else {
                ioctl::discard(&self.fd, part)?;
            }
        }
        self.zero_by_writing(Span {
            start: whole.end,
            end: span.end,
        })
    }

    /// Writes zeros over the parts of a span that are not zero yet, so that nothing is
    /// provisioned for what reads as zeros anyway.
    fn zero_by_writing(&self, span: Span) -> io::Result<()> {
        const STEP: u64 = 1 << 20;
        for part in span.slices(STEP) {
            let mut bytes = vec![0; usize_of(part.len())?];
            self.read(part.start, &mut bytes)?;
            if bytes.iter().any(|byte| *byte != 0) {
                bytes.fill(0);
                self.write(part.start, &[&bytes])?;
            }
        }
        Ok(())
    }

    /// Allocates the blocks of a span without changing a byte.
    ///
    /// On a block device one block of each allocation unit is read and written back, which
    /// breaks sharing too. A regular file is allocated by fallocate(2).
    pub fn provision(&self, span: Span) -> io::Result<()> {
        if span.is_empty() {
            return Ok(());
        }
        if self.media == Media::File {
            let flags = FallocateFlags::KEEP_SIZE;
            return Ok(fallocate(&self.fd, flags, span.start, span.len())?);
        }
        let mut bounce = Pages::zeroed(usize_of(self.block_size())?);
        for unit in span.slices(self.geometry.zeroing_discard.max(PROVISION_STEP)) {
            self.write_back(unit.start, &mut bounce)?;
        }
        Ok(())
    }

    /// Makes a chunk that a thin LV shares with another one its own, without changing a byte.
    ///
    /// One block of it is read and written back: at that the kernel copies the chunk, in one with
    /// all other I/O on it. A regular file shares nothing that this could change.
    pub fn unshare(&self, chunk: u64) -> io::Result<()> {
        if self.media == Media::File {
            return Ok(());
        }
        let mut bounce = self.pages(usize_of(self.block_size())?);
        self.write_back(chunk, &mut bounce)
    }

    /// Reads the block that holds the byte `at` and writes it back; nobody writes to it meanwhile.
    fn write_back(&self, at: u64, bounce: &mut Pages) -> io::Result<()> {
        let block = self.block_size();
        let at = Span::at(at & !(block - 1), block);
        let _held = self.writes.hold(at, true);
        self.read_aligned(at.start, bounce.as_mut_slice())?;
        self.write_all(at.start, bounce.as_slice())
    }

    /// Waits until everything written is on stable storage.
    pub fn flush(&self) -> io::Result<()> {
        Ok(fdatasync(&self.fd)?)
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn usize_of(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "test values are small")]
mod tests {
    use std::fs::File;

    use super::*;

    const SIZE: usize = 64 << 10;

    fn device() -> Device {
        let file = tempfile::tempfile().unwrap();
        file.set_len(SIZE as u64).unwrap();
        let geometry = Geometry {
            block_size: 512,
            zeroing_discard: 0,
        };
        Device::new(file.into(), geometry).unwrap()
    }

    fn content(device: &Device) -> Vec<u8> {
        let mut bytes = vec![0; SIZE];
        device.read(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn unaligned_writes_keep_their_neighbours() {
        let device = device();
        let mut model = vec![0; SIZE];
        let mut seed = 1_u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % below
        };
        for round in 0..500_u32 {
            let start = random(SIZE - 5000);
            let len = random(5000);
            let byte = (round % 255) as u8 + 1;
            let head = random(len + 1);
            let data = vec![byte; len];
            device
                .write(start as u64, &[&data[..head], &data[head..]])
                .unwrap();
            model[start..start + len].fill(byte);
            if round % 7 == 0 {
                let span = Span::at(random(SIZE - 3000) as u64, random(3000) as u64);
                device.zero(span).unwrap();
                model[span.start as usize..span.end as usize].fill(0);
            }
        }
        assert!(content(&device) == model);
    }

    #[test]
    fn neighbours_survive_concurrent_partial_writes() {
        let device = device();
        std::thread::scope(|scope| {
            for writer in 0..4_u64 {
                let device = &device;
                scope.spawn(move || {
                    for at in (writer..4096).step_by(4) {
                        device.write(at, &[&[writer as u8 + 1]]).unwrap();
                    }
                });
            }
        });
        let bytes = content(&device);
        assert!((0..4096).all(|at| usize::from(bytes[at]) == at % 4 + 1));
    }

    #[test]
    fn zeros_wait_for_whoever_writes_a_block_back() {
        let device = device();
        device.write(0, &[&[7; SIZE]]).unwrap();
        let old = content(&device);
        let held = device.writes.hold(Span::at(0, 4096), true);
        std::thread::scope(|scope| {
            let zeroing = scope.spawn(|| device.zero(Span::at(0, SIZE as u64)));
            // What was read before the zeros came is written back.
            device.write_all(0, &old[..4096]).unwrap();
            drop(held);
            zeroing.join().unwrap().unwrap();
        });
        assert!(content(&device).iter().all(|byte| *byte == 0));
        device.unshare(512).unwrap();
    }

    #[test]
    fn holes_of_a_file_are_found() {
        let device = device();
        device.zero(Span::at(0, SIZE as u64)).unwrap();
        assert_eq!(device.next_data(0).unwrap(), None);
        assert_eq!(device.next_hole(0).unwrap(), 0);
        device.write(32768, &[&[1; 4096]]).unwrap();
        device.flush().unwrap();
        assert_eq!(device.next_data(0).unwrap(), Some(32768));
        assert_eq!(device.next_data(40000).unwrap(), None);
        assert_eq!(device.next_hole(32768).unwrap(), 36864);
        assert_eq!(device.next_hole(SIZE as u64).unwrap(), SIZE as u64);
    }

    #[test]
    fn reading_past_the_device_is_an_error() {
        let device = device();
        let mut bytes = [0; 1024];
        assert!(device.read(SIZE as u64 - 512, &mut bytes).is_err());
    }

    #[test]
    fn a_directory_is_no_device() {
        let dir = File::open("/").unwrap();
        let geometry = Geometry {
            block_size: 512,
            zeroing_discard: 0,
        };
        assert!(Device::new(dir.into(), geometry).is_err());
    }
}
