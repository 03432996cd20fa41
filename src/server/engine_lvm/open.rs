//! Opening images, and zeroing what must not be seen.

use std::os::fd::OwnedFd;

use bd_lvm::{LvReport, Tag};
use bd_model::{Bytes, Gfid};
use bd_proto::FaultKind;

use super::create::complete;
use super::kernel::Node;
use super::model::{visible_size, zeroing};
use super::{LvmEngine, fault};
use crate::engine::{EngineError, OpenVolume};

/// Bytes zeroed at once.
const SLICE: u64 = 32 << 20;

impl LvmEngine {
    pub(super) fn open_volume(&self, gfid: Gfid) -> Result<OpenVolume, EngineError> {
        let what = format!("open image {gfid}");
        let _hold = self.busy.hold(&[gfid]);
        self.finish_zeroing(&what, gfid)?;
        // Whoever opens an image does not wait until others' commands of LVM are through.
        let known = self.model().image(gfid).cloned();
        let lv = match known {
            Some(lv) => lv,
            None => self.image(&self.turn(), &what, gfid)?,
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

    /// Zeroes what is not known to be zero yet: all of a new thick LV, what a grown one has
    /// gained, or the rest of either after a crash. The caller holds the image.
    pub(super) fn finish_zeroing(&self, what: &str, gfid: Gfid) -> Result<(), EngineError> {
        let Some(lv) = self.model().image(gfid).cloned() else {
            return Ok(());
        };
        let Some(from) = zeroing(&lv) else {
            return Ok(());
        };
        self.zero(what, &lv, from, visible_size(&lv))?;
        self.retag(&self.turn(), what, gfid, &[], &[Tag::Zeroing(from)])
    }

    fn zero(&self, what: &str, lv: &LvReport, from: Bytes, to: Bytes) -> Result<(), EngineError> {
        if from >= to {
            return Ok(());
        }
        let what = format!("{what}: zeroing stopped");
        let node = self.node(&what, lv)?;
        let mut at = from.0;
        while at < to.0 {
            let len = SLICE.min(to.0 - at);
            self.kernel
                .zero(&node.file, Bytes(at), Bytes(len))
                .map_err(|e| fault::failed(&what, e))?;
            at += len;
        }
        node.file.sync_all().map_err(|e| fault::failed(&what, e))
    }
}
