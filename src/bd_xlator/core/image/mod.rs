//! An image: its parts are what is done to it, one file each.

mod allocated;
mod device;
mod failure;
mod hydrate;
mod merging;
mod migration;
mod read;
mod size;
mod sparse;
mod standstill;
mod stub;
mod write;
mod zero;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use bd_model::{Gfid, ImageKind};
use blockdev::Span;
use glusterfs::Iatt;
use parking_lot::RwLock as Gate;

use self::allocated::Allocated;
use self::device::Slot;
use self::merging::Merging;
use self::migration::Arrival;
use super::errno::Errno;
use super::mapping::Mapping;
use super::remembered::Remembered;
use super::times::Times;

pub(crate) use self::failure::Failure;
pub(crate) use self::hydrate::Hydrated;
pub(crate) use self::read::ReadPlan;
pub(crate) use self::standstill::Standstill;
pub(crate) use self::stub::Changing;
pub(crate) use self::write::{WriteAt, Written};

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
    device: RwLock<Slot>,
    /// Held shared by writes of a process that moves the file here, and alone while it is noted
    /// that there must be no more of them.
    moving: RwLock<()>,
    /// While the file is moved here: what clients do to its size.
    arrival: Mutex<Arrival>,
    /// It was moved away, or could not be moved here: at the last close it is a link file.
    elsewhere: AtomicBool,
    /// Held while the device is opened.
    opening: Mutex<()>,
    /// Bytes were written since the last flush.
    unflushed: AtomicBool,
    /// Held by a flush.
    flushing: Mutex<()>,
    times: Mutex<Times>,
    /// Held while the mtime of the stub is set: that of a write which is saved must not come after one that
    /// a client sets.
    dating: Mutex<()>,
    /// The stub's attributes as posix told them.
    stub: Remembered<Iatt>,
    allocated: Mutex<Allocated>,
    /// Allocated bytes were told.
    told: Condvar,
    /// The spans that may hold data, while somebody asks for them.
    pub(in crate::core) mapping: Mutex<Option<Mapping>>,
    /// There is a mapping, to which writes must be added.
    pub(in crate::core) is_mapped: AtomicBool,
    /// Held while a mapping is read.
    pub(in crate::core) map_reader: Mutex<()>,
    opens: AtomicU32,
    /// Who has it condemned and does not know yet whether a name goes.
    condemning: AtomicU32,
    /// The last name is gone; the LV goes with the last close.
    doomed: AtomicBool,
    /// Held while posix gives it a name or takes one away.
    naming: Mutex<()>,
    /// The LV is gone, or goes: a file of this gfid is another one from now on.
    gone: AtomicBool,
    /// What the last truncate has added.
    grown: Mutex<Option<Span>>,
    /// The LV was grown in steps and may be larger than it has to be.
    untrimmed: AtomicBool,
    /// Its device must not be opened: a merge may have given its LV to another image. Changed with
    /// `device` held.
    barred: AtomicBool,
    merging: Merging,
}

/// Sets the stub's size; fails as the file system below does.
pub(crate) type SetStubSize<'a> = &'a mut dyn FnMut(u64) -> Result<(), Errno>;

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
            moving: RwLock::default(),
            arrival: Mutex::default(),
            elsewhere: AtomicBool::new(false),
            opening: Mutex::default(),
            // A process of the brick that has ended may have written to it.
            unflushed: AtomicBool::new(size > 0),
            flushing: Mutex::default(),
            times: Mutex::default(),
            dating: Mutex::default(),
            stub: Remembered::default(),
            allocated: Mutex::default(),
            told: Condvar::new(),
            mapping: Mutex::default(),
            is_mapped: AtomicBool::new(false),
            map_reader: Mutex::default(),
            opens: AtomicU32::new(0),
            condemning: AtomicU32::new(0),
            doomed: AtomicBool::new(false),
            naming: Mutex::default(),
            gone: AtomicBool::new(false),
            grown: Mutex::default(),
            untrimmed: AtomicBool::new(false),
            barred: AtomicBool::new(false),
            merging: Merging::default(),
        }
    }

    /// Its identity.
    pub(crate) fn gfid(&self) -> Gfid {
        self.gfid
    }

    /// Thin or thick.
    pub(crate) fn kind(&self) -> ImageKind {
        self.kind
    }

    /// Its bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Runs `work` with the size at rest, and tells it the size.
    pub(crate) fn with_size_at_rest<T>(&self, work: impl FnOnce(u64) -> T) -> T {
        let _growth = self.growth();
        work(self.size())
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

    /// The turn to give it a name or to take one away: whoever has it knows whether that was the
    /// last one. Never held while gluster-bdd is asked.
    pub(crate) fn naming(&self) -> MutexGuard<'_, ()> {
        lock(&self.naming)
    }

    /// gluster-bdd is asked to condemn it, because its last name is about to go.
    pub(crate) fn begin_condemning(&self) {
        self.condemning.fetch_add(1, Ordering::AcqRel);
    }

    /// It is known what became of the name; says whether nobody else is about to remove one.
    pub(crate) fn end_condemning(&self) -> bool {
        self.condemning.fetch_sub(1, Ordering::AcqRel) == 1
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
        let goes = !self.is_open() && self.doomed.swap(false, Ordering::AcqRel);
        if goes {
            self.gone.store(true, Ordering::Release);
        }
        goes
    }

    /// The file gets a name again; says whether the last one was gone, and the LV was to go.
    pub(crate) fn revive(&self) -> bool {
        self.doomed.swap(false, Ordering::AcqRel)
    }

    /// Whether the LV is gone, or goes. A file that has the gfid is another one.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Says once whether a span is just what the last truncate has added.
    pub(crate) fn take_grown(&self, span: Span) -> bool {
        lock(&self.grown).take_if(|grown| *grown == span).is_some()
    }

    /// Whether its last name is gone, so that its LV is or goes, or goes at this moment by a merge.
    pub(crate) fn is_leaving(&self) -> bool {
        self.is_doomed() || self.is_gone() || self.has_fixed_name()
    }

    fn growth(&self) -> MutexGuard<'_, Option<u64>> {
        lock(&self.growth)
    }
}

pub(in crate::core) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
