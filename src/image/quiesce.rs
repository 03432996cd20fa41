use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use parking_lot::RawRwLock;
use parking_lot::lock_api::{ArcRwLockReadGuard, RwLockReadGuard, RwLockWriteGuard};

use crate::Image;

impl<A: Clone> Image<A> {
    /// Keeps bytes from being taken away while the guard lives, and the device from becoming
    /// another one: so the device for some I/O is looked up with the guard held.
    pub fn begin_io(&self) -> RwLockReadGuard<'_, RawRwLock, ()> {
        self.gate.read()
    }

    /// As [`Image::begin_io`] without waiting, for I/O that ends on another thread; `None` while
    /// bytes are being taken away.
    pub fn try_begin_io(&self) -> Option<ArcRwLockReadGuard<RawRwLock, ()>> {
        self.gate.try_read_arc()
    }

    /// Waits until all I/O is over, and keeps new one away while the guard lives.
    pub(crate) fn gate_alone(&self) -> RwLockWriteGuard<'_, RawRwLock, ()> {
        self.gate.write()
    }

    /// Waits for all I/O that is under way, and holds further I/O and changes of the size.
    pub fn quiesce(&self) -> Quiesced<'_, A> {
        let growth = self.growth();
        Quiesced {
            image: self,
            growth,
            _gate: self.gate.write(),
        }
    }
}

/// An image whose I/O and size are held, until this is dropped.
#[derive(Debug)]
pub struct Quiesced<'a, A> {
    image: &'a Image<A>,
    growth: MutexGuard<'a, Option<u64>>,
    _gate: RwLockWriteGuard<'a, RawRwLock, ()>,
}

impl<A: Clone> Quiesced<'_, A> {
    /// Closes the device of an image that nobody has open, for good unless it is
    /// [unfenced](Image::unfence) again. Says whether that was possible.
    pub fn fence_idle(&self) -> bool {
        // Whoever opens counts first and looks for the device then.
        let mut slot = self.image.device_slot();
        if self.image.is_open() {
            return false;
        }
        self.image.fenced.store(true, Ordering::Release);
        slot.close();
        true
    }

    /// Closes the device until the image is [unfenced](Image::unfence) again.
    pub fn fence(&self) {
        let mut slot = self.image.device_slot();
        self.image.fenced.store(true, Ordering::Release);
        slot.close();
    }

    /// The image has other bytes from now on, on another device.
    pub fn change(&mut self, size: u64) {
        let image = self.image;
        image.device_slot().close();
        image.forget_mapping();
        *self.growth = None;
        image.size.store(size, Ordering::Release);
        image.unflushed.store(false, Ordering::Release);
        // Its LV may be larger than it has to be.
        image.untrimmed.store(true, Ordering::Release);
        image.allocation_changed();
    }
}
