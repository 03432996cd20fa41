use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bd_model::BrickId;
use bd_proto::{EngineSpec, Fault, FaultKind};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use bd_engine::{Engine, EngineError};
use bd_engine::{Engines, place};

pub use bd_proto::BRICK_FOLDER as FOLDER;

/// The configuration of a brick, kept in its directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrickConfig {
    /// Version of this file's form.
    pub version: u32,
    /// The identity of the brick.
    pub id: BrickId,
    /// Name of the top image directory.
    pub top: String,
    /// Whether volumes that exist already appear as files.
    pub adopt: bool,
    /// The Gluster volume that has attached the brick.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<Uuid>,
    /// The identity of the VG where its images live, by which that is found under another name. Older
    /// configurations have none until their brick is attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vg_uuid: Option<String>,
    /// Where its images live.
    pub engine: EngineSpec,
}

impl BrickConfig {
    /// The version of the form that is written.
    pub const VERSION: u32 = 1;

    /// Where the configuration of the brick in `dir` is.
    pub fn path(dir: &Path) -> PathBuf {
        dir.join(FOLDER).join(bd_proto::BRICK_CONFIGURATION)
    }

    /// The configuration of the brick in `dir`; `None` if it is not a brick of ours.
    pub fn load(dir: &Path) -> Result<Option<BrickConfig>, Fault> {
        read(&BrickConfig::path(dir))
    }

    /// As [`BrickConfig::load`], of a brick that must be one.
    pub fn load_known(dir: &Path) -> Result<BrickConfig, Fault> {
        BrickConfig::load(dir)?.ok_or_else(|| {
            Fault::new(
                FaultKind::NotFound,
                format!(
                    "{} is not a brick of gluster-bd; make it one with: gluster-bd brick init {0}",
                    dir.display()
                ),
            )
        })
    }

    /// Opens the VG or store. A VG that is called otherwise by now is found by its identity, and this
    /// configuration then says so; [`BrickConfig::note`] writes it.
    pub(crate) fn open(&mut self, engines: &dyn Engines) -> Result<Arc<dyn Engine>, EngineError> {
        let error = match engines.open(&self.engine) {
            Err(error) if error.kind == FaultKind::NotFound => error,
            result => return result,
        };
        let identity = self.vg_uuid.as_deref();
        let Some(spec) = identity.map_or(Ok(None), |id| engines.find(&self.engine, id))? else {
            return Err(error);
        };
        let engine = engines.open(&spec)?;
        tracing::warn!("{} is {} now", place(&self.engine), place(&spec));
        self.engine = spec;
        Ok(engine)
    }

    /// Writes the configuration, with the identity of its VG, if it differs from what is in `dir`.
    pub(crate) fn note(&mut self, dir: &Path, engine: &dyn Engine) -> Result<(), Fault> {
        self.vg_uuid = engine.identity();
        if BrickConfig::load(dir)?.as_ref() != Some(self) {
            self.prepare(dir)?;
            BrickConfig::place(dir)?;
        }
        Ok(())
    }

    /// What an earlier, unfinished init prepared in `dir`.
    pub(crate) fn load_prepared(dir: &Path) -> Result<Option<BrickConfig>, Fault> {
        read(&bd_durable::new_name(&BrickConfig::path(dir)))
    }

    /// Writes the configuration beside its place.
    pub fn prepare(&self, dir: &Path) -> Result<(), Fault> {
        let text = toml::to_string(self).map_err(|e| unwritable(dir, &e))?;
        let text = format!("# The brick's configuration, written by gluster-bdd.\n{text}");
        bd_durable::prepare(&BrickConfig::path(dir), text.as_bytes())
            .map_err(|e| unwritable(dir, &e))
    }

    /// Puts a prepared configuration into its place.
    pub fn place(dir: &Path) -> Result<(), Fault> {
        bd_durable::place(&BrickConfig::path(dir)).map_err(|e| unwritable(dir, &e))
    }
}

fn unwritable(dir: &Path, error: &dyn std::fmt::Display) -> Fault {
    let path = BrickConfig::path(dir);
    Fault::new(
        FaultKind::Failed,
        format!("cannot write {}: {error}", path.display()),
    )
}

fn read(path: &Path) -> Result<Option<BrickConfig>, Fault> {
    let broken = |error: &dyn std::fmt::Display| {
        let message = format!("cannot read {}: {error}", path.display());
        Fault::new(FaultKind::Failed, message)
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(broken(&error)),
    };
    let config: BrickConfig = toml::from_str(&text).map_err(|error| broken(&error))?;
    if config.version != BrickConfig::VERSION {
        return Err(broken(&format_args!(
            "it has version {} and this gluster-bdd knows version {}; install a newer one",
            config.version,
            BrickConfig::VERSION
        )));
    }
    Ok(Some(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(engine: EngineSpec) -> BrickConfig {
        BrickConfig {
            version: BrickConfig::VERSION,
            id: BrickId::random(),
            top: "vg0".into(),
            adopt: true,
            volume: Some(Uuid::from_u128(7)),
            vg_uuid: None,
            engine,
        }
    }

    #[test]
    fn configurations_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(FOLDER)).unwrap();
        assert_eq!(BrickConfig::load(dir.path()).unwrap(), None);
        for engine in [
            EngineSpec::Lvm {
                vg: "vg0".parse().unwrap(),
                pool: Some("pool".parse().unwrap()),
            },
            EngineSpec::Lvm {
                vg: "vg0".parse().unwrap(),
                pool: None,
            },
            EngineSpec::File {
                store: "/srv/a b".into(),
            },
        ] {
            let config = config(engine);
            config.prepare(dir.path()).unwrap();
            BrickConfig::place(dir.path()).unwrap();
            assert_eq!(BrickConfig::load(dir.path()).unwrap(), Some(config));
        }
    }

    #[test]
    fn unknown_versions_and_broken_files_are_told_from_missing_ones() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(FOLDER)).unwrap();
        let mut later = config(EngineSpec::File { store: "/s".into() });
        later.version = 2;
        later.prepare(dir.path()).unwrap();
        BrickConfig::place(dir.path()).unwrap();
        let message = BrickConfig::load(dir.path()).unwrap_err().message;
        assert!(message.contains("version 2"), "{message}");
        std::fs::write(BrickConfig::path(dir.path()), "id = 3").unwrap();
        assert!(BrickConfig::load(dir.path()).is_err());
    }
}
