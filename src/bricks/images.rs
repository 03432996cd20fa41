//! Making, opening, sizing and naming images.

use bd_durable::failpoint;
use bd_engine::{BackingVolume, EngineError, OpenVolume, Removed};
use bd_model::{Bytes, Gfid, ImageKind};
use bd_proto::{Fault, FaultKind, ImageInfo};

use super::attributes::Mark;
use super::intent::Intent;
use super::{Brick, image};

impl Brick {
    /// Makes the volume of a new image under an intent.
    ///
    /// Asked again before it was committed (the answer got lost), it gives the volume that was
    /// made then.
    pub fn create(
        &self,
        gfid: Gfid,
        name: Option<&str>,
        kind: ImageKind,
        size: Bytes,
        import: bool,
    ) -> Result<ImageInfo, Fault> {
        let _image_lock = self.image_locks.lock(&[gfid]);
        self.finish_removal_of_nameless(gfid)?;
        match self.intents.get(gfid) {
            None => self.must_be_new(gfid)?,
            Some(Intent::Create { .. }) => {
                self.intents.put(gfid, Intent::Create { import })?;
                if let Some(volume) = self.engine.find(gfid)? {
                    return self.created_before(gfid, volume, kind, size);
                }
            }
            Some(other) => return Err(under_way(gfid, other)),
        }
        self.intents.put(gfid, Intent::Create { import })?;
        failpoint::reach("create.intended");
        let name = self.name_for(name, gfid)?;
        let volume = self.made(gfid, self.engine.create(gfid, &name, kind, size))?;
        failpoint::reach("create.made");
        Ok(image(gfid, volume))
    }

    fn created_before(
        &self,
        gfid: Gfid,
        volume: BackingVolume,
        kind: ImageKind,
        size: Bytes,
    ) -> Result<ImageInfo, Fault> {
        if volume.kind != kind {
            return Err(Fault::new(
                FaultKind::Exists,
                format!(
                    "image {gfid} was made as {} and is now asked for as {kind}; abort it first",
                    volume.kind
                ),
            ));
        }
        let volume = match volume.size < size {
            true => self.engine.resize(gfid, size)?,
            false => volume,
        };
        Ok(image(gfid, volume))
    }

    /// Gives an image, whose stub heal makes anew, the volume that it had: the brick has lost its
    /// name, and the volume has stayed, with bytes that are out of date.
    ///
    /// No intent is needed: with or without its stub, the volume is left alone.
    pub fn retake(&self, gfid: Gfid, name: Option<&str>) -> Result<ImageInfo, Fault> {
        let _image_lock = self.image_locks.lock(&[gfid]);
        self.finish_removal_of_nameless(gfid)?;
        match self.intents.get(gfid) {
            // Made a moment ago, and not committed yet.
            Some(Intent::Create { .. }) => Err(Fault::new(
                FaultKind::NotFound,
                format!("image {gfid} has no volume of earlier times"),
            )),
            Some(other) => Err(under_way(gfid, other)),
            None => {
                let volume = self.volume(gfid)?;
                tracing::info!("image {gfid} has its volume {} again", volume.name);
                let name = self.name_for(name, gfid)?;
                Ok(image(gfid, self.engine.rename(gfid, &name)?))
            }
        }
    }

    /// Refuses a new image whose gfid has a volume.
    pub(super) fn must_be_new(&self, gfid: Gfid) -> Result<(), Fault> {
        match self.engine.find(gfid)? {
            None => Ok(()),
            Some(volume) => Err(Fault::new(
                FaultKind::Exists,
                format!("image {gfid} has the volume {}", volume.name),
            )),
        }
    }

    /// The outcome of making a volume: where that failed without a trace, its intent ends.
    pub(super) fn made(
        &self,
        gfid: Gfid,
        outcome: Result<BackingVolume, EngineError>,
    ) -> Result<BackingVolume, Fault> {
        outcome.map_err(|error| {
            let mut fault = Fault::from(error);
            let ended = match self.engine.find(gfid) {
                Ok(None) => self.intents.end(gfid),
                // Something is left: the intent stays, so that an abort or the next start
                // removes it.
                Ok(Some(_)) => Ok(()),
                Err(also) => Err(also.into()),
            };
            if let Err(also) = ended {
                fault.message = format!("{}; besides, {also}", fault.message);
            }
            fault
        })
    }

