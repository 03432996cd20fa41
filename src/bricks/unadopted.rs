//! Volumes that should appear as files.

use std::sync::atomic::Ordering;

use bd_durable::failpoint;
use bd_engine::BackingVolume;
use bd_model::{Gfid, LvName};
use bd_proto::{Fault, Foreign, ImageInfo};

use super::attributes::Mark;
use super::images::under_way;
use super::namespace::Stub;
use super::{Brick, image};

impl Brick {
    /// Volumes without a gfid (unless the brick takes none), and those with one but no stub.
    ///
    /// None where other bricks have the same files: each would choose a gfid of its own, and one
    /// that has lost its names would show again what was removed, as large as its volume.
    pub fn foreign(&self) -> Result<Vec<Foreign>, Fault> {
        let mut foreign = Vec::new();
        if self.heals.load(Ordering::Relaxed) {
            return Ok(foreign);
        }
        for volume in self.engine.volumes_lately()? {
            let BackingVolume {
                name: lv,
                gfid,
                kind,
                size,
                ..
            } = volume;
            let wanted = match gfid {
                None => self.config.adopt,
                Some(gfid) => self.is_left_alone(gfid)?,
            };
            if wanted {
                foreign.push(Foreign {
                    lv,
                    gfid,
                    kind,
                    size,
                });
            }
        }
        Ok(foreign)
    }

    /// Whether a volume that was just listed has neither stub nor intent.
    ///
    /// A file without mark and bytes is no stub yet: its adoption was cut off before the end.
    ///
    /// The order matters, because requests go on meanwhile. An image that is being removed has
    /// an intent until its volume is gone; one that is being made has an intent until it has a
    /// stub.
    fn is_left_alone(&self, gfid: Gfid) -> Result<bool, Fault> {
        let is_adopted = |stub: &Stub| !matches!(stub.mark, Mark::Plain) || stub.holds_data;
        Ok(self.intents.get(gfid).is_none()
            && !self.namespace.stub(gfid)?.as_ref().is_some_and(is_adopted)
            && self.intents.get(gfid).is_none()
            && self.engine.find(gfid)?.is_some())
    }

    /// Gives a foreign volume to the image `gfid`, whose stub is there or comes next.
    pub fn adopt(&self, lv: &LvName, gfid: Gfid) -> Result<ImageInfo, Fault> {
        let _image_lock = self.image_locks.lock(&[gfid]);
        if let Some(intent) = self.intents.get(gfid) {
            return Err(under_way(gfid, intent));
        }
        let volume = self.engine.adopt(lv, gfid)?;
        failpoint::reach("adopt.done");
        Ok(image(gfid, volume))
    }
}
