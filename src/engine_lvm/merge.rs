//! Merges: a thin snapshot's LV becomes that of its origin.
//!
//! Nothing is copied, and nothing need be inactive: the two LVs change their tags. One change of
//! the snapshot's LV decides, for it gives that LV the origin's tag and says so; what the other LV
//! says from then on does not count (`model::read_merges`). The rest is tidied up after that, or
//! when the VG is opened the next time.

use bd_durable::failpoint;
use bd_engine::{BackingVolume, EngineError};
use bd_lvm::{Command, Done, LvReport, Tag};
use bd_model::{Gfid, LvName};
use bd_proto::FaultKind;

use super::create::complete;
use super::{LvmEngine, VgGuard};

impl LvmEngine {
    pub(super) fn merge_snapshot(
        &self,
        snapshot: Gfid,
        origin: Gfid,
    ) -> Result<BackingVolume, EngineError> {
        let what = format!("merge image {snapshot} into its origin");
        let _image_lock = self.image_locks.lock(&[snapshot, origin]);
        let vg_lock = self.vg_lock();
        let new = self.image_in_step(&vg_lock, &what, snapshot)?;
        let old = self.image_in_step(&vg_lock, &what, origin)?;
        complete(&what, &new)?;
        complete(&what, &old)?;
        let known = self.model().origin_image(&new);
        if snapshot == origin || known.is_some_and(|other| other != origin) {
            let lv = self.path(&new.name);
            let message = format!("cannot {what}: {lv} is no snapshot of image {origin}");
            return Err(EngineError::new(FaultKind::Invalid, message));
        }
        if !new.is_thin() || !old.is_thin() {
            return Err(self.cow(&what, &new));
        }
        self.commit_merge(&vg_lock, &what, &new, &old, snapshot, origin)?;
        failpoint::reach("merge.committed");
        // From here on it is done, whatever else fails.
        self.tidy(&vg_lock, &new, snapshot);
        self.exchange_names(&vg_lock, &new, &old);
        let known = self.known(origin);
        known.ok_or_else(|| self.unknown(&what, origin))
    }

    fn commit_merge(
        &self,
        vg_lock: &VgGuard<'_>,
        what: &str,
        new: &LvReport,
        old: &LvReport,
        snapshot: Gfid,
        origin: Gfid,
    ) -> Result<(), EngineError> {
        let is_origin = |tag: &&Tag| matches!(tag, Tag::Origin(_));
        let mut del = vec![Tag::Gfid(snapshot)];
        del.extend(new.tags.iter().filter(is_origin).cloned());
        let mut add = vec![Tag::Gfid(origin), Tag::Merged(snapshot)];
        // The origin may be a snapshot itself, and stays one.
        let above = self.model().origin_image(old);
        add.extend(above.map(Tag::Origin));
        del.retain(|tag| !add.contains(tag));
        let made = self.change_image(vg_lock, what, snapshot, |lv| Command::Retag {
            name: lv.name.clone(),
            uuid: lv.uuid.clone(),
            add: add.clone(),
            del: del.clone(),
        });
        match made {
            Ok(_) => {
                self.model_mut().retag_and_read(&new.uuid, &add, &del);
                Ok(())
            }
            Err(error) => {
                // A command that says it has failed may have done it all the same.
                self.refresh(vg_lock)?;
                let model = self.model();
                let done = model.image(origin).is_some_and(|lv| lv.uuid == new.uuid);
                if done { Ok(()) } else { Err(error) }
            }
        }
    }

    /// Tidies up after merges that a crash has cut short.
    pub(super) fn finish_merges(&self, vg_lock: &VgGuard<'_>) {
        let merged = self.model().merged();
        for (lv, snapshot) in merged {
            tracing::warn!(lv = self.path(&lv.name), %snapshot, "finishing a merge");
            self.tidy(vg_lock, &lv, snapshot);
        }
    }

    /// Lets the metadata say without [`Tag::Merged`] what it means. What fails is done when the VG
    /// is opened the next time.
    fn tidy(&self, vg_lock: &VgGuard<'_>, new: &LvReport, snapshot: Gfid) {
        if let Err(error) = self.try_to_tidy(vg_lock, new, snapshot) {
            let lv = self.path(&new.name);
            tracing::warn!(lv, %snapshot, %error, "a merge is done, but not tidied up");
        }
    }

    fn try_to_tidy(
        &self,
        vg_lock: &VgGuard<'_>,
        new: &LvReport,
        snapshot: Gfid,
    ) -> Result<(), EngineError> {
        let what = format!("tidy up after the merge of image {snapshot}");
        let (image, old) = {
            let model = self.model();
            let image = model.get(&new.uuid).and_then(|lv| model.owner(lv));
            (image, model.image(snapshot).cloned())
        };
        let image = image.ok_or_else(|| self.unknown(&what, snapshot))?;
        if let Some(old) = old {
            let add = vec![Tag::Gfid(snapshot), Tag::Outgoing];
            self.retag_lv(&what, &old, add, vec![Tag::Gfid(image)])?;
            // LVM forgets the origin of other snapshots when it goes.
            let others = self.model().snapshots_of(&old.name);
            for other in others {
                let told = other.tags.iter().any(|tag| matches!(tag, Tag::Origin(_)));
                if other.uuid != new.uuid && other.gfid().is_some() && !told {
                    self.retag_lv(&what, &other, vec![Tag::Origin(image)], vec![])?;
                }
            }
        }
        self.retag_lv(&what, new, vec![], vec![Tag::Merged(snapshot)])?;
        self.refresh(vg_lock)
    }

    fn retag_lv(
        &self,
        what: &str,
        lv: &LvReport,
        add: Vec<Tag>,
        del: Vec<Tag>,
    ) -> Result<(), EngineError> {
        let change = Command::Retag {
            name: lv.name.clone(),
            uuid: lv.uuid.clone(),
            add,
            del,
        };
        match self.lvm.change(&self.vg, &change) {
            Ok(Done::Changed) => Ok(()),
            Ok(Done::NotThere) => Err(EngineError::new(
                FaultKind::Failed,
                format!("cannot {what}: {} was renamed", self.path(&lv.name)),
            )),
            Err(error) => Err(super::fault::lvm(what, error)),
        }
    }

    /// Gives an image's new LV the name of the old one. Names are for people: without it, the
    /// image is none the worse.
    fn exchange_names(&self, vg_lock: &VgGuard<'_>, new: &LvReport, old: &LvReport) {
        let aside = LvName::for_gfid(Gfid::random());
        for (lv, to) in [(old, &aside), (new, &old.name)] {
            let change = Command::Rename {
                from: lv.name.clone(),
                to: to.clone(),
            };
            if let Err(error) = self.lvm.change(&self.vg, &change) {
                tracing::warn!(lv = self.path(&lv.name), %to, %error, "keeps its name");
                break;
            }
        }
        if let Err(error) = self.refresh(vg_lock) {
            tracing::warn!(%error, "cannot read the names after a merge");
        }
    }

    fn cow(&self, what: &str, lv: &LvReport) -> EngineError {
        EngineError::new(
            FaultKind::Unsupported,
            format!(
                "cannot {what}: {} is a copy-on-write snapshot, which holds only what differs \
                 from its origin; clone it, and rename the clone over the origin",
                self.path(&lv.name)
            ),
        )
    }
}
