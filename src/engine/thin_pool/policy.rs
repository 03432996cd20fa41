use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bd_model::{Bytes, VgName};
use serde::{Deserialize, Deserializer};

use super::By;

/// What is done about the thin pool of a VG.
///
/// Percentages are of what is in use; a hundred means never.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Percent of the data in use from which on the pool is extended.
    pub extend_at: u64,
    /// How much it gets each time; a percentage is of its size.
    pub extend_by: By,
    /// Percent of the metadata in use from which on they are extended.
    pub metadata_extend_at: u64,
    /// How much they get each time; a percentage is of their size.
    pub metadata_extend_by: By,
    /// Free space of the VG which the data are not extended by; a percentage is of the VG.
    pub reserve: By,
    /// Percent of the data in use from which on nothing new is made.
    pub refuse_at: u64,
    /// Percent of the metadata in use from which on nothing new is made.
    pub metadata_refuse_at: u64,
    /// How many times its size the images of the pool may have together; none is any number.
    pub overprovision: Option<f64>,
    /// Whether clones are made independent of their sources in the background.
    pub hydrate: bool,
    /// Bytes a second that this may do at most; none is any number.
    pub hydrate_rate: Option<Bytes>,
    /// Bytes a second that are moved at most from a disk which is to be emptied; none is any number.
    pub evacuate_rate: Option<Bytes>,
    /// Bytes a second that are zeroed at most in the background; none is any number.
    pub zero_rate: Option<Bytes>,
    /// After how long an image that nobody has open is deactivated; none means never.
    pub idle: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            extend_at: 80,
            extend_by: By::Percent(20),
            metadata_extend_at: 70,
            metadata_extend_by: By::Percent(50),
            reserve: By::Percent(2),
            refuse_at: 95,
            metadata_refuse_at: 95,
            overprovision: None,
            hydrate: true,
            hydrate_rate: None,
            evacuate_rate: None,
            zero_rate: None,
            idle: Some(Duration::from_secs(600)),
        }
    }
}

/// The policies of all VGs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyFile {
    default: Policy,
    vgs: BTreeMap<VgName, Policy>,
}

/// Why a policy file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error("cannot read the policy file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("the policy file {}, line {line}{}: {why}", path.display(), of_key(key))]
    Content {
        /// The file.
        path: PathBuf,
        /// The line, from one on.
        line: usize,
        /// The key on that line.
        key: Option<String>,
        /// What is wrong with it.
        why: String,
    },
}

fn of_key(key: &Option<String>) -> String {
    key.as_ref()
        .map(|key| format!(", {key}"))
        .unwrap_or_default()
}

/// A table of the file; keys that are left out are as in the table of all VGs, or the built-in.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default, deserialize_with = "percent")]
    extend_at: Option<u64>,
    #[serde(default, deserialize_with = "more")]
    extend_by: Option<By>,
    #[serde(default, deserialize_with = "percent")]
    metadata_extend_at: Option<u64>,
    #[serde(default, deserialize_with = "more")]
    metadata_extend_by: Option<By>,
    #[serde(default)]
    reserve: Option<By>,
    #[serde(default, deserialize_with = "percent")]
    refuse_at: Option<u64>,
    #[serde(default, deserialize_with = "percent")]
    metadata_refuse_at: Option<u64>,
    #[serde(default, deserialize_with = "ratio")]
    overprovision: Option<f64>,
    hydrate: Option<bool>,
    #[serde(default, deserialize_with = "rate")]
    hydrate_rate: Option<Bytes>,
    #[serde(default, deserialize_with = "rate")]
    evacuate_rate: Option<Bytes>,
    #[serde(default, deserialize_with = "rate")]
    zero_rate: Option<Bytes>,
    idle: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    default: Table,
    #[serde(default)]
    vg: BTreeMap<VgName, Table>,
}

fn percent<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    match i64::deserialize(from)? {
        percent @ 1..=100 => Ok(u64::try_from(percent).ok()),
        other => Err(serde::de::Error::custom(format!(
            "{other} is not a percentage from 1 to 100; 100 means never"
        ))),
    }
}

fn more<'de, D: Deserializer<'de>>(from: D) -> Result<Option<By>, D::Error> {
    match By::deserialize(from)? {
        By::Bytes(Bytes(0)) | By::Percent(0) => Err(serde::de::Error::custom(
            "a pool cannot be extended by nothing; to extend it never, set the threshold to 100",
        )),
        by => Ok(Some(by)),
    }
}

fn ratio<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let ratio = f64::deserialize(from)?;
    if ratio == 0.0 || (1.0..=1e9).contains(&ratio) {
        return Ok(Some(ratio));
    }
    Err(serde::de::Error::custom(format!(
        "{ratio} is not a ratio of 1 or more; 0 means any"
    )))
}

