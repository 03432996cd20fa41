use std::path::PathBuf;

use glusterfs::{Dict, InitError, Xlator};
use uuid::Uuid;

use crate::Storage;
use crate::io_engine::IoEngine;

/// The option that says who may make a plain file an image.
const CONVERT: &str = "convert";

/// What the volfile says of a brick.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The brick's directory.
    pub(crate) dir: PathBuf,
    /// The volume that it belongs to.
    pub(crate) volume: Uuid,
    /// Whether heal brings back what the brick has lost: other bricks have the same files.
    pub(crate) heals: bool,
    pub(crate) engine: IoEngine,
    /// Whether root alone may make plain files images: the option `convert`.
    pub(crate) root_converts: bool,
    /// Whether posix keeps the times that clients give to fops (`features.ctime`, on by default).
    pub(crate) times_by_clients: bool,
}

impl Setup {
    /// Reads the options of the translator, and of posix below it.
    ///
    /// # Errors
    /// The option that is missing or makes no sense.
    pub(crate) fn read(xl: Xlator<Storage>) -> Result<Setup, InitError> {
        let posix = xl.first_child().ok_or_else(|| {
            InitError("storage/bd has nothing below it; it stands on storage/posix".to_owned())
        })?;
        let dir = posix.option("directory").ok_or_else(|| {
            InitError(format!(
                "{} has no option directory; check the volfile",
                posix.name()
            ))
        })?;
        let volume = xl
            .option("volume-id")
            .or_else(|| posix.option("volume-id"))
            .ok_or_else(|| {
                InitError("option volume-id is missing; check the volfile".to_owned())
            })?;
        let volume: Uuid = volume
            .parse()
            .map_err(|error| InitError(format!("volume-id {volume:?}: {error}")))?;
        let heals = match xl.option("heals").as_deref() {
            Some("on") => true,
            Some("off") | None => false,
            Some(word) => return Err(InitError(format!("heals is {word:?}; set it to on or off"))),
        };
        let engine: IoEngine = match xl.option("io-engine") {
            Some(word) => word.parse().map_err(InitError)?,
            None => IoEngine::default(),
        };
        let times = posix.option("ctime");
        Ok(Setup {
            dir: dir.into(),
            volume,
            heals,
            engine,
            root_converts: is_root_alone(xl.option(CONVERT).as_deref())?,
            times_by_clients: !times.is_some_and(|word| {
                ["off", "no", "false", "disable", "0"].contains(&word.as_str())
            }),
        })
    }

    /// Takes the options that may change while the brick runs.
    ///
    /// # Errors
    /// The option that makes no sense; nothing is taken then.
    pub(crate) fn change(&mut self, options: &Dict<'_>) -> Result<(), InitError> {
        self.root_converts = is_root_alone(options.get_str(CONVERT).as_deref())?;
        Ok(())
    }
}

/// What the option `convert` says.
fn is_root_alone(word: Option<&str>) -> Result<bool, InitError> {
    match word {
        None | Some("owner") => Ok(false),
        Some("root") => Ok(true),
        Some(word) => Err(InitError(format!(
            "{CONVERT} is {word:?}; set it to owner or root"
        ))),
    }
}
