//! Removal: the name first, then the volume, and an intent from before the first to after the
//! second.

use bd_durable::failpoint;
use bd_engine::Removed;
use bd_model::Gfid;
use bd_proto::{Fault, FaultKind};

use super::Brick;
use super::attributes::Mark;
use super::images::under_way;
use super::intent::Intent;
use super::namespace::Stub;

impl Brick {
    /// The last name of an image is about to go.
    pub fn mark_for_removal(&self, gfid: Gfid) -> Result<(), Fault> {
        let _image_lock = self.image_locks.lock(&[gfid]);
        match self.intents.get(gfid) {
            Some(Intent::MarkForRemoval) => Ok(()),
            Some(other) => Err(under_way(gfid, other)),
            None => {
                self.volume(gfid)?;
                self.intents.put(gfid, Intent::MarkForRemoval)
            }
        }
    }

    /// The name stays after all. One that has lost its name meanwhile stays marked: another
    /// request has removed it, and asks for the removal.
    pub fn cancel_removal(&self, gfid: Gfid) -> Result<(), Fault> {
        let _image_lock = self.image_locks.lock(&[gfid]);
        match self.intents.get(gfid) {
            None => self.intents.end(gfid),
            Some(Intent::MarkForRemoval) if self.has_lost_its_name(gfid) => Ok(()),
            Some(Intent::MarkForRemoval) => self.intents.end(gfid),
            Some(other) => Err(under_way(gfid, other)),
        }
    }

    /// The name is gone and nobody has the image open: removes the volume of an image that is marked for it.
    ///
    /// Done already if there is neither volume nor intent. If others depend on the volume, it
    /// goes when they are gone.
    pub fn remove(&self, gfid: Gfid) -> Result<(), Fault> {
        {
            let _image_lock = self.image_locks.lock(&[gfid]);
            match self.intents.get(gfid) {
                Some(Intent::MarkForRemoval) => {}
                Some(Intent::Merge { .. }) if self.is_merged(gfid)? => {}
                Some(Intent::Remove) => return Ok(()),
                Some(other) => return Err(under_way(gfid, other)),
                None if self.engine.find(gfid)?.is_none() => return self.intents.end(gfid),
                None => {}
            }
            self.must_have_no_name(gfid)?;
            if self.intents.get(gfid).is_none() {
                // The removal was cancelled before its name went.
                self.intents.put(gfid, Intent::MarkForRemoval)?;
            }
            failpoint::reach("remove.begun");
            self.finish_removal(gfid)?;
        }
        // What waited for this volume may go now.
        self.retry_removals();
        Ok(())
    }

    /// Whether the last name of an image is gone, and its volume will be.
    pub fn has_lost_its_name(&self, gfid: Gfid) -> bool {
        let is_condemned = matches!(
            self.intents.get(gfid),
            Some(Intent::MarkForRemoval | Intent::Remove)
        );
        let has_none = |stub: Option<Stub>| stub.is_none_or(|stub| stub.names == 0);
        is_condemned && self.namespace.stub(gfid).is_ok_and(has_none)
    }

    /// Whatever the brick believes: a volume whose stub has a name is not removed.
    fn must_have_no_name(&self, gfid: Gfid) -> Result<(), Fault> {
        match self.namespace.stub(gfid)? {
            Some(stub) if stub.names > 0 && matches!(stub.mark, Mark::Image(_)) => Err(Fault::new(
                FaultKind::Invalid,
                format!(
                    "image {gfid} still has a name ({} has {} links); cancel its removal",
                    stub.path.display(),
                    stub.names + 1
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Removes the volume of an image whose name is gone at once: it is about to be made anew.
    pub(super) fn finish_removal_of_nameless(&self, gfid: Gfid) -> Result<(), Fault> {
        match self.has_lost_its_name(gfid) {
            true => self.finish_removal(gfid),
            false => Ok(()),
        }
    }

    /// Removes a volume nobody wants any more and ends its intent, or leaves it for later.
    ///
    /// The end of the name is on the disk before: after a power cut there is no name without a volume.
    pub(super) fn finish_removal(&self, gfid: Gfid) -> Result<(), Fault> {
        self.namespace.sync()?;
        let name = self.engine.find(gfid)?.map(|volume| volume.name);
        match self.engine.remove(gfid)? {
            Removed::Gone | Removed::AlreadyGone => {
                failpoint::reach("remove.removed");
                self.intents.end(gfid)?;
                if let Some(name) = name {
                    self.name_is_free(&name);
                }
                Ok(())
            }
            Removed::Deferred(why) => {
                tracing::info!("the volume of image {gfid} will be removed later: {why}");
                self.intents.put(gfid, Intent::Remove)
            }
        }
    }

    /// Tries again to remove volumes that others depended on.
    pub fn retry_removals(&self) {
        for (gfid, intent) in self.intents.all() {
            if intent != Intent::Remove {
                continue;
            }
            let _image_lock = self.image_locks.lock(&[gfid]);
            if self.intents.get(gfid) == Some(Intent::Remove)
                && let Err(fault) = self
                    .must_have_no_name(gfid)
                    .and_then(|()| self.finish_removal(gfid))
            {
                tracing::warn!("cannot remove the volume of image {gfid}: {fault}");
            }
        }
    }
}
