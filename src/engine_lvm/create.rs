//! New LVs: empty ones and snapshots.

use bd_engine::{BackingVolume, EngineError};
use bd_lvm::{Command, LvReport, LvmErrorKind, LvmUuid, Tag};
use bd_model::{Bytes, Extents, Gfid, ImageKind, LvName};
use bd_proto::FaultKind;

use super::model::{is_outgoing, visible_size};
use super::{LvmEngine, VgGuard, fault};

/// Bytes of a chunk of copy-on-write snapshots, as `bd-lvm` makes them.
const COW_CHUNK: u64 = 64 << 10;
/// Bytes that the kernel's table of exceptions takes for each copied chunk.
const EXCEPTION: u64 = 16;

/// What a new LV is, but for its identity.
pub(super) struct Plan {
    pub(super) thin: bool,
    pub(super) size: Bytes,
    /// For copy-on-write snapshots: the bytes of the origin.
    pub(super) origin_size: Option<Bytes>,
    pub(super) pool: Option<LvName>,
    pub(super) origin: Option<LvName>,
    pub(super) tags: Vec<Tag>,
}

impl LvmEngine {
    pub(super) fn make_volume(
        &self,
        gfid: Gfid,
        name: &LvName,
        kind: ImageKind,
        size: Bytes,
    ) -> Result<BackingVolume, EngineError> {
        let what = format!("create {}", self.path(name));
        let extents = self.extents(&what, size)?;
        let _image_lock = self.image_locks.lock(&[gfid]);
        match kind {
            ImageKind::Thin => {
                let vg_lock = self.vg_lock();
                self.must_be_new(&what, gfid)?;
                let pool = self.pool.as_ref().ok_or_else(|| self.no_pool(&what))?;
                self.check_new(&what, pool, self.bytes(extents))?;
                let plan = Plan {
                    thin: true,
                    size: self.bytes(extents),
                    origin_size: None,
                    pool: Some(pool.name.clone()),
                    origin: None,
                    tags: vec![Tag::Gfid(gfid)],
                };
                self.make(&vg_lock, &what, gfid, name, &plan, |name| {
                    Command::CreateThin {
                        name,
                        pool: pool.name.clone(),
                        size: plan.size,
                        tags: plan.tags.clone(),
                    }
                })?;
            }
            ImageKind::Thick => {
                let tags = vec![Tag::Gfid(gfid), Tag::Zeroing(Bytes(0))];
                let lv = {
                    let vg_lock = self.vg_lock();
                    self.must_be_new(&what, gfid)?;
                    self.make_linear(&vg_lock, &what, gfid, name, extents, tags)?
                };
                if let Err(error) = self.zero_a_little(&what, gfid) {
                    self.undo(&lv);
                    return Err(error);
                }
            }
        }
        self.known(gfid).ok_or_else(|| self.unknown(&what, gfid))
    }

    pub(super) fn make_snapshot(
        &self,
        source: Gfid,
        dest: Gfid,
        name: &LvName,
        cow_size: Option<Bytes>,
    ) -> Result<BackingVolume, EngineError> {
        let what = format!("snapshot image {source} to {}", self.path(name));
        let _image_lock = self.image_locks.lock(&[source, dest]);
        let (vg_lock, origin) = self.source_of_copy(&what, source, dest)?;
        if origin.is_thin() {
            if cow_size.is_some() {
                return Err(EngineError::new(
                    FaultKind::Invalid,
                    format!(
                        "cannot {what}: {} is thin, and its snapshots have no size of their own",
                        self.path(&origin.name)
                    ),
                ));
            }
            self.snapshot_thin(&vg_lock, &what, &origin, dest, name)?;
        } else {
            if origin.is_cow() {
                return Err(EngineError::new(
                    FaultKind::Unsupported,
                    format!(
                        "cannot {what}: {} is a copy-on-write snapshot itself; clone it instead",
                        self.path(&origin.name)
                    ),
                ));
            }
            let extents = match cow_size {
                // More than can be needed would be of no use; LVM says so and takes less.
                Some(size) => self
                    .extents(&what, size)?
                    .min(cow_extents(origin.size, self.extent)),
                None => cow_extents(origin.size, self.extent),
            };
            // LVM makes it in several steps, and a kill between them leaves a plain LV with old
            // bytes in it.
            let tags = vec![Tag::Gfid(dest), Tag::Unfinished];
            let made = self.snapshot_cow(&vg_lock, &what, &origin, dest, name, extents, tags)?;
            if let Err(error) = self.retag(&vg_lock, &what, dest, &[], &[Tag::Unfinished]) {
                drop(vg_lock);
                self.undo(&made);
                return Err(error);
            }
        }
        self.known(dest).ok_or_else(|| self.unknown(&what, dest))
    }