/// The slowest rate that still gets anywhere.
const LEAST_RATE: Bytes = Bytes(64 << 10);

fn rate<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Bytes>, D::Error> {
    let text = String::deserialize(from)?;
    match text.trim().parse::<Bytes>() {
        Ok(rate) if rate == Bytes(0) || rate >= LEAST_RATE => Ok(Some(rate)),
        Ok(_) => Err(serde::de::Error::custom(format!(
            "{text:?} a second is too slow; write {LEAST_RATE} or more, or \"0\" for any"
        ))),
        Err(_) => Err(serde::de::Error::custom(format!(
            "{text:?} is not a size; write \"100M\" for 100 MiB a second, or \"0\" for any"
        ))),
    }
}

impl Table {
    fn over(self, below: Policy) -> Policy {
        let Table {
            extend_at,
            extend_by,
            metadata_extend_at,
            metadata_extend_by,
            reserve,
            refuse_at,
            metadata_refuse_at,
            overprovision,
            hydrate,
            hydrate_rate,
            evacuate_rate,
            zero_rate,
            idle,
        } = self;
        // What says "any" in a group's table counts, too.
        let limit = |own: Option<Bytes>, below: Option<Bytes>| match own {
            Some(rate) => Some(rate).filter(|rate| rate.0 > 0),
            None => below,
        };
        Policy {
            extend_at: extend_at.unwrap_or(below.extend_at),
            extend_by: extend_by.unwrap_or(below.extend_by),
            metadata_extend_at: metadata_extend_at.unwrap_or(below.metadata_extend_at),
            metadata_extend_by: metadata_extend_by.unwrap_or(below.metadata_extend_by),
            reserve: reserve.unwrap_or(below.reserve),
            refuse_at: refuse_at.unwrap_or(below.refuse_at),
            metadata_refuse_at: metadata_refuse_at.unwrap_or(below.metadata_refuse_at),
            overprovision: match overprovision {
                Some(ratio) => Some(ratio).filter(|ratio| *ratio > 0.0),
                None => below.overprovision,
            },
            hydrate: hydrate.unwrap_or(below.hydrate),
            hydrate_rate: limit(hydrate_rate, below.hydrate_rate),
            evacuate_rate: limit(evacuate_rate, below.evacuate_rate),
            zero_rate: limit(zero_rate, below.zero_rate),
            idle: match idle {
                Some(seconds) => {
                    Some(Duration::from_secs(seconds.into())).filter(|idle| !idle.is_zero())
                }
                None => below.idle,
            },
        }
    }
}

