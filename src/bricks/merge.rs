//! Merges: a snapshot gives its content to its origin and goes.

use bd_durable::failpoint;
use bd_model::{Bytes, Gfid};
use bd_proto::{Fault, FaultKind, ImageInfo};

use super::attributes::Mark;
use super::images::under_way;
use super::intent::Intent;
use super::namespace::Stub;
use super::{Brick, image};

impl Brick {
    /// Lets the volumes of a snapshot and its origin change places, under an intent. The brick
    /// then sees to the two stubs, and removes the snapshot.
    ///
    /// Asked again (the answer got lost), it says once more what was done.
    pub fn merge(&self, snapshot: Gfid, origin: Gfid, size: Bytes) -> Result<ImageInfo, Fault> {
        let _image_lock = self.image_locks.lock(&[snapshot, origin]);
        let intent = Intent::Merge { origin, size };
        match self.intents.get(snapshot) {
            None => {}
            Some(begun) if begun == intent && self.is_merged(snapshot)? => {
                return self.image(origin);
            }
            Some(begun) if begun == intent => {}
            Some(other) => return Err(under_way(snapshot, other)),
        }
        if let Some(other) = self.intents.get(origin) {
            return Err(under_way(origin, other));
        }
        self.must_be_snapshot(snapshot, origin, size)?;
        self.intents.put(snapshot, intent)?;
        failpoint::reach("merge.intended");
        match self.engine.merge(snapshot, origin) {
            Ok(volume) => {
                failpoint::reach("merge.swapped");
                Ok(image(origin, volume))
            }
            Err(error) => {
                let mut fault = Fault::from(error);
                // Afresh: an engine that has failed may not know what it has done.
                let looked = self.engine.volumes().map_err(Fault::from);
                let ended = match looked.and_then(|_| self.is_merged(snapshot)) {
                    Ok(true) => return self.image(origin),
                    Ok(false) => self.intents.end(snapshot),
                    // Unknown: the intent stays until it is.
                    Err(also) => Err(also),
                };
                if let Err(also) = ended {
                    fault.message = format!("{}; besides, {also}", fault.message);
                }
                Err(fault)
            }
        }
    }

    fn must_be_snapshot(&self, snapshot: Gfid, origin: Gfid, size: Bytes) -> Result<(), Fault> {
        let invalid = |why: String| {
            let message = format!("cannot merge image {snapshot} into {origin}: {why}");
            Err(Fault::new(FaultKind::Invalid, message))
        };
        let volume = self.volume(snapshot)?;
        if snapshot == origin {
            return invalid("it is the image itself".into());
        }
        // One that heal has made knows of no origin; the client has asked the other replicas.
        if let Some(other) = volume.origin_image.filter(|other| *other != origin) {
            return invalid(format!("it is a snapshot of {other}"));
        }
        if volume.size < size {
            let has = volume.size;
            return invalid(format!("its volume holds {has}, and its file {size}"));
        }
        self.volume(origin).map(drop)
    }

    /// What became of a merge: whether it was done. If not, it is not done later.
    pub fn settle_merge(&self, snapshot: Gfid) -> Result<bool, Fault> {
        let _image_lock = self.image_locks.lock(&[snapshot]);
        match self.intents.get(snapshot) {
            Some(Intent::Remove) => Ok(true),
            Some(Intent::Merge { .. }) => {
                self.engine.volumes()?;
                if self.is_merged(snapshot)? {
                    return Ok(true);
                }
                self.intents.end(snapshot).map(|()| false)
            }
            // No merge of it was begun, or it has been settled.
            None | Some(_) => Ok(false),
        }
    }

    /// Whether the volumes of a snapshot that has an intent to merge it have changed places.
    pub(super) fn is_merged(&self, snapshot: Gfid) -> Result<bool, Fault> {
        let volume = self.engine.find(snapshot)?;
        // A volume that is gone was removed after the merge: nothing else removes it meanwhile.
        Ok(volume.is_none_or(|volume| volume.outgoing))
    }

    /// Brings the namespace in step with a merge that a crash has cut short.
    pub(super) fn settle_merged(
        &self,
        snapshot: Gfid,
        origin: Gfid,
        size: Bytes,
        stub: Option<Stub>,
    ) -> Result<&'static str, Fault> {
        match self.engine.find(snapshot)? {
            Some(volume) if volume.outgoing => {}
            Some(_) => {
                self.intents.end(snapshot)?;
                return Ok("nothing was merged yet");
            }
            // It goes last; with its name still there, somebody else has removed it.
            None => {
                self.intents.end(snapshot)?;
                return Ok("was finished");
            }
        }
        // The brick gives the origin its size before it takes the snapshot's handle and name away; clients may
        // have written more to the origin after that.
        if stub.is_some()
            && let Some(stub) = self.namespace.stub(origin)?
            && matches!(stub.mark, Mark::Image(_))
            && stub.size != size.0
        {
            self.namespace.set_size(&stub, size)?;
        }
        self.namespace.remove_names(snapshot)?;
        if let Some(stub) = stub {
            self.namespace.remove_handle(&stub)?;
        }
        self.finish_removal(snapshot)?;
        Ok("finished: its origin has its content")
    }
}
