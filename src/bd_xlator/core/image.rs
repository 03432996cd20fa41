use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bd_model::{Bytes, Gfid, ImageKind};
use bd_proto::{CallError, Opened, Reply, Request};
use blockdev::{Device, Geometry, Media, Span, WholeWrite};
use glusterfs::Iatt;
use parking_lot::lock_api::{ArcRwLockReadGuard, RwLockReadGuard, RwLockWriteGuard};
use parking_lot::{RawRwLock, RwLock as Gate};

use super::errno::{self, Errno};
use super::growth;
use super::link::{Link, LinkError};
use super::mapping::Mapping;
use super::remembered::Remembered;
use super::times::{Times, Timestamp};

/// Bytes that one step of a discard, zeroing or provisioning covers.
const CHANGE_SLICE: u64 = 1 << 30;

/// An image: a file whose bytes live on a device, and whose size is that of its stub.
///
/// Lock order: `growth`, then `gate`, then the others, which are held for moments only.
#[derive(Debug)]
pub(crate) struct Image {
    gfid: Gfid,
    kind: ImageKind,
    /// The stub's size. Changed with `growth` held, after the stub.
    size: AtomicU64,
    /// Held shared by all I/O, and alone by whatever takes bytes away.
    gate: Arc<Gate<()>>,
    /// The device's bytes as far as known. Held by whatever changes size or device.
    growth: Mutex<Option<u64>>,
    device: RwLock<Option<Arc<Device>>>,
    /// Bytes were written since the last flush.
    unflushed: AtomicBool,
    /// Held by a flush.
    flushing: Mutex<()>,
    times: Mutex<Times>,
    /// The stub's attributes as posix told them.
    stub: Remembered<Iatt>,
    allocated: Mutex<Allocated>,
    /// The spans that may hold data, while somebody asks for them.
    pub(super) mapping: Mutex<Option<Mapping>>,
    /// There is a mapping, to which writes must be added.
    pub(super) is_mapped: AtomicBool,
    /// Held while a mapping is read.
    pub(super) map_reader: Mutex<()>,
    opens: AtomicU32,
    /// The last name is gone; the LV goes with the last close.
    doomed: AtomicBool,
    /// The LV was grown in steps and may be larger than it has to be.
    untrimmed: AtomicBool,
    /// Its device must not be opened: a merge may have given its LV to another image. Changed with
    /// `device` held.
    barred: AtomicBool,
}

/// Allocated bytes as gluster-bdd last told them.
#[derive(Clone, Copy, Debug, Default)]
struct Allocated {
    bytes: Option<u64>,
    /// Nothing was written since they were asked for.
    in_step: bool,
    /// Counts what may have changed them.
    changes: u64,
}

/// Sets the stub's size; fails as the file system below does.
pub(crate) type SetStubSize<'a> = &'a mut dyn FnMut(u64) -> Result<(), Errno>;

