//! LVM in memory, for fast tests of what stands above it.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bd_model::{Bytes, Extents, LvName, VgName};

use crate::{
    Command, Done, LvReport, Lvm, LvmError, LvmErrorKind, LvmUuid, MoveReport, PoolReport, PvName,
    PvReport, Tag, ThinDevice, VgReport,
};

/// One VG in memory, with 4 MiB extents.
#[derive(Debug)]
pub struct FakeLvm {
    state: Mutex<FakeVg>,
}

/// What the fake holds; tests change it as an admin would behind the engine's back.
#[derive(Debug)]
pub struct FakeVg {
    /// The VG and its LVs.
    pub vg: VgReport,
    /// What is reported for the pool.
    pub pool: Option<PoolReport>,
    /// What is reported for the thin LVs of the pool.
    pub thin_devices: Vec<ThinDevice>,
    /// What is reported for physical volumes.
    pub pvs: Vec<PvReport>,
    /// Moves that were cut short.
    pub moves: Vec<MoveReport>,
    /// LVs that are active.
    pub active: HashSet<LvmUuid>,
    /// Errors to give instead of doing the next changes; `None` lets one pass.
    pub failures: VecDeque<Option<LvmErrorKind>>,
    /// Commands that were run, by title.
    pub log: Vec<String>,
    made: u64,
}

const EXTENT: Bytes = Bytes(4 << 20);

impl FakeLvm {
    /// A VG of so many extents; with a pool, a quarter of them belongs to that.
    pub fn new(name: &VgName, extents: Extents, pool: Option<&LvName>) -> FakeLvm {
        let mut state = FakeVg {
            vg: VgReport {
                name: name.clone(),
                uuid: uuid(0),
                extent_size: EXTENT,
                extents,
                free: extents,
                system_id: String::new(),
                tags: Vec::new(),
                writeable: true,
                exported: false,
                partial: false,
                shared: false,
                lvs: Vec::new(),
            },
            pool: None,
            thin_devices: Vec::new(),
            pvs: Vec::new(),
            moves: Vec::new(),
            active: HashSet::new(),
            failures: VecDeque::new(),
            log: Vec::new(),
            made: 0,
        };
        if let Some(pool) = pool {
            let quarter = Extents(extents.0 / 4);
            let lv = state.insert(pool, quarter, Vec::new());
            lv.layout = vec!["thin".to_owned(), "pool".to_owned()];
            lv.role = vec!["private".to_owned()];
            let uuid = lv.uuid.clone();
            state.vg.free.0 -= quarter.0;
            state.pool = Some(PoolReport {
                uuid,
                attr: "twi-aotz--".parse().unwrap_or_else(|e| unreachable!("{e}")),
                chunk_size: Bytes(64 << 10),
                error_when_full: false,
                transaction: 1,
            });
        }
        FakeLvm {
            state: Mutex::new(state),
        }
    }

    /// The state, for tests to look at and to change.
    pub fn state(&self) -> MutexGuard<'_, FakeVg> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An identity that no other LV of the fake has.
fn uuid(number: u64) -> LvmUuid {
    format!("{number:0>32}")
        .parse()
        .unwrap_or_else(|e| unreachable!("{e}"))
}

impl FakeVg {
    /// Adds a linear LV, as an admin's lvcreate would.
    pub fn insert(&mut self, name: &LvName, extents: Extents, tags: Vec<Tag>) -> &mut LvReport {
        self.made += 1;
        let uuid = uuid(self.made);
        self.active.insert(uuid.clone());
        self.vg.lvs.push(LvReport {
            name: name.clone(),
            uuid,
            size: Bytes(extents.0 * EXTENT.0),
            origin_size: None,
            tags,
            pool: None,
            origin: None,
            layout: vec!["linear".to_owned()],
            role: vec!["public".to_owned()],
        });
        let last = self.vg.lvs.len() - 1;
        &mut self.vg.lvs[last]
    }

    /// The LV of a name.
    pub fn lv(&mut self, name: &LvName) -> Option<&mut LvReport> {
        self.vg.lvs.iter_mut().find(|lv| lv.name == *name)
    }

    fn take(&mut self, title: &str, extents: Extents) -> Result<(), LvmError> {
        let free = self.vg.free.0;
        self.vg.free.0 = free
            .checked_sub(extents.0)
            .ok_or_else(|| error(LvmErrorKind::NoSpace, title, "insufficient free space"))?;
        Ok(())
    }

    fn unused(&mut self, title: &str, name: &LvName) -> Result<(), LvmError> {
        match self.lv(name) {
            Some(_) => Err(error(LvmErrorKind::Exists, title, "already exists")),
            None => Ok(()),
        }
    }

    fn need(&mut self, title: &str, name: &LvName) -> Result<&mut LvReport, LvmError> {
        self.lv(name)
            .ok_or_else(|| error(LvmErrorKind::NotFound, title, "not found"))
    }

    fn matching(
        &mut self,
        title: &str,
        name: &LvName,
        uuid: &LvmUuid,
    ) -> Result<Option<&mut LvReport>, LvmError> {
        self.need(title, name)
            .map(|lv| Some(lv).filter(|lv| lv.uuid == *uuid))
    }