    /// The namespace holds the image: ends its intent.
    pub fn commit(&self, gfid: Gfid) -> Result<(), Fault> {
        let _image_lock = self.image_locks.lock(&[gfid]);
        match self.intents.get(gfid) {
            Some(Intent::Create { .. } | Intent::Copy { .. }) => {
                self.volume(gfid)?;
                self.intents.end(gfid)
            }
            Some(other) => Err(under_way(gfid, other)),
            None => self.volume(gfid).map(drop),
        }
    }

    /// The namespace does not hold the image: removes a volume that was never committed.
    ///
    /// Done already if there is neither volume nor intent. A volume without an intent of its
    /// making may hold data and is left alone.
    pub fn abort(&self, gfid: Gfid) -> Result<(), Fault> {
        let _image_lock = self.image_locks.lock(&[gfid]);
        match self.intents.get(gfid) {
            Some(Intent::Create { .. } | Intent::Copy { .. }) => {}
            Some(other) => return Err(under_way(gfid, other)),
            None if self.engine.find(gfid)?.is_none() => return Ok(()),
            None => {
                return Err(Fault::new(
                    FaultKind::Invalid,
                    format!("image {gfid} is committed; remove it instead"),
                ));
            }
        }
        if let Some(stub) = self.namespace.stub(gfid)?
            && matches!(stub.mark, Mark::Image(_) | Mark::Unknown(_))
        {
            return Err(Fault::new(
                FaultKind::Invalid,
                format!(
                    "image {gfid} cannot be aborted: {} is marked as an image; commit it, or \
                     take the mark off first",
                    stub.path.display()
                ),
            ));
        }
        match self.engine.remove(gfid)? {
            Removed::Gone | Removed::AlreadyGone => {
                failpoint::reach("abort.removed");
                self.intents.end(gfid)
            }
            Removed::Deferred(why) => {
                tracing::info!("the aborted image {gfid} will be removed later: {why}");
                self.intents.put(gfid, Intent::Remove)
            }
        }
    }

    /// Activates an image's volume and opens it.
    pub fn open(&self, gfid: Gfid) -> Result<OpenVolume, Fault> {
        let _image_lock = self.image_locks.lock(&[gfid]);
        Ok(self.engine.open(gfid)?)
    }

    /// Makes an image's volume hold `size` bytes in the fewest extents.
    pub fn resize(&self, gfid: Gfid, size: Bytes) -> Result<ImageInfo, Fault> {
        let _image_lock = self.image_locks.lock(&[gfid]);
        let volume = self.engine.resize(gfid, size)?;
        failpoint::reach("resize.done");
        Ok(image(gfid, volume))
    }

    /// What is known of an image.
    pub fn image(&self, gfid: Gfid) -> Result<ImageInfo, Fault> {
        Ok(image(gfid, self.volume(gfid)?))
    }

    /// Allocated bytes of some images; `None` for those not known.
    pub fn allocated(&self, gfids: &[Gfid]) -> Result<Vec<Option<Bytes>>, Fault> {
        Ok(self.engine.allocated(gfids)?)
    }

    /// Brings what was written to an image to stable storage, though its device cannot be flushed.
    pub fn sync(&self, gfid: Gfid) -> Result<(), Fault> {
        Ok(self.engine.sync(gfid)?)
    }

    /// All images.
    pub fn images(&self) -> Result<Vec<ImageInfo>, Fault> {
        let volumes = self.engine.volumes()?;
        Ok(volumes
            .into_iter()
            .filter_map(|volume| volume.gfid.map(|gfid| image(gfid, volume)))
            .collect())
    }
}

/// Refuses a request that does not go with what is under way.
pub(super) fn under_way(gfid: Gfid, intent: Intent) -> Fault {
    let what = match intent {
        Intent::Create { .. } => "is being made; commit or abort it first",
        Intent::Copy { .. } => "is being made as a copy; commit or abort it first",
        Intent::Merge { .. } => "is being merged into its origin",
        Intent::MarkForRemoval => "is marked for removal; cancel or finish that first",
        Intent::Remove => "is being removed",
    };
    Fault::new(FaultKind::Busy, format!("image {gfid} {what}"))
}