/// Where a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteAt {
    /// To this byte.
    Offset(u64),
    /// Behind the last byte, wherever that is when its turn comes.
    End,
}

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
    /// An image whose stub has `size` bytes.
    pub(crate) fn new(gfid: Gfid, kind: ImageKind, size: u64) -> Image {
        Image {
            gfid,
            kind,
            size: AtomicU64::new(size),
            gate: Arc::default(),
            growth: Mutex::default(),
            device: RwLock::default(),
            unflushed: AtomicBool::new(false),
            flushing: Mutex::default(),
            times: Mutex::default(),
            stub: Remembered::default(),
            allocated: Mutex::default(),
            mapping: Mutex::default(),
            is_mapped: AtomicBool::new(false),
            map_reader: Mutex::default(),
            opens: AtomicU32::new(0),
            doomed: AtomicBool::new(false),
            untrimmed: AtomicBool::new(false),
            barred: AtomicBool::new(false),
        }
    }

    /// Its identity.
    pub(crate) fn gfid(&self) -> Gfid {
        self.gfid
    }

    /// Thin or thick.
    pub(super) fn kind(&self) -> ImageKind {
        self.kind
    }

    /// Its bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Whether its device is open, so that I/O needs no help of gluster-bdd.
    pub(crate) fn is_ready(&self) -> bool {
        read(&self.device).is_some()
    }

    /// Its device, opened through gluster-bdd if it is not yet.
    pub(crate) fn device(&self, link: &Link) -> Result<Arc<Device>, LinkError> {
        if let Some(device) = read(&self.device).as_ref() {
            return Ok(Arc::clone(device));
        }
        let mut slot = self.device_slot();
        if let Some(device) = slot.as_ref() {
            return Ok(Arc::clone(device));
        }
        if self.barred.load(Ordering::Acquire) {
            return Err(LinkError::Barred);
        }
        let request = Request::Open {
            brick: link.id(),
            gfid: self.gfid,
        };
        let (reply, fd) = link.ask_for_fd(&request)?;
        let Reply::Opened(opened) = reply else {
            return Err(CallError::OutOfTurn(format!("{reply:?}")).into());
        };
        let device = Device::new(fd, geometry(&opened)).map_err(CallError::Lost)?;
        let device = Arc::new(device);
        *slot = Some(Arc::clone(&device));
        Ok(device)
    }

    /// Its device, if it is open.
    pub(crate) fn device_now(&self) -> Option<Arc<Device>> {
        read(&self.device).clone()
    }

    /// Lets the device be opened again.
    pub(crate) fn admit(&self) {
        let _device = self.device_slot();
        self.barred.store(false, Ordering::Release);
    }

    fn device_slot(&self) -> std::sync::RwLockWriteGuard<'_, Option<Arc<Device>>> {
        self.device.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the device unless a descriptor is open.
    pub(crate) fn close_idle_device(&self) {
        // Whoever opens counts first and looks for the device then.
        let mut device = self.device_slot();
        if !self.is_open() {
            *device = None;
            self.forget_mapping();
        }
    }

    /// Keeps bytes from being taken away while the guard lives, and the device from becoming
    /// another one: so the device for some I/O is looked up with the guard held.
    pub(crate) fn begin_io(&self) -> RwLockReadGuard<'_, RawRwLock, ()> {
        self.gate.read()
    }

    /// As [`Image::begin_io`] without waiting, for I/O that ends on another thread; `None` while
    /// bytes are being taken away.
    pub(crate) fn try_begin_io(&self) -> Option<ArcRwLockReadGuard<RawRwLock, ()>> {
        self.gate.try_read_arc()
    }

    /// Waits until all I/O is over, and keeps new one away while the guard lives.
    pub(super) fn gate_alone(&self) -> RwLockWriteGuard<'_, RawRwLock, ()> {
        self.gate.write()
    }

    /// Waits for all I/O that is under way, and holds further I/O and changes of the size.
    pub(crate) fn stand_still(&self) -> Standstill<'_> {
        let growth = self.growth();
        Standstill {
            image: self,
            growth,
            _gate: self.gate.write(),
        }
    }

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

    /// Writes, growing the file if the write ends past its end. Answers the offset written to.
    pub(crate) fn write(
        &self,
        link: &Link,
        at: WriteAt,
        pieces: &[&[u8]],
        set_stub_size: SetStubSize<'_>,
    ) -> Result<u64, Failure> {
        let len: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        if let WriteAt::Offset(offset) = at {
            let end = offset.checked_add(len).ok_or(Failure::Errno(libc::EFBIG))?;
            let _io = self.begin_io();
            if end <= self.size() {
                let device = self.device(link)?;
                self.write_within(&device, offset, pieces)?;
                return Ok(offset);
            }
        }
        let mut growth = self.growth();
        let device = self.device(link)?;
        let old = self.size();
        let offset = match at {
            WriteAt::Offset(offset) => offset,
            WriteAt::End => old,
        };
        let end = offset.checked_add(len).ok_or(Failure::Errno(libc::EFBIG))?;
        if end > old {
            self.make_room(link, &device, &mut growth, end, true)?;
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
        Ok(offset)
    }

    fn write_within(&self, device: &Device, offset: u64, pieces: &[&[u8]]) -> Result<(), Failure> {
        let len = pieces.iter().map(|piece| piece.len() as u64).sum();
        self.note_mapped(Span::at(offset, len));
        let written = device.write(offset, pieces);
        self.note_written();
        Ok(written?)
    }

    /// Begins a write of whole blocks within the file, if it can be begun without waiting.
    pub(crate) fn begin_write(self: &Arc<Self>, offset: u64, len: u64) -> Option<WriteUnderWay> {
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

    /// Bytes came to the device. Only now a flush can bring them to stable storage: one that
    /// runs while they are on their way does not.
    fn note_written(&self) {
        self.unflushed.store(true, Ordering::Release);
        self.allocation_changed();
    }

    /// A growing write failed: the file ends where it ended before, unless others have grown it
    /// further since.
    fn take_back_growth(&self, old: u64, end: u64, set_stub_size: SetStubSize<'_>) {
        let _growth = self.growth();
        if end > old && self.size() == end && set_stub_size(old).is_ok() {
            self.size.store(old, Ordering::Release);
        }
    }

    /// Makes the device hold at least `need` bytes.
    fn make_room(
        &self,
        link: &Link,
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
        let resized = match self.resize(link, generous) {
            Err(error) if error.is_no_space() && generous > need => self.resize(link, need),
            result => result,
        };
        *known = Some(resized?);
        Ok(())
    }

    fn resize(&self, link: &Link, size: u64) -> Result<u64, LinkError> {
        let request = Request::Resize {
            brick: link.id(),
            gfid: self.gfid,
            size: Bytes(size),
        };
        match link.ask(&request)? {
            Reply::Image(info) => Ok(info.lv_size.0),
            other => Err(CallError::OutOfTurn(format!("{other:?}")).into()),
        }
    }

    /// Sets the size: bytes past a shrunk end are gone, bytes of a grown end are zero.
    ///
    /// If the LV cannot give back what a shrink cut off, the error is in the second place: the
    /// file is shrunk all the same.
    pub(crate) fn truncate(
        &self,
        link: &Link,
        size: u64,
        set_stub_size: SetStubSize<'_>,
    ) -> Result<Result<(), Failure>, Failure> {
        let mut growth = self.growth();
        let old = self.size();
        if size < old {
            let gate = self.gate_alone();
            self.forget_mapping();
            set_stub_size(size).map_err(Failure::Errno)?;
            self.size.store(size, Ordering::Release);
            drop(gate);
            return Ok(self.give_back(link, &mut growth, size, old));
        }
        self.grow_held(link, &mut growth, size, set_stub_size)
            .map(Ok)
    }

    /// Grows the file to `size` bytes if it is smaller; the new bytes are zero.
    pub(crate) fn grow(
        &self,
        link: &Link,
        size: u64,
        set_stub_size: SetStubSize<'_>,
    ) -> Result<(), Failure> {
        let mut growth = self.growth();
        if size <= self.size() {
            return Ok(());
        }
        self.grow_held(link, &mut growth, size, set_stub_size)
    }

    fn grow_held(
        &self,
        link: &Link,
        known: &mut Option<u64>,
        size: u64,
        set_stub_size: SetStubSize<'_>,
    ) -> Result<(), Failure> {
        let old = self.size();
        if size > old {
            let device = self.device(link)?;
            let before = match *known {
                Some(bytes) => bytes,
                None => device.size()?,
            };
            *known = Some(before);
            self.make_room(link, &device, known, size, false)?;
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
                if let Ok(bytes) = self.resize(link, old) {
                    *known = Some(bytes);
                }
                return Err(Failure::Errno(errno));
            }
            self.size.store(size, Ordering::Release);
            return Ok(());
        }
        set_stub_size(size).map_err(Failure::Errno)
    }

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
            self.note_written();
            done?;
        }
        Ok(())
    }

    /// Zeroes what lies between a shrunk end and the old one, and shrinks the LV.
    fn give_back(
        &self,
        link: &Link,
        known: &mut Option<u64>,
        size: u64,
        old: u64,
    ) -> Result<(), Failure> {
        let device = self.device(link)?;
        self.allocation_changed();
        let kept = match self.kind {
            // Discarding first gives the chunks back to the pool even if the LV stays large.
            ImageKind::Thin => old,
            // What lvreduce cuts off is zeroed when it is allocated again.
            ImageKind::Thick => Bytes(size)
                .round_up(link.brick().extent_size)
                .map_or(old, |b| b.0.min(old)),
        };
        device.zero(Span {
            start: size,
            end: kept,
        })?;
        if device.media() == Media::Block {
            // Written zeros must not overtake the LV's end.
            device.flush()?;
        }
        *known = Some(self.resize(link, size)?);
        Ok(())
    }

    /// Shrinks the LV to what the file needs, if growing in steps has made it larger.
    pub(crate) fn trim(&self, link: &Link) -> Result<(), LinkError> {
        if self.untrimmed.swap(false, Ordering::AcqRel) {
            let mut growth = self.growth();
            let size = self.size();
            let least = Bytes(size.max(1)).round_up(link.brick().extent_size);
            if growth.is_none_or(|bytes| least.is_none_or(|least| bytes > least.0)) {
                *growth = Some(self.resize(link, size)?);
            }
        }
        Ok(())
    }

    /// Runs `work` with the size at rest, and tells it the size.
    pub(crate) fn with_size_at_rest<T>(&self, work: impl FnOnce(u64) -> T) -> T {
        let _growth = self.growth();
        work(self.size())
    }

    /// Waits until all that was written is on stable storage.
    pub(crate) fn flush(&self) -> Result<(), Errno> {
        let device = read(&self.device).as_ref().map(Arc::clone);
        let Some(device) = device else { return Ok(()) };
        // Who comes while another one flushes waits for that: it may be about the same bytes.
        let _alone = lock(&self.flushing);
        if self.unflushed.swap(false, Ordering::AcqRel)
            && let Err(error) = device.flush()
        {
            self.unflushed.store(true, Ordering::Release);
            return Err(errno::of_io(&error));
        }
        Ok(())
    }

    /// The stub's attributes, from memory if they are known, else as `ask` tells them.
    pub(crate) fn stub<E>(&self, ask: impl FnOnce() -> Result<Iatt, E>) -> Result<Iatt, E> {
        self.stub.get_or_ask(ask)
    }

    /// The stub's attributes may change until the guard goes.
    pub(crate) fn changing(self: &Arc<Self>) -> Changing {
        self.stub.begin();
        Changing {
            image: Arc::clone(self),
            outcome: None,
        }
    }

    /// Notes when it was written; says whether it must be put on the list of those to save.
    pub(crate) fn note_write(&self, at: Timestamp) -> bool {
        lock(&self.times).note_write(at)
    }

    /// Its times.
    pub(crate) fn times(&self) -> MutexGuard<'_, Times> {
        lock(&self.times)
    }

    fn allocation_changed(&self) {
        let mut allocated = lock(&self.allocated);
        allocated.in_step = false;
        allocated.changes += 1;
    }

    /// Allocated bytes if nothing was written since gluster-bdd told them.
    pub(crate) fn allocated_now(&self) -> Option<u64> {
        let allocated = *lock(&self.allocated);
        allocated.bytes.filter(|_| allocated.in_step)
    }

    /// Allocated bytes as last told, or the size where nobody told them yet.
    pub(crate) fn allocated_lately(&self) -> u64 {
        lock(&self.allocated).bytes.unwrap_or_else(|| self.size())
    }

    /// Takes note of allocated bytes which gluster-bdd told some time ago.
    pub(crate) fn note_allocated(&self, bytes: Bytes) {
        let mut allocated = lock(&self.allocated);
        if !allocated.in_step {
            allocated.bytes = Some(bytes.0);
        }
    }

    /// Asks gluster-bdd for the allocated bytes, if something was written since it told them.
    ///
    /// If it cannot tell, they stay as last told: a stat must not fail for want of a number
    /// that only informs.
    pub(crate) fn refresh_allocated(&self, link: &Link) {
        if self.allocated_now().is_some() {
            return;
        }
        let changes = lock(&self.allocated).changes;
        let request = Request::Allocated {
            brick: link.id(),
            gfids: vec![self.gfid],
        };
        if let Ok(Reply::Allocated(told)) = link.ask(&request)
            && let Some(Some(bytes)) = told.first()
        {
            let mut allocated = lock(&self.allocated);
            allocated.bytes = Some(bytes.0);
            allocated.in_step = allocated.changes == changes;
        }
    }

    /// One more descriptor.
    pub(crate) fn opened(&self) {
        self.opens.fetch_add(1, Ordering::AcqRel);
    }

    /// One descriptor less; says whether it was the last.
    pub(crate) fn released(&self) -> bool {
        self.opens.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether any descriptor is open.
    pub(crate) fn is_open(&self) -> bool {
        self.opens.load(Ordering::Acquire) > 0
    }

    /// The last name is gone.
    pub(crate) fn doom(&self) {
        self.doomed.store(true, Ordering::Release);
    }

    /// Whether the last name is gone.
    pub(crate) fn is_doomed(&self) -> bool {
        self.doomed.load(Ordering::Acquire)
    }

    /// Says once whether the LV can go: the last name is gone and nobody has it open.
    pub(crate) fn take_doom(&self) -> bool {
        !self.is_open() && self.doomed.swap(false, Ordering::AcqRel)
    }

    pub(super) fn growth(&self) -> MutexGuard<'_, Option<u64>> {
        lock(&self.growth)
    }
}

