//! Changes to one LV of the VG, against a model that may be out of step.

use bd_engine::{BackingVolume, EngineError};
use bd_lvm::{Command, Done, LvReport, LvmErrorKind, Tag};
use bd_model::{Gfid, LvName};
use bd_proto::FaultKind;

use super::model::{is_hidden, is_outgoing};
use super::{LvmEngine, VgGuard, fault};

impl LvmEngine {
    /// The LV of an image, as it is in memory or else on the disks.
    pub(super) fn image(
        &self,
        vg_lock: &VgGuard<'_>,
        what: &str,
        gfid: Gfid,
    ) -> Result<LvReport, EngineError> {
        if let Some(lv) = self.model().image(gfid) {
            return Ok(lv.clone());
        }
        self.refresh(vg_lock)?;
        self.model()
            .image(gfid)
            .cloned()
            .ok_or_else(|| self.unknown(what, gfid))
    }

    /// The LV of an image under the name that it has now, for commands that copy or destroy.
    ///
    /// An admin may have renamed LVs; the kernel knows the name of an active one.
    pub(super) fn image_in_step(
        &self,
        vg_lock: &VgGuard<'_>,
        what: &str,
        gfid: Gfid,
    ) -> Result<LvReport, EngineError> {
        let lv = self.image(vg_lock, what, gfid)?;
        let device = self
            .kernel
            .by_uuid(&self.dm_uuid(&lv))
            .map_err(|e| fault::failed(what, e))?;
        if device.is_some_and(|device| device.name == self.dm_name(&lv.name)) {
            return Ok(lv);
        }
        self.refresh(vg_lock)?;
        self.model()
            .image(gfid)
            .cloned()
            .ok_or_else(|| self.unknown(what, gfid))
    }

    /// Runs a change of an image's LV, again with a fresh model if the LV was not found.
    pub(super) fn change_image(
        &self,
        vg_lock: &VgGuard<'_>,
        what: &str,
        gfid: Gfid,
        make: impl Fn(&LvReport) -> Command,
    ) -> Result<LvReport, EngineError> {
        let lv = self.image(vg_lock, what, gfid)?;
        match self.lvm.change(&self.vg, &make(&lv)) {
            Ok(Done::Changed) => return Ok(lv),
            Ok(Done::NotThere) => {}
            Err(error) if error.kind == LvmErrorKind::NotFound => {}
            Err(error) => return Err(fault::lvm(what, error)),
        }
        self.refresh(vg_lock)?;
        let lv = self
            .model()
            .image(gfid)
            .cloned()
            .ok_or_else(|| self.unknown(what, gfid))?;
        match self.lvm.change(&self.vg, &make(&lv)) {
            Ok(Done::Changed) => Ok(lv),
            Ok(Done::NotThere) => Err(self.unknown(what, gfid)),
            Err(error) => Err(fault::lvm(what, error)),
        }
    }

    pub(super) fn retag(
        &self,
        vg_lock: &VgGuard<'_>,
        what: &str,
        gfid: Gfid,
        add: &[Tag],
        del: &[Tag],
    ) -> Result<(), EngineError> {
        let lv = self.change_image(vg_lock, what, gfid, |lv| Command::Retag {
            name: lv.name.clone(),
            uuid: lv.uuid.clone(),
            add: add.to_vec(),
            del: del.to_vec(),
        })?;
        self.model_mut().retag(&lv.uuid, add, del);
        Ok(())
    }

    pub(super) fn retag_vg(
        &self,
        vg_lock: &VgGuard<'_>,
        add: Vec<Tag>,
        del: Vec<Tag>,
    ) -> Result<(), EngineError> {
        let what = format!("mark volume group {}", self.vg);
        let change = Command::RetagVg { add, del };
        self.lvm
            .change(&self.vg, &change)
            .map_err(|e| fault::lvm(&what, e))?;
        self.refresh(vg_lock)
    }

    pub(super) fn change_name(
        &self,
        gfid: Gfid,
        wanted: &LvName,
    ) -> Result<BackingVolume, EngineError> {
        let what = format!("rename image {gfid} to {}", self.path(wanted));
        let _image_lock = self.image_locks.lock(&[gfid]);
        let vg_lock = self.vg_lock();
        for attempt in 0.. {
            let lv = self.image(&vg_lock, &what, gfid)?;
            let to = self.model().free_name(wanted, gfid);
            if to == lv.name {
                break;
            }
            let change = Command::Rename {
                from: lv.name,
                to: to.clone(),
            };
            match self.lvm.change(&self.vg, &change) {
                Ok(_) => {
                    self.model_mut().rename(&lv.uuid, &to);
                    break;
                }
                Err(error)
                    if attempt == 0
                        && matches!(error.kind, LvmErrorKind::NotFound | LvmErrorKind::Exists) =>
                {
                    self.refresh(&vg_lock)?;
                }
                Err(error) => return Err(fault::lvm(&what, error)),
            }
        }
        self.known(gfid).ok_or_else(|| self.unknown(&what, gfid))
    }

    pub(super) fn adopt_volume(
        &self,
        name: &LvName,
        gfid: Gfid,
    ) -> Result<BackingVolume, EngineError> {
        let path = self.path(name);
        let what = format!("make {path} the image {gfid}");
        let refuse = |kind, why: &str| Err(EngineError::new(kind, format!("cannot {what}: {why}")));
        let _image_lock = self.image_locks.lock(&[gfid]);
        let vg_lock = self.vg_lock();
        if self.model().named(name).is_none() {
            self.refresh(&vg_lock)?;
        }
        let (lv, owner, other) = {
            let model = self.model();
            let Some(lv) = model.named(name).cloned() else {
                return refuse(FaultKind::NotFound, "there is no such LV");
            };
            let other = model
                .image(gfid)
                .map(|lv| lv.name.clone())
                .filter(|other| other != name);
            (lv.clone(), model.owner(&lv), other)
        };
        if lv.is_internal() || is_hidden(&lv) {
            return refuse(FaultKind::Invalid, "it is not for images");
        }
        if let Some(other) = other {
            let why = format!("that is {} already", self.path(&other));
            return refuse(FaultKind::Exists, &why);
        }
        match owner {
            // Found again without its image, it is one.
            Some(owner) if owner == gfid && is_outgoing(&lv) => {
                self.retag(&vg_lock, &what, gfid, &[], &[Tag::Outgoing])?;
            }
            Some(owner) if owner == gfid => {}
            Some(owner) => {
                return refuse(FaultKind::Exists, &format!("it belongs to image {owner}"));
            }
            None => {
                // A second LV with the tag of one image loses that tag.
                let del: Vec<Tag> = lv
                    .tags
                    .iter()
                    .filter(|tag| matches!(tag, Tag::Gfid(_)))
                    .cloned()
                    .collect();
                let add = vec![Tag::Gfid(gfid)];
                let change = Command::Retag {
                    name: lv.name.clone(),
                    uuid: lv.uuid.clone(),
                    add: add.clone(),
                    del: del.clone(),
                };
                match self.lvm.change(&self.vg, &change) {
                    Ok(Done::Changed) => self.model_mut().retag(&lv.uuid, &add, &del),
                    Ok(Done::NotThere) => {
                        self.refresh(&vg_lock)?;
                        return refuse(FaultKind::NotFound, "it was renamed or removed");
                    }
                    Err(error) => {
                        self.refresh(&vg_lock)?;
                        return Err(fault::lvm(&what, error));
                    }
                }
            }
        }
        self.known(gfid).ok_or_else(|| self.unknown(&what, gfid))
    }
}
