use std::path::PathBuf;

use bd_model::{BrickId, Gfid, VgName};
use bd_proto::{JobKind, JobState};
use serde::{Deserialize, Serialize};

/// What is kept of a job. Times are seconds since 1970, sizes bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) id: u64,
    pub(super) kind: JobKind,
    pub(super) state: JobState,
    /// Somebody has paused it; it does not go on by itself.
    pub(super) held: bool,
    pub(super) brick: BrickId,
    pub(super) dir: PathBuf,
    pub(super) vg: VgName,
    pub(super) gfid: Option<Gfid>,
    pub(super) name: String,
    pub(super) done: u64,
    pub(super) total: Option<u64>,
    /// The pool's time at which the clone was made: chunks mapped earlier are its source's.
    pub(super) before: Option<u64>,
    pub(super) created: u64,
    pub(super) started: Option<u64>,
    pub(super) ended: Option<u64>,
    pub(super) reason: Option<String>,
}