    /// The image that `dest` is to be a copy of, whole and in step, and the lock under which it is so. Call it
    /// with both images locked.
    pub(super) fn source_of_copy(
        &self,
        what: &str,
        source: Gfid,
        dest: Gfid,
    ) -> Result<(VgGuard<'_>, LvReport), EngineError> {
        self.finish_zeroing(what, source)?;
        let vg_lock = self.vg_lock();
        self.must_be_new(what, dest)?;
        let origin = self.image_in_step(&vg_lock, what, source)?;
        complete(what, &origin)?;
        Ok((vg_lock, origin))
    }

    /// Makes a thin snapshot, which is independent of its origin for all its users.
    pub(super) fn snapshot_thin(
        &self,
        vg_lock: &VgGuard<'_>,
        what: &str,
        origin: &LvReport,
        dest: Gfid,
        name: &LvName,
    ) -> Result<LvReport, EngineError> {
        if let Some(pool) = &self.pool {
            self.check_new(what, pool, origin.size)?;
        }
        let plan = Plan {
            thin: true,
            size: origin.size,
            origin_size: None,
            pool: origin.pool.clone(),
            origin: Some(origin.name.clone()),
            tags: vec![Tag::Gfid(dest)],
        };
        self.make(vg_lock, what, dest, name, &plan, |name| {
            Command::SnapshotThin {
                name,
                origin: origin.name.clone(),
                tags: plan.tags.clone(),
            }
        })
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "each is a different noun of one command"
    )]
    pub(super) fn snapshot_cow(
        &self,
        vg_lock: &VgGuard<'_>,
        what: &str,
        origin: &LvReport,
        dest: Gfid,
        name: &LvName,
        extents: Extents,
        tags: Vec<Tag>,
    ) -> Result<LvReport, EngineError> {
        let plan = Plan {
            thin: false,
            size: self.bytes(extents),
            origin_size: Some(visible_size(origin)),
            pool: None,
            origin: Some(origin.name.clone()),
            tags,
        };
        self.make(vg_lock, what, dest, name, &plan, |name| {
            Command::SnapshotCow {
                name,
                origin: origin.name.clone(),
                extents,
                tags: plan.tags.clone(),
            }
        })
    }

    pub(super) fn make_linear(
        &self,
        vg_lock: &VgGuard<'_>,
        what: &str,
        gfid: Gfid,
        name: &LvName,
        extents: Extents,
        tags: Vec<Tag>,
    ) -> Result<LvReport, EngineError> {
        let plan = Plan {
            thin: false,
            size: self.bytes(extents),
            origin_size: None,
            pool: None,
            origin: None,
            tags,
        };
        self.make(vg_lock, what, gfid, name, &plan, |name| {
            Command::CreateThick {
                name,
                extents,
                tags: plan.tags.clone(),
            }
        })
    }

    /// Makes an LV under the name wanted or, if that is taken, under its gfid.
    fn make(
        &self,
        vg_lock: &VgGuard<'_>,
        what: &str,
        gfid: Gfid,
        wanted: &LvName,
        plan: &Plan,
        change: impl Fn(LvName) -> Command,
    ) -> Result<LvReport, EngineError> {
        let mut name = self.model().free_name(wanted, gfid);
        let mut result = self.lvm.change(&self.vg, &change(name.clone()));
        if result
            .as_ref()
            .is_err_and(|error| error.kind == LvmErrorKind::Exists)
        {
            // An LV that the model does not know: an admin's.
            self.refresh(vg_lock)?;
            name = self.model().free_name(wanted, gfid);
            result = self.lvm.change(&self.vg, &change(name.clone()));
        }
        if let Err(error) = result {
            if error.kind == LvmErrorKind::NoSpace {
                return Err(self.no_space(vg_lock, what, plan.size));
            }
            // Whatever the failed command has left must be seen.
            self.refresh(vg_lock)?;
            return Err(fault::lvm(what, error));
        }
        let lv = match self.identity_of(&name) {
            Some(uuid) => plan.report(name, uuid),
            None => {
                self.refresh(vg_lock)?;
                let model = self.model();
                model
                    .named(&name)
                    .cloned()
                    .ok_or_else(|| self.unknown(what, gfid))?
            }
        };
        let mut model = self.model_mut();
        if model.named(&lv.name).is_none() {
            if !plan.thin {
                model.take(Extents(plan.size.0 / self.extent.0.max(1)));
            }
            model.insert(lv.clone());
        }
        Ok(lv)
    }

    /// The identity of a new LV: the kernel knows that of each active device, and asking it
    /// spares a report of LVM.
    fn identity_of(&self, name: &LvName) -> Option<LvmUuid> {
        let device = self.kernel.by_name(&self.dm_name(name)).ok()??;
        let uuid = device
            .uuid
            .strip_prefix("LVM-")?
            .strip_prefix(self.vg_uuid.bare())?;
        uuid.parse().ok()
    }

    pub(super) fn must_be_new(&self, what: &str, gfid: Gfid) -> Result<(), EngineError> {
        match self.model().image(gfid) {
            None => Ok(()),
            Some(lv) => Err(EngineError::new(
                FaultKind::Exists,
                format!(
                    "cannot {what}: image {gfid} has {} already",
                    self.path(&lv.name)
                ),
            )),
        }
    }

    /// LVM's own words about missing extents do not say what there is in bytes.
    pub(super) fn no_space(&self, vg_lock: &VgGuard<'_>, what: &str, size: Bytes) -> EngineError {
        if let Err(error) = self.refresh(vg_lock) {
            return error;
        }
        let free = self.bytes(self.model().vg.free);
        EngineError::new(
            FaultKind::NoSpace,
            format!(
                "cannot {what} with {size}: {free} free in {}; add a PV or choose a smaller size",
                self.vg
            ),
        )
    }

    fn no_pool(&self, what: &str) -> EngineError {
        EngineError::new(
            FaultKind::Unsupported,
            format!(
                "cannot {what}: this brick has no thin pool; make the image with kind lv, or the \
                 brick with --pool"
            ),
        )
    }
}

