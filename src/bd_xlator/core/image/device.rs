use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLockReadGuard, RwLockWriteGuard};

use bd_model::ImageKind;
use bd_proto::{CallError, Opened, Reply, Request};
use blockdev::{Device, Geometry};

use super::{Image, lock};
use crate::core::link::{Link, LinkError};

/// The device of an image, while it is open. Held for moments only.
#[derive(Debug, Default)]
pub(super) struct Slot {
    device: Option<Arc<Device>>,
    /// Counts how often it was closed: one that was being opened then must not be used, as it may
    /// be another one by now.
    turn: u64,
}

impl Slot {
    /// Closes the device, also if it is just being opened.
    pub(super) fn close(&mut self) {
        self.device = None;
        self.turn += 1;
    }
}

impl Image {
    /// Whether its device is open, so that I/O needs no help of gluster-bdd.
    pub(crate) fn is_ready(&self) -> bool {
        self.device_now().is_some()
    }

    /// Its device, opened through gluster-bdd if it is not yet.
    ///
    /// Only for threads that may wait.
    pub(crate) fn device(&self, link: &Link) -> Result<Arc<Device>, LinkError> {
        if let Some(device) = self.device_now() {
            return Ok(device);
        }
        let _alone = lock(&self.opening);
        loop {
            let turn = {
                let slot = self.slot();
                if let Some(device) = &slot.device {
                    return Ok(Arc::clone(device));
                }
                slot.turn
            };
            if self.is_gone() {
                return Err(LinkError::Gone);
            }
            if self.barred.load(Ordering::Acquire) {
                return Err(LinkError::Barred);
            }
            // Not with the slot held, which fops look into.
            let device = match self.open(link) {
                Ok(device) => Arc::new(device),
                Err(_) if self.is_gone() => return Err(LinkError::Gone),
                Err(error) => return Err(error),
            };
            let mut slot = self.device_slot();
            if slot.turn == turn {
                slot.device = Some(Arc::clone(&device));
                return Ok(device);
            }
        }
    }

    fn open(&self, link: &Link) -> Result<Device, LinkError> {
        let request = Request::Open {
            brick: link.id(),
            gfid: self.gfid,
        };
        let (reply, fd) = link.ask_for_fd(&request)?;
        let Reply::Opened(opened) = reply else {
            return Err(CallError::OutOfTurn(format!("{reply:?}")).into());
        };
        Ok(Device::new(fd, geometry(&opened)).map_err(CallError::Lost)?)
    }

    /// Its device, if it is open.
    pub(crate) fn device_now(&self) -> Option<Arc<Device>> {
        self.slot().device.clone()
    }

    /// Lets the device be opened again.
    pub(crate) fn admit(&self) {
        let _device = self.device_slot();
        self.barred.store(false, Ordering::Release);
    }

    pub(super) fn device_slot(&self) -> RwLockWriteGuard<'_, Slot> {
        self.device.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self) -> RwLockReadGuard<'_, Slot> {
        self.device.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the device unless a descriptor is open.
    pub(crate) fn close_idle_device(&self) {
        // Whoever opens counts first and looks for the device then.
        let mut slot = self.device_slot();
        if !self.is_open() {
            slot.close();
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
