//! Thin devices of the pool that no LV has.
//!
//! A group whose metadata were written back from an older state does not know what was made since. The
//! pool does, and LVM gives its next thin LV the number behind the highest that it knows: it finds a
//! device of that number there, takes it for the one that it has just asked for, and the new LV begins
//! with the bytes of another one.

use bd_engine::EngineError;
use bd_proto::{FaultKind, Finding, FindingKind};

use super::{LvmEngine, fault};

impl LvmEngine {
    /// Looks for such devices. For the start only: a metadata snapshot that somebody reads is taken away.
    pub(super) fn stray_devices(&self) -> Result<Vec<u32>, EngineError> {
        let Some(pool) = &self.pool else {
            return Ok(Vec::new());
        };
        let what = format!("list the devices of thin pool {}", self.path(&pool.name));
        let known = self
            .lvm
            .thin_devices(&self.vg, &pool.name)
            .map_err(|e| fault::lvm(&what, e))?;
        let highest = known.iter().map(|thin| thin.device).max();
        self.release_metadata()?;
        self.reserve_metadata()?;
        let metadata = format!("{}_tmeta", self.dm_name(&pool.name));
        let there = self.kernel.thin_devices(&metadata);
        self.release_metadata()?;
        let mut strays = there.map_err(|e| fault::failed(&what, e))?;
        strays.retain(|device| highest.is_none_or(|highest| *device > highest));
        Ok(strays)
    }

    /// Refuses to make a thin LV while there are such devices: their bytes would be in it.
    pub(super) fn refuse_strays(&self, what: &str) -> Result<(), EngineError> {
        match self.words_of_strays() {
            None => Ok(()),
            Some(why) => Err(EngineError::new(
                FaultKind::Failed,
                format!("cannot {what}: {why}"),
            )),
        }
    }

    /// What a check says of them.
    pub(super) fn finding_of_strays(&self) -> Option<Finding> {
        self.words_of_strays().map(|message| Finding {
            kind: FindingKind::StrayDevice,
            gfid: None,
            message,
            repaired: false,
        })
    }

    pub(super) fn words_of_strays(&self) -> Option<String> {
        let pool = self.pool.as_ref().filter(|_| !self.strays.is_empty())?;
        let layer = format!("{}-tpool", self.dm_name(&pool.name));
        let each = |form: &dyn Fn(&u32) -> String, between| {
            self.strays
                .iter()
                .map(form)
                .collect::<Vec<_>>()
                .join(between)
        };
        Some(format!(
            "thin pool {} holds what no LV of {} has, under device numbers that LVM would use next \
             ({}): metadata of the group that are older than the pool were written back, and a new \
             image would begin with those bytes. If nothing of it is wanted, remove it and restart \
             gluster-bdd: {}",
            self.path(&pool.name),
            self.vg,
            each(&u32::to_string, ", "),
            each(
                &|device| format!("dmsetup message {layer} 0 \"delete {device}\""),
                "; "
            ),
        ))
    }
}
