//! Long work in the background: what is told of it, and what a brick is given to do.

use std::fmt;
use std::path::PathBuf;

use bd_model::{Bytes, Gfid, VgName};
use serde::{Deserialize, Serialize};

/// What is told of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobInfo {
    /// Its number; counts up, and is never used again.
    pub id: u64,
    /// What it does.
    pub kind: JobKind,
    /// How far it has come.
    pub state: JobState,
    /// The volume group.
    pub vg: VgName,
    /// The directory of the brick that uses the group.
    pub brick: PathBuf,
    /// The image, if it is about one.
    pub gfid: Option<Gfid>,
    /// The image's path in its volume when the job was made, or the name of its LV; or the disk.
    pub name: String,
    /// Bytes that are done.
    pub done: Bytes,
    /// Bytes that there are to do; `null` until that is known.
    pub total: Option<Bytes>,
    /// Bytes a second lately; zero unless it is running.
    pub rate: Bytes,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// When it was begun, in seconds since 1970.
    pub started: Option<u64>,
    /// When it ended, in seconds since 1970.
    pub ended: Option<u64>,
    /// Why it waits, or why it failed or was cancelled.
    pub reason: Option<String>,
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Makes a clone independent of its source, chunk by chunk.
    Hydrate,
    /// Moves all that lies on a disk to other disks of its group.
    Evacuate,
    /// Zeroes the blocks that a thick image has gained.
    Zero,
}

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits for its turn, or for its brick.
    Queued,
    /// It is under way.
    Running,
    /// Somebody has paused it, or it waits for space.
    Paused,
    /// It is finished.
    Done,
    /// It could not be finished.
    Failed,
    /// It was cancelled, or what it worked on is gone.
    Cancelled,
}

/// What somebody wants of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobOrder {
    /// Rest until it is resumed, also over restarts.
    Pause,
    /// Go on.
    Resume,
    /// End it; what it has done stays.
    Cancel,
}

/// A piece of a job that a brick is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// The job.
    pub job: u64,
    /// The image whose chunks are to become its own.
    pub gfid: Gfid,
    /// Where they are, in order: the first byte, and the byte behind the last one.
    pub spans: Vec<(Bytes, Bytes)>,
    /// Bytes of a chunk.
    pub chunk: Bytes,
    /// Bytes a second that it may do at most.
    pub rate: Option<Bytes>,
}

/// What became of a piece of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkReport {
    /// The job.
    pub job: u64,
    /// Bytes that are done, from the beginning of the first span on.
    pub done: Bytes,
    /// Why it went no further.
    pub stopped: Option<WorkStop>,
}

/// Why a brick did not go on with a piece of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkStop {
    /// It cannot be done now, but perhaps later.
    Later(String),
    /// The image is gone.
    Gone,
    /// It cannot be done.
    Failed(String),
}

impl JobState {
    /// Whether it will never change any more.
    pub fn is_over(self) -> bool {
        matches!(
            self,
            JobState::Done | JobState::Failed | JobState::Cancelled
        )
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            JobKind::Hydrate => "hydrate",
            JobKind::Evacuate => "evacuate",
            JobKind::Zero => "zero",
        })
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Paused => "paused",
            JobState::Done => "done",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
        })
    }
}