impl Plan {
    fn report(&self, name: LvName, uuid: LvmUuid) -> LvReport {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let (layout, role) = match (self.thin, &self.origin) {
            (true, None) => (words(&["thin", "sparse"]), words(&["public"])),
            (true, Some(_)) => (
                words(&["thin", "sparse"]),
                words(&["public", "snapshot", "thinsnapshot"]),
            ),
            (false, None) => (words(&["linear"]), words(&["public"])),
            (false, Some(_)) => (
                words(&["linear"]),
                words(&["public", "snapshot", "thicksnapshot"]),
            ),
        };
        LvReport {
            name,
            uuid,
            size: self.size,
            origin_size: self.origin_size,
            tags: self.tags.clone(),
            pool: self.pool.clone(),
            origin: self.origin.clone(),
            layout,
            role,
        }
    }
}

/// Refuses the destination of a copy which a crash has cut short, and what a merge has left.
pub(super) fn complete(what: &str, lv: &LvReport) -> Result<(), EngineError> {
    if is_outgoing(lv) {
        let name = &lv.name;
        let message = format!("cannot {what}: {name} holds what an image was before a merge");
        return Err(EngineError::new(FaultKind::NotFound, message));
    }
    if !lv.tags.contains(&Tag::Unfinished) {
        return Ok(());
    }
    Err(EngineError::new(
        FaultKind::Failed,
        format!(
            "cannot {what}: {} is a copy that was cut short; remove it",
            lv.name
        ),
    ))
}

/// The store of a copy-on-write snapshot that holds a change of every chunk of its origin, with
/// the kernel's header and tables (Linux, drivers/md/dm-snap-persistent.c): one chunk of header,
/// and one chunk of table for as many chunks as a table has entries.
pub(super) fn cow_extents(origin: Bytes, extent: Bytes) -> Extents {
    let chunks = origin.0.div_ceil(COW_CHUNK);
    // One table more than full ones: the kernel makes the next before it needs it.
    let tables = chunks.div_ceil(COW_CHUNK / EXCEPTION) + 1;
    let bytes = (chunks + tables + 1).saturating_mul(COW_CHUNK);
    Extents(bytes.div_ceil(extent.0.max(1)))
}
