//! The engines of this program, and which of them serves which specification.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bd_engine::events::Events;
use bd_engine::thin_pool::Policies;
use bd_engine::{Engine, EngineError, Engines, place};
use bd_lvm::{Door, Lvm, LvmConfig};
use bd_model::{LvName, VgName};
use bd_proto::{EngineSpec, FaultKind};

use crate::engine_file::FileEngine;
use crate::engine_lvm::LvmEngine;
use crate::metrics::{Commands, Measured};

/// The engines of this program.
///
/// A VG or store has one engine at a time: who asks while it is open gets the same, because an
/// engine that is opened cleans up after crashes and remembers what it alone has changed.
#[derive(Debug, Default)]
pub struct Installed {
    policies: Arc<Policies>,
    commands: Commands,
    events: Events,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lvm: Option<Arc<dyn Lvm>>,
    open: Vec<Weak<dyn Engine>>,
}

impl Installed {
    /// Engines whose pools are looked after by `policies`, and whose use of LVM is measured by
    /// `commands`.
    pub fn new(policies: Arc<Policies>, commands: Commands) -> Installed {
        Installed {
            policies,
            commands,
            events: Events::default(),
            state: Mutex::default(),
        }
    }

    /// Lets them tell of their pools by `events`.
    #[must_use]
    pub fn with_events(self, events: Events) -> Installed {
        Installed { events, ..self }
    }
}

impl Engines for Installed {
    fn open(&self, spec: &EngineSpec) -> Result<Arc<dyn Engine>, EngineError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open.retain(|engine| engine.strong_count() > 0);
        let engine = match spec {
            EngineSpec::File { store } => state.file(store)?,
            EngineSpec::Lvm { vg, pool } => state.lvm(vg, pool.as_ref(), self)?,
        };
        state.open.push(Arc::downgrade(&engine));
        Ok(engine)
    }

    fn find(&self, spec: &EngineSpec, identity: &str) -> Result<Option<EngineSpec>, EngineError> {
        let (EngineSpec::Lvm { vg, pool }, Ok(identity)) = (spec, identity.parse()) else {
            return Ok(None);
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let name = state.door(&self.commands)?.name_of(&identity);
        let name = name.map_err(|error| EngineError {
            kind: FaultKind::Failed,
            message: format!("cannot look for volume group {vg} by its identity"),
            source: Some(Box::new(error)),
        })?;
        Ok(name.filter(|name| name != vg).map(|vg| EngineSpec::Lvm {
            vg,
            pool: pool.clone(),
        }))
    }
}

impl State {
    fn opened(&self, fits: impl Fn(&EngineSpec) -> bool) -> Option<Arc<dyn Engine>> {
        let mut open = self.open.iter().filter_map(Weak::upgrade);
        open.find(|engine| fits(&engine.spec()))
    }

    fn file(&self, folder: &Path) -> Result<Arc<dyn Engine>, EngineError> {
        let engine = Arc::new(FileEngine::open(folder)?);
        let spec = engine.spec();
        Ok(self.opened(|other| *other == spec).unwrap_or(engine))
    }

    fn lvm(
        &mut self,
        vg: &VgName,
        pool: Option<&LvName>,
        settings: &Installed,
    ) -> Result<Arc<dyn Engine>, EngineError> {
        let same_vg =
            |spec: &EngineSpec| matches!(spec, EngineSpec::Lvm { vg: other, .. } if other == vg);
        if let Some(engine) = self.opened(same_vg) {
            let wanted = EngineSpec::Lvm {
                vg: vg.clone(),
                pool: pool.cloned(),
            };
            let present = engine.spec();
            if present == wanted {
                return Ok(engine);
            }
            return Err(EngineError::new(
                FaultKind::InUse,
                format!(
                    "cannot use {}: a brick uses {}; choose another volume group",
                    place(&wanted),
                    place(&present)
                ),
            ));
        }
        let lvm = self.door(&settings.commands)?;
        let engine = LvmEngine::open(lvm, vg, pool)?;
        let engine = engine.with_policies(Arc::clone(&settings.policies));
        Ok(Arc::new(engine.with_events(settings.events.clone())))
    }

    /// LVM, opened when the first brick needs it: hosts with the file engine alone may not have it.
    fn door(&mut self, commands: &Commands) -> Result<Arc<dyn Lvm>, EngineError> {
        if let Some(lvm) = &self.lvm {
            return Ok(Arc::clone(lvm));
        }
        let door = Door::open(&LvmConfig::detect()).map_err(|error| EngineError {
            kind: FaultKind::Failed,
            message: "cannot open LVM".into(),
            source: Some(Box::new(error)),
        })?;
        let lvm: Arc<dyn Lvm> = Arc::new(Measured::new(Arc::new(door), commands.clone()));
        self.lvm = Some(Arc::clone(&lvm));
        Ok(lvm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_has_one_engine_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let spec = EngineSpec::File {
            store: folder.path().join("."),
        };
        let engines = Installed::default();
        let first = engines.open(&spec).unwrap();
        let second = engines.open(&spec).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
    }
}
