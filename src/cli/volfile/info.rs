use std::collections::HashMap;
use std::str::FromStr;

use uuid::Uuid;

/// The option that turns a volume into one of ours.
const SWITCH: &str = "user.bd";
/// The option that says how bricks do I/O.
const IO_ENGINE: &str = "user.bd.io-engine";
/// The option that says whether reads and writes of images go past io-threads.
const BYPASS: &str = "user.bd.bypass";
/// The option that says what becomes of images whose names a brick has lost.
const LOST_NAMES: &str = "user.bd.lost-names";

/// The option by which large files are kept in pieces.
const SHARD: &str = "features.shard";

/// The option by which removed files are kept.
const TRASH: &str = "features.trash";

/// The option that says who may make a plain file an image.
const CONVERT: &str = "user.bd.convert";

/// What glusterd keeps of a volume in its file `info`: lines of `key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeInfo {
    /// The volume's identity.
    pub id: Uuid,
    /// Whether `user.bd` is on.
    pub is_ours: bool,
    /// How bricks shall do I/O, where `user.bd.io-engine` says it.
    pub io_engine: Option<String>,
    /// Whether reads and writes of images go past io-threads: unless `user.bd.bypass` is off.
    pub bypass: bool,
    /// Whether heal brings back what a brick has lost: others have the same files, and
    /// `user.bd.lost-names` is not `show` (on a dispersed volume it makes no difference).
    pub heals: bool,
    /// Whether large files are kept in pieces (`features.shard`).
    pub is_sharded: bool,
    /// Whether removed files, but for images, are kept (`features.trash`).
    pub has_trash: bool,
    /// Whether root alone may make plain files images: `user.bd.convert` is `root`.
    pub root_converts: bool,
}

/// Why an info file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InfoError {
    /// There is no `volume-id`, or it is not a UUID.
    #[error("it has no valid volume-id")]
    Id,
    /// The switch has an unknown value.
    #[error("{0} is {1:?}; set it to on or off")]
    Switch(&'static str, String),
    /// The engine has an unknown value.
    #[error("user.bd.io-engine is {0:?}; set it to uring or threads")]
    IoEngine(String),
    /// The option has an unknown value.
    #[error("user.bd.lost-names is {0:?}; set it to heal or show")]
    LostNames(String),
    /// The option has an unknown value.
    #[error("user.bd.convert is {0:?}; set it to owner or root")]
    Convert(String),
}

impl FromStr for VolumeInfo {
    type Err = InfoError;

    fn from_str(text: &str) -> Result<VolumeInfo, InfoError> {
        let values: HashMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .collect();
        let id = values
            .get("volume-id")
            .and_then(|value| value.parse().ok())
            .ok_or(InfoError::Id)?;
        let switch = |key| values.get(key).map(|value| boolean(key, value)).transpose();
        let is_ours = switch(SWITCH)?.unwrap_or(false);
        let bypass = switch(BYPASS)?.unwrap_or(true);
        let io_engine = values.get(IO_ENGINE).map(|value| (*value).to_owned());
        if let Some(engine) = &io_engine
            && !["uring", "threads"].contains(&engine.as_str())
        {
            return Err(InfoError::IoEngine(engine.clone()));
        }
        let count = |key| values.get(key).and_then(|value| value.parse::<u32>().ok());
        let is_dispersed = count("disperse_count") > Some(0);
        let heals = match values.get(LOST_NAMES) {
            None | Some(&"heal") => is_dispersed || count("replica_count") > Some(1),
            // A fragment shows nothing, and EC would remove it.
            Some(&"show") => is_dispersed,
            Some(word) => return Err(InfoError::LostNames((*word).to_owned())),
        };
        let root_converts = match values.get(CONVERT) {
            None | Some(&"owner") => false,
            Some(&"root") => true,
            Some(word) => return Err(InfoError::Convert((*word).to_owned())),
        };
        Ok(VolumeInfo {
            id,
            is_sharded: switch(SHARD)?.unwrap_or(false),
            has_trash: switch(TRASH)?.unwrap_or(false),
            is_ours,
            io_engine,
            bypass,
            heals,
            root_converts,
        })
    }
}

/// The words that GlusterFS takes for a boolean.
pub(super) fn boolean(key: &'static str, value: &str) -> Result<bool, InfoError> {
    match value.to_ascii_lowercase().as_str() {
        "on" | "yes" | "true" | "enable" | "1" => Ok(true),
        "off" | "no" | "false" | "disable" | "0" => Ok(false),
        _ => Err(InfoError::Switch(key, value.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_info_file_is_read() {
        let text = include_str!("../testdata/volume.info");
        let info: VolumeInfo = text.parse().unwrap();
        assert!(info.is_ours);
        assert_eq!(info.id.to_string(), "e10157cf-3136-4f58-b8f0-e27b5e538ac4");
        let off = text.replace("user.bd=on", "user.bd=off");
        assert!(!off.parse::<VolumeInfo>().unwrap().is_ours);
        let unset = text.replace("user.bd=on\n", "user.bd.gen=1\n");
        assert!(!unset.parse::<VolumeInfo>().unwrap().is_ours);
        assert_eq!(info.io_engine, None);
        assert!(info.bypass);
        let through = format!("{text}user.bd.bypass=off\n");
        assert!(!through.parse::<VolumeInfo>().unwrap().bypass);
        assert!(!info.heals);
        let replicated = text.replace("replica_count=1", "replica_count=3");
        assert!(replicated.parse::<VolumeInfo>().unwrap().heals);
        let dispersed = text.replace("disperse_count=0", "disperse_count=3");
        assert!(dispersed.parse::<VolumeInfo>().unwrap().heals);
        let shown = format!("{replicated}user.bd.lost-names=show\n");
        assert!(!shown.parse::<VolumeInfo>().unwrap().heals);
        let fragments = format!("{dispersed}user.bd.lost-names=show\n");
        assert!(fragments.parse::<VolumeInfo>().unwrap().heals);
        assert!(!info.is_sharded);
        let sharded = format!("{text}features.shard=enable\n");
        assert!(sharded.parse::<VolumeInfo>().unwrap().is_sharded);
        let unknown = format!("{text}user.bd.lost-names=hide\n");
        let unknown = unknown.parse::<VolumeInfo>();
        assert_eq!(unknown, Err(InfoError::LostNames("hide".into())));
        assert!(!info.root_converts);
        let by_root = format!("{text}user.bd.convert=root\n");
        assert!(by_root.parse::<VolumeInfo>().unwrap().root_converts);
        let by_all = format!("{text}user.bd.convert=all\n");
        assert_eq!(
            by_all.parse::<VolumeInfo>(),
            Err(InfoError::Convert("all".to_owned()))
        );
        let threads = format!("{text}user.bd.io-engine=threads\n");
        let threads: VolumeInfo = threads.parse().unwrap();
        assert_eq!(threads.io_engine.as_deref(), Some("threads"));
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!("a=b".parse::<VolumeInfo>(), Err(InfoError::Id));
        let text = format!("volume-id={}\nuser.bd=maybe\n", Uuid::from_u128(1));
        assert_eq!(
            text.parse::<VolumeInfo>(),
            Err(InfoError::Switch("user.bd", "maybe".into()))
        );
        let text = text.replace("user.bd=maybe", "user.bd.io-engine=fast");
        assert_eq!(
            text.parse::<VolumeInfo>(),
            Err(InfoError::IoEngine("fast".into()))
        );
    }
}
