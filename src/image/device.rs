use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLockReadGuard, RwLockWriteGuard};

use bd_proto::CallError;
use blockdev::Device;

use crate::image::{Image, lock};
use crate::{Server, ServerError};

/// The device of an image, while it is open. Held for moments only.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    device: Option<Arc<Device>>,
    /// Counts how often it was closed: one that was being opened then must not be used, as it may
    /// be another one by now.
    turn: u64,
}

impl Slot {
    /// Closes the device, also if it is just being opened.
    pub(crate) fn close(&mut self) {
        self.device = None;
        self.turn += 1;
    }
}

impl<A: Clone> Image<A> {
    /// Whether its device is open, so that I/O needs no help of gluster-bdd.
    pub fn is_ready(&self) -> bool {
        self.device_now().is_some()
    }

    /// Its device, opened through gluster-bdd if it is not yet.
    ///
    /// Only for threads that may wait.
    pub fn device(&self, server: &dyn Server) -> Result<Arc<Device>, ServerError> {
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
                return Err(ServerError::Gone);
            }
            if self.fenced.load(Ordering::Acquire) {
                return Err(ServerError::Fenced);
            }
            // Not with the slot held, which fops look into.
            let device = match self.open(server) {
                Ok(device) => Arc::new(device),
                Err(_) if self.is_gone() => return Err(ServerError::Gone),
                Err(error) => return Err(error),
            };
            let mut slot = self.device_slot();
            if slot.turn == turn {
                slot.device = Some(Arc::clone(&device));
                return Ok(device);
            }
        }
    }

    fn open(&self, server: &dyn Server) -> Result<Device, ServerError> {
        let (fd, geometry) = server.open(self.gfid)?;
        Ok(Device::new(fd, geometry).map_err(CallError::Lost)?)
    }

    /// Its device, if it is open.
    pub fn device_now(&self) -> Option<Arc<Device>> {
        self.slot().device.clone()
    }

    /// Lets the device be opened again.
    pub fn unfence(&self) {
        let _device = self.device_slot();
        self.fenced.store(false, Ordering::Release);
    }

    pub(crate) fn device_slot(&self) -> RwLockWriteGuard<'_, Slot> {
        self.device.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self) -> RwLockReadGuard<'_, Slot> {
        self.device.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the device unless a descriptor is open.
    pub fn close_idle_device(&self) {
        // Whoever opens counts first and looks for the device then.
        let mut slot = self.device_slot();
        if !self.is_open() {
            slot.close();
            self.forget_mapping();
        }
    }
}
