use std::sync::{Arc, Mutex, PoisonError, Weak};

use bd_engine::{Engine, EngineError, Engines, place};
use bd_proto::{EngineSpec, FaultKind};

use crate::FileEngine;

/// Opens stores.
///
/// A store has one engine at a time: who asks while it is open gets the same, because an engine that is
/// opened cleans up after crashes.
#[derive(Debug, Default)]
pub struct FileEngines {
    open: Mutex<Vec<Weak<FileEngine>>>,
}

impl Engines for FileEngines {
    fn open(&self, spec: &EngineSpec) -> Result<Arc<dyn Engine>, EngineError> {
        let EngineSpec::File { store } = spec else {
            return Err(EngineError::new(
                FaultKind::Unsupported,
                format!("cannot open {}: it is no folder of files", place(spec)),
            ));
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let engine = Arc::new(FileEngine::open(store)?);
        let spec = engine.spec();
        open.retain(|engine| engine.strong_count() > 0);
        let mut others = open.iter().filter_map(Weak::upgrade);
        if let Some(there) = others.find(|other| other.spec() == spec) {
            return Ok(there);
        }
        open.push(Arc::downgrade(&engine));
        Ok(engine)
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
        let engines = FileEngines::default();
        let first = engines.open(&spec).unwrap();
        let second = engines.open(&spec).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
    }
}
