use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use bd_model::{Gfid, ImageKind};
use blockdev::Span;
use parking_lot::RwLock as Gate;

use crate::allocated::Allocated;
use crate::device::Slot;
use crate::errno::Errno;
use crate::extent_map::ExtentMap;
use crate::merging::Merging;
use crate::migration::Arrival;
use crate::stat_cache::StatCache;
use crate::times::Times;

/// An image: a file whose bytes live on a device, and whose size is that of its stub.
///
/// `A` are the attributes of the stub, which are kept here and not looked into.
///
/// Lock order: `growth`, then `gate`, then the others, which are held for moments only.
#[derive(Debug)]
pub struct Image<A> {
    pub(crate) gfid: Gfid,
    pub(crate) kind: ImageKind,
    /// The stub's size. Changed with `growth` held, after the stub.
    pub(crate) size: AtomicU64,
    /// Held shared by all I/O, and alone by whatever takes bytes away.
    pub(crate) gate: Arc<Gate<()>>,
    /// The device's bytes as far as known. Held by whatever changes size or device.
    pub(crate) growth: Mutex<Option<u64>>,
    pub(crate) device: RwLock<Slot>,
    /// Held shared by writes of a process that moves the file here, and alone while it is noted
    /// that there must be no more of them.
    pub(crate) moving: RwLock<()>,
    /// While the file is moved here: what clients do to its size.
    pub(crate) arrival: Mutex<Arrival>,
    /// It was moved away, or could not be moved here: at the last close it is a link file.
    pub(crate) elsewhere: AtomicBool,
    /// Held while the device is opened.
    pub(crate) opening: Mutex<()>,
    /// Bytes were written since the last flush.
    pub(crate) unflushed: AtomicBool,
    /// Held by a flush.
    pub(crate) flushing: Mutex<()>,
    pub(crate) times: Mutex<Times>,
    /// Held while the mtime of the stub is set: that of a write which is saved must not come after one that
    /// a client sets.
    pub(crate) dating: Mutex<()>,
    /// The stub's attributes as posix told them.
    pub(crate) stub: StatCache<A>,
    pub(crate) allocated: Mutex<Allocated>,
    /// Allocated bytes were told.
    pub(crate) told: Condvar,
    /// The spans that may hold data, while somebody asks for them.
    pub(crate) mapping: Mutex<Option<ExtentMap>>,
    /// There is a mapping, to which writes must be added.
    pub(crate) is_mapped: AtomicBool,
    /// Held while a mapping is read.
    pub(crate) map_reader: Mutex<()>,
    pub(crate) opens: AtomicU32,
    /// Who has it condemned and does not know yet whether a name goes.
    pub(crate) removals: AtomicU32,
    /// The last name is gone; the LV goes with the last close.
    pub(crate) orphan: AtomicBool,
    /// Held while posix gives it a name or takes one away.
    pub(crate) naming: Mutex<()>,
    /// The LV is gone, or goes: a file of this gfid is another one from now on.
    pub(crate) gone: AtomicBool,
    /// What the last truncate has added.
    pub(crate) grown: Mutex<Option<Span>>,
    /// The LV was grown in steps and may be larger than it has to be.
    pub(crate) untrimmed: AtomicBool,
    /// Its device must not be opened: a merge may have given its LV to another image. Changed with
    /// `device` held.
    pub(crate) fenced: AtomicBool,
    pub(crate) merging: Merging,
}

/// Sets the stub's size; fails as the file system below does.
pub type SetStubSize<'a> = &'a mut dyn FnMut(u64) -> Result<(), Errno>;

impl<A: Clone> Image<A> {
    /// An image whose stub has `size` bytes.
    pub fn new(gfid: Gfid, kind: ImageKind, size: u64) -> Image<A> {
        Image {
            gfid,
            kind,
            size: AtomicU64::new(size),
            gate: Arc::default(),
            growth: Mutex::default(),
            device: RwLock::default(),
            moving: RwLock::default(),
            arrival: Mutex::default(),
            elsewhere: AtomicBool::new(false),
            opening: Mutex::default(),
            // A process of the brick that has ended may have written to it.
            unflushed: AtomicBool::new(size > 0),
            flushing: Mutex::default(),
            times: Mutex::default(),
            dating: Mutex::default(),
            stub: StatCache::default(),
            allocated: Mutex::default(),
            told: Condvar::new(),
            mapping: Mutex::default(),
            is_mapped: AtomicBool::new(false),
            map_reader: Mutex::default(),
            opens: AtomicU32::new(0),
            removals: AtomicU32::new(0),
            orphan: AtomicBool::new(false),
            naming: Mutex::default(),
            gone: AtomicBool::new(false),
            grown: Mutex::default(),
            untrimmed: AtomicBool::new(false),
            fenced: AtomicBool::new(false),
            merging: Merging::default(),
        }
    }

    /// Its identity.
    pub fn gfid(&self) -> Gfid {
        self.gfid
    }

    /// Thin or thick.
    pub fn kind(&self) -> ImageKind {
        self.kind
    }

    /// Its bytes.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Runs `work` with the size at rest, and tells it the size.
    pub fn with_size_at_rest<T>(&self, work: impl FnOnce(u64) -> T) -> T {
        let _growth = self.growth();
        work(self.size())
    }

    /// One more descriptor.
    pub fn opened(&self) {
        self.opens.fetch_add(1, Ordering::AcqRel);
    }

    /// One descriptor less; says whether it was the last.
    pub fn released(&self) -> bool {
        self.opens.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether any descriptor is open.
    pub fn is_open(&self) -> bool {
        self.opens.load(Ordering::Acquire) > 0
    }

    /// The turn to give it a name or to take one away: whoever has it knows whether that was the
    /// last one. Never held while gluster-bdd is asked.
    pub fn naming(&self) -> MutexGuard<'_, ()> {
        lock(&self.naming)
    }

    /// Says once whether a span is just what the last truncate has added.
    pub fn take_grown(&self, span: Span) -> bool {
        lock(&self.grown).take_if(|grown| *grown == span).is_some()
    }

    pub(crate) fn growth(&self) -> MutexGuard<'_, Option<u64>> {
        lock(&self.growth)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