impl PolicyFile {
    /// Reads the text of the file at `path`.
    pub fn parse(path: &Path, text: &str) -> Result<PolicyFile, PolicyError> {
        let document: Document = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..at]
                .iter()
                .filter(|b| **b == b'\n')
                .count();
            let content = text.lines().nth(line).unwrap_or_default();
            PolicyError::Content {
                path: path.to_owned(),
                line: line + 1,
                key: content
                    .split_once('=')
                    .map(|(key, _)| key.trim().to_owned()),
                why: error.message().trim().replace('\n', "; "),
            }
        })?;
        let default = document.default.over(Policy::default());
        let vgs = document.vg.into_iter();
        Ok(PolicyFile {
            default,
            vgs: vgs.map(|(vg, table)| (vg, table.over(default))).collect(),
        })
    }

    /// The policy of a VG.
    pub fn of(&self, vg: &VgName) -> Policy {
        self.vgs.get(vg).copied().unwrap_or(self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PolicyFile, PolicyError> {
        PolicyFile::parse(Path::new("/etc/p.toml"), text)
    }

    #[test]
    fn a_group_has_its_own_keys_over_those_of_all() {
        let file = parse(
            "[default]\nextend_at = 60\noverprovision = 8\n\n[vg.vg0]\nextend_by = \"10G\"\n\
             reserve = \"5%\"\noverprovision = 0\n[vg.\"a.b\"]\nrefuse_at = 100\n",
        )
        .unwrap();
        let other = file.of(&"other".parse().unwrap());
        assert_eq!((other.extend_at, other.refuse_at), (60, 95));
        assert_eq!(other.overprovision, Some(8.0));
        let vg0 = file.of(&"vg0".parse().unwrap());
        assert_eq!(vg0.extend_at, 60);
        assert_eq!(vg0.extend_by, By::Bytes(Bytes(10 << 30)));
        assert_eq!((vg0.reserve, vg0.overprovision), (By::Percent(5), None));
        assert_eq!(file.of(&"a.b".parse().unwrap()).refuse_at, 100);
        assert_eq!(parse("").unwrap(), PolicyFile::default());
        let moves =
            parse("[default]\nevacuate_rate = \"8M\"\n[vg.a]\nevacuate_rate = \"0\"\n").unwrap();
        let of = |vg: &str| moves.of(&vg.parse().unwrap()).evacuate_rate;
        assert_eq!((of("a"), of("b")), (None, Some(Bytes(8 << 20))));
        let zeros = parse("[default]\nzero_rate = \"8M\"\n[vg.a]\nzero_rate = \"0\"\n").unwrap();
        let of = |vg: &str| zeros.of(&vg.parse().unwrap()).zero_rate;
        assert_eq!((of("a"), of("b")), (None, Some(Bytes(8 << 20))));
        let idle = parse("[default]\nidle = 5\n[vg.a]\nidle = 0\n").unwrap();
        let of = |vg: &str| idle.of(&vg.parse().unwrap()).idle;
        assert_eq!((of("a"), of("b")), (None, Some(Duration::from_secs(5))));
        let jobs = parse("[default]\nhydrate_rate = \"5M\"\n[vg.a]\nhydrate = false\n[vg.b]\nhydrate_rate = \"0\"\n").unwrap();
        let of = |vg: &str| {
            let policy = jobs.of(&vg.parse().unwrap());
            (policy.hydrate, policy.hydrate_rate)
        };
        assert_eq!(of("a"), (false, Some(Bytes(5 << 20))));
        assert_eq!(of("b"), (true, None));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_key() {
        for (text, said) in [
            (
                "[default]\nextend_at = 120\n",
                "the policy file /etc/p.toml, line 2, extend_at: 120 is not a percentage",
            ),
            (
                "[default]\n\nrefuse_at = 0\n",
                "line 3, refuse_at: 0 is not",
            ),
            ("[default]\nextend_at = \"x\"\n", "line 2, extend_at: "),
            (
                "[vg.v]\nextend_by = \"20\"\nextend_by = \"1\"\n",
                "line 3, extend_by: ",
            ),
            (
                "[vg.v]\nextend_by = \"0%\"\n",
                "line 2, extend_by: a pool cannot",
            ),
            (
                "[vg.v]\nreserve = \"much\"\n",
                "line 2, reserve: \"much\" is neither",
            ),
            (
                "[vg.v]\noverprovision = 0.5\n",
                "line 2, overprovision: 0.5 is not a ratio",
            ),
            (
                "[vg.v]\nextent_at = 80\n",
                "line 2, extent_at: unknown field",
            ),
            (
                "[vg.v]\nhydrate_rate = \"1K\"\n",
                "line 2, hydrate_rate: \"1K\" a second is too slow",
            ),
            (
                "[vg.v]\nhydrate_rate = \"fast\"\n",
                "line 2, hydrate_rate: \"fast\" is not a size",
            ),
            (
                "[vg.v]\nevacuate_rate = \"1K\"\n",
                "line 2, evacuate_rate: \"1K\" a second is too slow",
            ),
            (
                "[vg.v]\nzero_rate = \"1K\"\n",
                "line 2, zero_rate: \"1K\" a second is too slow",
            ),
            ("[vg.v]\nhydrate = 1\n", "line 2, hydrate: "),
            ("[vg.v]\nidle = -1\n", "line 2, idle: "),
            ("[vg.-v]\nextend_at = 80\n", "line 1"),
            ("[defaults]\nextend_at = 80\n", "line 1: unknown field"),
            ("[default]\nextend_at 80\n", "line 2"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_manual_shows_the_built_in_policy() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/server.md");
        let text = std::fs::read_to_string(path).unwrap();
        let block = text.split("```toml\n").nth(1).unwrap();
        let file = parse(block.split("```").next().unwrap()).unwrap();
        assert_eq!(file.of(&"other".parse().unwrap()), Policy::default());
        let vg0 = file.of(&"vg0".parse().unwrap());
        assert_eq!(vg0.extend_by, By::Bytes(Bytes(100 << 30)));
    }

    #[test]
    fn the_example_is_the_built_in_policy() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/policy.toml");
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(parse(&text).unwrap(), PolicyFile::default());
        // Each key is shown in it, with a hash before it.
        let shown: String = text
            .lines()
            .filter(|line| line.contains(" = ") || line.contains('['))
            .map(|line| format!("{}\n", line.trim_start_matches("# ")))
            .collect();
        let all = parse(&shown).unwrap();
        let default = all.of(&"other".parse().unwrap());
        assert_eq!(default, Policy::default(), "{shown}");
        for key in [
            "extend_at",
            "extend_by",
            "reserve",
            "refuse_at",
            "overprovision",
            "hydrate",
            "hydrate_rate",
            "evacuate_rate",
            "zero_rate",
            "idle",
        ] {
            assert!(shown.contains(&format!("\n{key} = ")), "{key}");
        }
    }
}