/// A write of whole blocks that somebody else does, begun by [`Image::begin_write`].
#[derive(Debug)]
pub(crate) struct WriteUnderWay {
    write: WholeWrite,
    _io: ArcRwLockReadGuard<RawRwLock, ()>,
    image: Arc<Image>,
}

impl WriteUnderWay {
    /// What is written, and where.
    pub(crate) fn write(&self) -> &WholeWrite {
        &self.write
    }
}

impl AsFd for WriteUnderWay {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.write.as_fd()
    }
}

impl Drop for WriteUnderWay {
    fn drop(&mut self) {
        self.image.note_written();
    }
}

/// A change of a stub's attributes that is under way; over when dropped.
#[derive(Debug)]
pub(crate) struct Changing {
    image: Arc<Image>,
    outcome: Option<Iatt>,
}

impl Changing {
    /// The change is over, and this is how the stub is now.
    pub(crate) fn told(mut self, stub: Iatt) {
        self.outcome = Some(stub).filter(|stub| !stub.is_empty());
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        self.image.stub.end(self.outcome);
    }
}

/// An image whose I/O and size are held, until this is dropped.
#[derive(Debug)]
pub(crate) struct Standstill<'a> {
    image: &'a Image,
    growth: MutexGuard<'a, Option<u64>>,
    _gate: RwLockWriteGuard<'a, RawRwLock, ()>,
}

