//! Which engine serves which specification.

use std::fmt;
use std::sync::Arc;

use bd_proto::EngineSpec;

use crate::engine::{Engine, EngineError};
use crate::engine_file::FileEngine;

/// Opens engines.
pub trait Engines: fmt::Debug + Send + Sync {
    /// Opens the VG or store of a brick; leaves no trace of its own.
    fn open(&self, spec: &EngineSpec) -> Result<Arc<dyn Engine>, EngineError>;
}

/// The engines of this program.
#[derive(Debug, Default)]
pub struct Installed {}

impl Engines for Installed {
    fn open(&self, spec: &EngineSpec) -> Result<Arc<dyn Engine>, EngineError> {
        match spec {
            EngineSpec::File { store } => Ok(Arc::new(FileEngine::open(store)?)),
            EngineSpec::Lvm { vg, .. } => Err(EngineError::new(
                bd_proto::FaultKind::Unsupported,
                format!("cannot use {vg}: this gluster-bdd was built without the lvm engine"),
            )),
        }
    }
}

/// The VG or store of a specification, for messages.
pub(crate) fn place(spec: &EngineSpec) -> String {
    match spec {
        EngineSpec::Lvm { vg, pool: None } => format!("volume group {vg}"),
        EngineSpec::Lvm {
            vg,
            pool: Some(pool),
        } => format!("thin pool {vg}/{pool}"),
        EngineSpec::File { store } => format!("store {}", store.display()),
    }
}
