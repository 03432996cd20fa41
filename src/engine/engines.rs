//! Which engine serves which specification.

use std::fmt;
use std::sync::Arc;

use bd_proto::EngineSpec;

use crate::{Engine, EngineError};

/// Opens engines.
pub trait Engines: fmt::Debug + Send + Sync {
    /// Opens the VG or store of a brick; takes nothing for the brick yet.
    fn open(&self, spec: &EngineSpec) -> Result<Arc<dyn Engine>, EngineError>;

    /// What a specification has to be by now, for the VG of that identity ([`Engine::identity`]); `None` if
    /// there is no such VG here, or it is called as ever.
    fn find(&self, spec: &EngineSpec, identity: &str) -> Result<Option<EngineSpec>, EngineError> {
        let _ = (spec, identity);
        Ok(None)
    }
}

/// The VG or store of a specification, for messages.
pub fn place(spec: &EngineSpec) -> String {
    match spec {
        EngineSpec::Lvm { vg, pool: None } => format!("volume group {vg}"),
        EngineSpec::Lvm {
            vg,
            pool: Some(pool),
        } => format!("thin pool {vg}/{pool}"),
        EngineSpec::File { store } => format!("store {}", store.display()),
    }
}
