use bd_model::Bytes;
use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::storage::{Growth, Pool, PoolPath, extend};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct PoolExtend {
    /// The pool
    #[arg(value_name = "VG/POOL")]
    pool: PoolPath,
    /// What its data get: a size, +SIZE more, or +PCT%FREE of what the volume group has left
    #[arg(value_name = "[+]SIZE|+PCT%FREE", required_unless_present = "metadata")]
    size: Option<Growth>,
    /// What its metadata get
    #[arg(long, value_name = "[+]SIZE")]
    metadata: Option<Growth>,
}

/// A pool that was extended.
#[derive(Debug, Serialize)]
pub(super) struct Extended {
    /// As it is now.
    pub(super) pool: Pool,
    /// Bytes for data before.
    pub(super) size_before: u64,
    /// Bytes of its metadata before.
    pub(super) metadata_size_before: u64,
}

impl PoolExtend {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let (was, pool) = extend(&self.pool, self.size, self.metadata)?;
        let extended = Extended {
            pool,
            size_before: was.size,
            metadata_size_before: was.metadata_size,
        };
        context.print(&extended, |extended| {
            format!(
                "pool:       {}/{}\ndata:       {} (was {})\nmetadata:   {} (was {})\nvg free:    {}\n",
                extended.pool.vg,
                extended.pool.pool,
                Bytes(extended.pool.size),
                Bytes(extended.size_before),
                Bytes(extended.pool.metadata_size),
                Bytes(extended.metadata_size_before),
                Bytes(extended.pool.group_free),
            )
        })?;
        Ok(Exit::Done)
    }
}