impl Standstill<'_> {
    /// Closes the device of an image that nobody has open, for good unless it is
    /// [admitted](Image::admit) again. Says whether that was possible.
    pub(crate) fn bar_idle(&self) -> bool {
        // Whoever opens counts first and looks for the device then.
        let mut device = self.image.device_slot();
        if self.image.is_open() {
            return false;
        }
        self.image.barred.store(true, Ordering::Release);
        *device = None;
        true
    }

    /// Closes the device until the image is [admitted](Image::admit) again.
    pub(crate) fn bar(&self) {
        let mut device = self.image.device_slot();
        self.image.barred.store(true, Ordering::Release);
        *device = None;
    }

    /// The image has other bytes from now on, on another device.
    pub(crate) fn change(&mut self, size: u64) {
        let image = self.image;
        *image.device_slot() = None;
        image.forget_mapping();
        *self.growth = None;
        image.size.store(size, Ordering::Release);
        image.unflushed.store(false, Ordering::Release);
        // Its LV may be larger than it has to be.
        image.untrimmed.store(true, Ordering::Release);
        image.allocation_changed();
    }
}

/// Why I/O on an image failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// gluster-bdd could not help.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The device failed.
    #[error("device: {0}")]
    Device(#[from] std::io::Error),
    /// The stub's file system failed, or the request cannot be met.
    #[error("{}", std::io::Error::from_raw_os_error(*.0))]
    Errno(Errno),
}

impl Failure {
    /// The errno for the client's fop.
    pub(crate) fn errno(&self) -> Errno {
        match self {
            Failure::Link(error) => error.errno(),
            Failure::Device(error) => errno::of_io(error),
            Failure::Errno(errno) => *errno,
        }
    }
}

fn geometry(opened: &Opened) -> Geometry {
    let zeroing_discard = match opened.image.kind {
        // A thin chunk that was discarded whole is unmapped and reads as zeros.
        ImageKind::Thin => opened.discard_granularity,
        ImageKind::Thick => 0,
    };
    Geometry {
        block_size: opened.block_size,
        zeroing_discard,
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}
