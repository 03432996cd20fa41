//! The engines of this program, and which of them serves which specification.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bd_engine::events::Events;
use bd_engine::thin_pool::Policies;
use bd_engine::{Engine, EngineError, Engines, place};
use bd_engine_file::FileEngines;
use bd_engine_lvm::LvmEngine;
use bd_lvm::{Executor, Lvm, LvmConfig};
use bd_model::{LvName, VgName};
use bd_proto::{EngineSpec, FaultKind};

use crate::metrics::{Commands, Measured};

/// The engines of this program.
///
/// A VG has one engine at a time, as a store has: who asks while it is open gets the same, because an
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
    files: FileEngines,
    lvm: Option<Arc<dyn Lvm>>,
    groups: Vec<Weak<LvmEngine>>,
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
        match spec {
            EngineSpec::File { .. } => state.files.open(spec),
            EngineSpec::Lvm { vg, pool } => Ok(state.group(vg, pool.as_ref(), self)?),
        }
    }

    fn find(&self, spec: &EngineSpec, identity: &str) -> Result<Option<EngineSpec>, EngineError> {
        let (EngineSpec::Lvm { vg, pool }, Ok(identity)) = (spec, identity.parse()) else {
            return Ok(None);
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let name = state.executor(&self.commands)?.name_of(&identity);
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
    fn group(
        &mut self,
        vg: &VgName,
        pool: Option<&LvName>,
        settings: &Installed,
    ) -> Result<Arc<LvmEngine>, EngineError> {
        self.groups.retain(|engine| engine.strong_count() > 0);
        let same_vg = |engine: &Arc<LvmEngine>| matches!(engine.spec(), EngineSpec::Lvm { vg: other, .. } if other == *vg);
        if let Some(engine) = self.groups.iter().filter_map(Weak::upgrade).find(same_vg) {
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
        let lvm = self.executor(&settings.commands)?;
        let engine = LvmEngine::open(lvm, vg, pool)?;
        let engine = engine.with_policies(Arc::clone(&settings.policies));
        let engine = Arc::new(engine.with_events(settings.events.clone()));
        self.groups.push(Arc::downgrade(&engine));
        Ok(engine)
    }

    /// LVM, opened when the first brick needs it: hosts with the file engine alone may not have it.
    fn executor(&mut self, commands: &Commands) -> Result<Arc<dyn Lvm>, EngineError> {
        if let Some(lvm) = &self.lvm {
            return Ok(Arc::clone(lvm));
        }
        let executor = Executor::open(&LvmConfig::detect()).map_err(|error| EngineError {
            kind: FaultKind::Failed,
            message: "cannot open LVM".into(),
            source: Some(Box::new(error)),
        })?;
        let lvm: Arc<dyn Lvm> = Arc::new(Measured::new(Arc::new(executor), commands.clone()));
        self.lvm = Some(Arc::clone(&lvm));
        Ok(lvm)
    }
}