    fn resize(&mut self, title: &str, name: &LvName, extents: Extents) -> Result<(), LvmError> {
        let lv = self.need(title, name)?;
        let (thin, before) = (lv.is_thin(), lv.size.0 / EXTENT.0);
        if !thin {
            if extents.0 > before {
                self.take(title, Extents(extents.0 - before))?;
            } else {
                self.vg.free.0 += before - extents.0;
            }
        }
        self.need(title, name)?.size = Bytes(extents.0 * EXTENT.0);
        Ok(())
    }

    fn remove(&mut self, uuid: &LvmUuid) -> Done {
        let found =
            self.vg.lvs.iter().position(|lv| {
                lv.uuid == *uuid && !lv.role.iter().any(|word| word == "thickorigin")
            });
        let Some(index) = found else {
            return Done::NotThere;
        };
        let lv = self.vg.lvs.remove(index);
        self.active.remove(uuid);
        if !lv.is_thin() {
            self.vg.free.0 += lv.size.0 / EXTENT.0;
        }
        let siblings = self
            .vg
            .lvs
            .iter()
            .any(|other| other.is_cow() && other.origin == lv.origin);
        let origin = lv.origin.as_ref().filter(|_| lv.is_cow() && !siblings);
        if let Some(origin) = origin.and_then(|name| self.lv(name)) {
            origin.role = vec!["public".to_owned()];
        }
        for other in &mut self.vg.lvs {
            if other.origin.as_ref() == Some(&lv.name) {
                other.origin = None;
            }
        }
        Done::Changed
    }

    fn apply(&mut self, title: &str, change: &Command) -> Result<Done, LvmError> {
        match change {
            Command::CreateThin {
                name,
                pool,
                size,
                tags,
            } => {
                self.need(title, pool)?;
                self.unused(title, name)?;
                let extents = Extents(size.0.div_ceil(EXTENT.0));
                let lv = self.insert(name, extents, tags.clone());
                lv.pool = Some(pool.clone());
                lv.layout = vec!["thin".to_owned(), "sparse".to_owned()];
            }
            Command::CreateThick {
                name,
                extents,
                tags,
            } => {
                self.unused(title, name)?;
                self.take(title, *extents)?;
                self.insert(name, *extents, tags.clone());
            }
            Command::SnapshotThin { name, origin, tags } => {
                self.unused(title, name)?;
                let of = self.need(title, origin)?.clone();
                let lv = self.insert(name, Extents(0), tags.clone());
                lv.origin = Some(of.name);
                lv.size = of.size;
                lv.pool = of.pool;
                lv.layout = of.layout;
            }
            Command::SnapshotCow {
                name,
                origin,
                extents,
                tags,
            } => {
                self.unused(title, name)?;
                self.take(title, *extents)?;
                let of = self.need(title, origin)?;
                of.role = ["public", "origin", "thickorigin"]
                    .map(str::to_owned)
                    .to_vec();
                let of = of.clone();
                let lv = self.insert(name, *extents, tags.clone());
                lv.origin = Some(of.name);
                lv.origin_size = Some(of.size);
                lv.role = ["public", "snapshot", "thicksnapshot"]
                    .map(str::to_owned)
                    .to_vec();
            }
            Command::Extend { name, extents } | Command::Reduce { name, extents } => {
                self.resize(title, name, *extents)?;
            }
            Command::Rename { from, to } => {
                self.unused(title, to)?;
                self.need(title, from)?.name = to.clone();
                for lv in &mut self.vg.lvs {
                    if lv.origin.as_ref() == Some(from) {
                        lv.origin = Some(to.clone());
                    }
                }
            }
            Command::Remove { uuids } => {
                let done: Vec<Done> = uuids.iter().map(|uuid| self.remove(uuid)).collect();
                let all = done.iter().all(|done| *done == Done::Changed);
                return Ok(if all { Done::Changed } else { Done::NotThere });
            }
            Command::Activate { name, uuid } => {
                if self.matching(title, name, uuid)?.is_some() {
                    self.active.insert(uuid.clone());
                }
            }
            Command::Deactivate { uuids } => self.active.retain(|uuid| !uuids.contains(uuid)),
            Command::Retag {
                name,
                uuid,
                add,
                del,
            } => {
                let Some(lv) = self.matching(title, name, uuid)? else {
                    return Ok(Done::NotThere);
                };
                retag(&mut lv.tags, add, del);
            }
            Command::RetagVg { add, del } => retag(&mut self.vg.tags, add, del),
            // The parts of a pool are no LVs of their own here.
            Command::RefreshVg | Command::DeactivatePoolParts { .. } => {}
            Command::ActivatePool { pool } => {
                let uuid = self.need(title, pool)?.uuid.clone();
                self.active.insert(uuid);
            }
            Command::ExtendPool { pool, by } => {
                let size = self.need(title, pool)?.size.0 / EXTENT.0;
                self.resize(title, pool, Extents(size + by.0))?;
            }
            Command::ExtendPoolMetadata { pool, by } => {
                self.need(title, pool)?;
                self.take(title, Extents(by.0.div_ceil(EXTENT.0)))?;
            }
            Command::Move { pv, first, last } => {
                let found = self.pvs.iter_mut().find(|report| report.name == *pv);
                let report =
                    found.ok_or_else(|| error(LvmErrorKind::NotFound, title, "not found"))?;
                let moved = last + 1 - first;
                report.used.0 -= moved;
                report.free_elsewhere.0 -= moved;
                report.first = report
                    .first
                    .map(|(start, len)| (start + moved, Extents(len.0 - moved)))
                    .filter(|(_, len)| len.0 > 0);
            }
            Command::AbortMove { pv } => self.moves.retain(|report| report.pv != *pv),
            Command::Allocate { .. } => {}
            Command::ErrorWhenFull { pool } => {
                self.need(title, pool)?;
                if let Some(report) = &mut self.pool {
                    report.error_when_full = true;
                }
            }
        }
        Ok(Done::Changed)
    }
}

fn retag(tags: &mut Vec<Tag>, add: &[Tag], del: &[Tag]) {
    tags.retain(|tag| !del.contains(tag));
    for tag in add {
        if !tags.contains(tag) {
            tags.push(tag.clone());
        }
    }
}

fn error(kind: LvmErrorKind, title: &str, cause: &str) -> LvmError {
    LvmError {
        kind,
        operation: title.to_owned(),
        cause: cause.to_owned(),
    }
}

impl Lvm for FakeLvm {
    fn report(&self, vg: &VgName) -> Result<VgReport, LvmError> {
        let mut state = self.state();
        let title = format!("lvs {vg}");
        state.log.push(title.clone());
        if state.vg.name != *vg {
            let cause = format!("Volume group \"{vg}\" not found");
            return Err(error(LvmErrorKind::NotFound, &title, &cause));
        }
        Ok(state.vg.clone())
    }

