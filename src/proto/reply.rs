use bd_model::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    Adoption, BrickInfo, Fault, Finding, Foreign, ImageInfo, ImageUsage, JobInfo, Opened, PoolInfo,
    RefusedBrick, Released, Space, Work,
};

/// What gluster-bdd answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", content = "with", rename_all = "snake_case")]
pub enum Reply {
    /// To [`crate::Request::Hello`]: the server's [`crate::VERSION`].
    Hello(u32),
    /// Done; nothing else to say.
    Done,
    /// A brick was made or attached.
    Brick(BrickInfo),
    /// What an old brick holds, and what became of it.
    Adoption(Adoption),
    /// One image.
    Image(ImageInfo),
    /// All images.
    Images(Vec<ImageInfo>),
    /// An image was opened; the descriptor comes with the frame.
    Opened(Opened),
    /// Allocated bytes of several images.
    Allocated(Vec<Option<Bytes>>),
    /// Mapped spans of an image, in order: the first byte, and the byte behind the last one.
    /// `null` where that is not known: all of it may hold data.
    Mapped(Option<Vec<(Bytes, Bytes)>>),
    /// LVs that should appear as files.
    Foreign(Vec<Foreign>),
    /// How thin pools are.
    Pools(Vec<PoolInfo>),
    /// What images have read, written and allocated.
    Usage(Vec<ImageUsage>),
    /// The release of the server.
    Release(String),
    /// Bricks that were not taken.
    Refused(Vec<RefusedBrick>),
    /// Space of a brick.
    Space(Space),
    /// A piece of a job; `null` if there is nothing to do now.
    Work(Option<Work>),
    /// Jobs.
    Jobs(Vec<JobInfo>),
    /// A job.
    Job(JobInfo),
    /// A brick is one no more.
    Released(Released),
    /// Whether a merge was done.
    Merged(bool),
    /// What a check found wrong; empty if all is well.
    Findings(Vec<Finding>),
    /// It could not be done, and nothing has changed.
    Fault(Fault),
}
