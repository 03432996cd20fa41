//! Jobs of the storage server.

use anyhow::{Result, bail};
use bd_proto::{Client, JobInfo, Reply, Request};

/// All jobs that the storage server knows, also of earlier bricks, the oldest first.
pub fn jobs() -> Result<Vec<JobInfo>> {
    match Client::connect(&bd_proto::socket_path(), "test")?.call(&Request::Jobs)? {
        Reply::Jobs(jobs) => Ok(jobs),
        other => bail!("{other:?}"),
    }
}
