//! Opening images.

use std::os::fd::OwnedFd;

use bd_engine::{EngineError, OpenVolume};
use bd_lvm::LvReport;
use bd_model::Gfid;
use bd_proto::FaultKind;

use super::create::complete;
use super::kernel::Node;
use super::{LvmEngine, fault};

impl LvmEngine {
    pub(super) fn open_volume(&self, gfid: Gfid) -> Result<OpenVolume, EngineError> {
        let what = format!("open image {gfid}");
        let _image_lock = self.image_locks.lock(&[gfid]);
        self.finish_zeroing(&what, gfid)?;
        // Whoever opens an image does not wait until others' commands of LVM are through.
        let known = self.model().image(gfid).cloned();
        let lv = match known {
            Some(lv) => lv,
            None => self.image(&self.vg_lock(), &what, gfid)?,
        };
        complete(&what, &lv)?;
        let node = self.node(&what, &lv)?;
        let volume = self.known(gfid).ok_or_else(|| self.unknown(&what, gfid))?;
        Ok(OpenVolume {
            volume,
            fd: OwnedFd::from(node.file),
            block_size: node.block_size,
            discard_granularity: node.discard_granularity,
        })
    }

    /// Activates an LV if need be, and opens it.
    ///
    /// The device is found by LVM's identity, never by a name that may be somebody else's by now.
    pub(super) fn node(&self, what: &str, lv: &LvReport) -> Result<Node, EngineError> {
        let uuid = self.dm_uuid(lv);
        self.idle.used(&lv.uuid);
        let find = || {
            self.kernel
                .by_uuid(&uuid)
                .map_err(|e| fault::failed(what, e))
        };
        let device = match find()? {
            Some(device) => device,
            None => {
                self.activate(what, lv)?;
                find()?.ok_or_else(|| {
                    EngineError::new(
                        FaultKind::Failed,
                        format!(
                            "cannot {what}: {} does not become active",
                            self.path(&lv.name)
                        ),
                    )
                })?
            }
        };
        let node = self
            .kernel
            .open(&device)
            .map_err(|e| fault::failed(what, e))?;
        // Numbers are used again. From here on the open device keeps its own.
        match find()? {
            Some(now) if (now.major, now.minor) == (device.major, device.minor) => Ok(node),
            _ => Err(EngineError::new(
                FaultKind::Failed,
                format!(
                    "cannot {what}: {} was deactivated meanwhile",
                    self.path(&lv.name)
                ),
            )),
        }
    }
}
