//! What the next start makes of operations that a crash cut short.
//!
//! A name without a handle gets one first. At the end the stubs of copies that were cut short
//! go, and volumes get the names of their files.
//!
//! | intent | what is there | what is done |
//! |---|---|---|
//! | create | stub marked as image | it was finished: the intent ends |
//! | create | stub without mark and data, volume | the stub is marked |
//! | create | stub with data but no mark, or no stub | the volume goes: it holds nothing |
//! | import | stub marked as image | the bytes are in the volume: the stub's are freed |
//! | import | else | the stub's bytes count: the volume goes |
//! | copy | stub marked as image | it was finished: the intent ends |
//! | copy | else | the volume goes: nobody was told of it |
//! | merge | the two volumes did not change places | nothing was done: the intent ends |
//! | merge | they did | the origin's stub gets its size, the snapshot's goes, and so does its volume |
//! | condemn, remove | stub with a name, no volume | the name, whose end did not reach the disk, goes |
//! | condemn | stub with a name | the name stayed: the intent ends |
//! | condemn | no name | the volume goes |
//! | remove | stub with a name, marked as image | somebody brought it back: the intent ends |
//! | remove | else | the volume goes |

use bd_model::Gfid;
use bd_proto::Fault;

use super::Brick;
use super::attributes::Mark;
use super::intent::Intent;
use super::namespace::Stub;

impl Brick {
    /// Settles all intents. Nothing else works on the brick meanwhile. `cloned` is called with each
    /// clone that turns out to be finished, before its intent ends.
    ///
    /// An intent that cannot be settled now stays, so that nothing is lost; the brick is served
    /// all the same.
    pub(super) fn reconcile(&self, cloned: &dyn Fn(&Brick, Gfid)) -> Result<(), Fault> {
        let intents = self.intents.all();
        if !intents.is_empty() {
            self.settle_all(intents, cloned)?;
        }
        self.settle_unfinished_copies()?;
        self.settle_names()
    }

    fn settle_all(
        &self,
        intents: Vec<(Gfid, Intent)>,
        cloned: &dyn Fn(&Brick, Gfid),
    ) -> Result<(), Fault> {
        tracing::info!(
            "brick {}: settling {} operations that were cut short",
            self.dir.display(),
            intents.len()
        );
        // Afresh, because a crash may have left the engine's memory behind.
        self.engine.volumes()?;
        self.restore_handles(&intents)?;
        for (gfid, intent) in intents {
            match self.settle(gfid, intent, cloned) {
                Ok(_) if self.intents.get(gfid) == Some(Intent::Remove) => {}
                Ok(done) => tracing::info!("image {gfid}, {intent:?}: {done}"),
                Err(fault) => tracing::error!("image {gfid}, {intent:?}: {fault}"),
            }
        }
        // In the order of their names a snapshot may have come after the origin it kept.
        self.retry_removals();
        Ok(())
    }

    fn settle(
        &self,
        gfid: Gfid,
        intent: Intent,
        cloned: &dyn Fn(&Brick, Gfid),
    ) -> Result<&'static str, Fault> {
        let stub = self.namespace.stub(gfid)?;
        if let Some(Stub {
            mark: Mark::Unknown(mark),
            path,
            ..
        }) = &stub
        {
            tracing::error!("{} has the mark {mark:?}", path.display());
            return Ok("left as it is, because the mark of its stub cannot be read");
        }
        match (intent, stub) {
            (Intent::Create { import }, Some(stub)) => self.settle_create(gfid, import, &stub),
            (Intent::Copy { .. }, Some(stub)) if matches!(stub.mark, Mark::Image(_)) => {
                if self.is_new_clone(gfid) {
                    cloned(self, gfid);
                }
                self.intents.end(gfid)?;
                Ok("was finished")
            }
            (Intent::MarkForRemoval | Intent::Remove, Some(stub))
                if stub.names > 0
                    && matches!(stub.mark, Mark::Image(_))
                    && self.engine.find(gfid)?.is_none() =>
            {
                self.namespace.remove_names(gfid)?;
                self.namespace.remove_handle(&stub)?;
                self.finish_removal(gfid)?;
                Ok("its name is removed, because its volume is gone")
            }
            (Intent::MarkForRemoval, Some(stub)) if stub.names > 0 => {
                self.intents.end(gfid)?;
                Ok("still has its name")
            }
            (Intent::Remove, Some(stub))
                if stub.names > 0 && matches!(stub.mark, Mark::Image(_)) =>
            {
                self.intents.end(gfid)?;
                Ok("has a name again")
            }
            (Intent::MarkForRemoval, Some(stub)) => {
                self.namespace.remove_handle(&stub)?;
                self.finish_removal(gfid)?;
                Ok("removed, because its name is gone")
            }
            (Intent::MarkForRemoval | Intent::Remove, _) => {
                self.finish_removal(gfid)?;
                Ok("removed, because its name is gone")
            }
            (Intent::Merge { origin, size }, stub) => self.settle_merged(gfid, origin, size, stub),
            (Intent::Create { .. } | Intent::Copy { .. }, _) => {
                self.finish_removal(gfid)?;
                Ok("undone, because it was never finished")
            }
        }
    }

    fn settle_create(&self, gfid: Gfid, import: bool, stub: &Stub) -> Result<&'static str, Fault> {
        let volume = self.engine.find(gfid)?;
        match (&stub.mark, volume) {
            (Mark::Image(_), Some(_)) => {
                if import {
                    self.namespace.punch(stub)?;
                }
                self.intents.end(gfid)?;
                Ok("was finished")
            }
            (Mark::Image(_), None) => {
                // A mark that came with heal or rebalance: the translator makes the volume.
                self.intents.end(gfid)?;
                Ok("has a stub that is marked but no volume")
            }
            (Mark::Plain, Some(volume)) if !import && !stub.holds_data => {
                self.namespace.mark(stub, volume.kind)?;
                self.intents.end(gfid)?;
                Ok("finished: marked its stub")
            }
            _ => {
                self.finish_removal(gfid)?;
                Ok("undone, because it was never finished")
            }
        }
    }

    /// Gives files their handles. The posix translator makes that of a new file after its name, and
    /// unlinks that of an old one before its last name: a crash in between leaves only the name,
    /// and a file that the volume shows but cannot open.
    fn restore_handles(&self, intents: &[(Gfid, Intent)]) -> Result<(), Fault> {
        let mut missing = Vec::new();
        for (gfid, intent) in intents {
            let may_lack_one = matches!(intent, Intent::Create { .. } | Intent::MarkForRemoval);
            if may_lack_one && self.namespace.stub(*gfid)?.is_none() {
                missing.push(*gfid);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        self.namespace.each_without_handle(|gfid, path| {
            if missing.contains(&gfid) {
                self.namespace.link_handle(gfid, path)?;
                tracing::info!("image {gfid}: made the handle of {} again", path.display());
            }
            Ok(())
        })
    }
}
