use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bd_model::ImageKind;
use bd_proto::{CallError, Opened, Reply, Request};
use blockdev::{Device, Geometry};

use super::Image;
use crate::core::link::{Link, LinkError};

impl Image {
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

    /// Closes the device; the next use opens it again.
    pub(crate) fn close_device(&self) {
        *self.device_slot() = None;
    }

    /// Lets the device be opened again.
    pub(crate) fn admit(&self) {
        let _device = self.device_slot();
        self.barred.store(false, Ordering::Release);
    }

    pub(super) fn device_slot(&self) -> RwLockWriteGuard<'_, Option<Arc<Device>>> {
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

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}