    fn name_of(&self, vg: &LvmUuid) -> Result<Option<VgName>, LvmError> {
        let state = self.state();
        Ok((state.vg.uuid == *vg).then(|| state.vg.name.clone()))
    }

    fn pool(&self, vg: &VgName, pool: &LvName) -> Result<PoolReport, LvmError> {
        let mut state = self.state();
        let title = format!("lvs {vg}/{pool}");
        state.log.push(title.clone());
        let uuid = state.need(&title, pool)?.uuid.clone();
        state
            .pool
            .clone()
            .filter(|report| report.uuid == uuid)
            .ok_or_else(|| error(LvmErrorKind::Failed, &title, "not a pool"))
    }

    fn thin_devices(&self, vg: &VgName, _pool: &LvName) -> Result<Vec<ThinDevice>, LvmError> {
        let mut state = self.state();
        state.log.push(format!("lvs {vg}"));
        Ok(state.thin_devices.clone())
    }

    fn pv(&self, pv: &PvName) -> Result<PvReport, LvmError> {
        let mut state = self.state();
        let title = format!("pvs {pv}");
        state.log.push(title.clone());
        let found = state.pvs.iter().find(|report| report.name == *pv).cloned();
        found.ok_or_else(|| error(LvmErrorKind::NotFound, &title, "not found"))
    }

    fn moves(&self, vg: &VgName) -> Result<Vec<MoveReport>, LvmError> {
        let mut state = self.state();
        state.log.push(format!("lvs -a {vg}"));
        Ok(state.moves.clone())
    }

    fn change(&self, vg: &VgName, change: &Command) -> Result<Done, LvmError> {
        let mut state = self.state();
        let title = change.title(vg);
        state.log.push(title.clone());
        if let Some(Some(kind)) = state.failures.pop_front() {
            return Err(error(kind, &title, "made to fail"));
        }
        state.apply(&title, change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_with_cow_snapshots_stay() {
        let vg = "vg0".parse().unwrap();
        let fake = FakeLvm::new(&vg, Extents(100), None);
        let (a, s): (LvName, LvName) = ("a".parse().unwrap(), "s".parse().unwrap());
        let make = Command::CreateThick {
            name: a.clone(),
            extents: Extents(2),
            tags: vec![],
        };
        fake.change(&vg, &make).unwrap();
        fake.change(
            &vg,
            &Command::SnapshotCow {
                name: s.clone(),
                origin: a.clone(),
                extents: Extents(3),
                tags: vec![],
            },
        )
        .unwrap();
        assert_eq!(fake.report(&vg).unwrap().free, Extents(95));
        let id = |name: &LvName| fake.state().lv(name).map(|lv| lv.uuid.clone()).unwrap();
        let (a, s) = (
            Command::Remove {
                uuids: vec![id(&a)],
            },
            Command::Remove {
                uuids: vec![id(&s)],
            },
        );
        assert_eq!(fake.change(&vg, &a), Ok(Done::NotThere));
        assert_eq!(fake.change(&vg, &s), Ok(Done::Changed));
        assert_eq!(fake.change(&vg, &a), Ok(Done::Changed));
        assert_eq!(fake.report(&vg).unwrap().free, Extents(100));
    }
}
