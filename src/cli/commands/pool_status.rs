use std::path::Path;

use bd_model::{Bytes, span};
use bd_proto::{PoolInfo, Reply, Request};
use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::server::ask;
use crate::storage::{Pool, pools};
use crate::table::table;
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct PoolStatus {
    /// Only the pools of this volume group
    vg: Option<String>,
}

/// A pool, and when it is full.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    #[serde(flatten)]
    pub(super) pool: Pool,
    /// Seconds until its data are full, at the rate of the last hours.
    pub(super) full_in: Option<u64>,
    /// The same for its metadata.
    pub(super) metadata_full_in: Option<u64>,
}

impl Status {
    fn new(pool: Pool, cared: &[PoolInfo]) -> Status {
        let mut cared = cared.iter();
        let care = cared.find(|c| c.vg.as_str() == pool.vg && c.pool.as_str() == pool.pool);
        Status {
            pool,
            full_in: care.and_then(|care| care.full_in),
            metadata_full_in: care.and_then(|care| care.metadata_full_in),
        }
    }
}

/// What gluster-bdd knows of pools: nothing while it does not run.
fn cared(socket: &Path) -> Vec<PoolInfo> {
    match ask(socket, &Request::Pools) {
        Ok(Reply::Pools(pools)) => pools,
        _ => Vec::new(),
    }
}

impl PoolStatus {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let mut found = pools()?;
        if let Some(vg) = &self.vg {
            found.retain(|pool| pool.vg == *vg);
            if found.is_empty() {
                return Err(CliError::NotFound(format!(
                    "volume group {vg} has no thin pool on this host; see: vgs, lvs"
                )));
            }
        }
        let cared = match found.is_empty() {
            true => Vec::new(),
            false => cared(&context.socket),
        };
        let status = |pool| Status::new(pool, &cared);
        let found: Vec<Status> = found.into_iter().map(status).collect();
        context.print(&found, |found| {
            let rows: Vec<Vec<String>> = found.iter().map(row).collect();
            let heading = [
                "POOL",
                "SIZE",
                "DATA",
                "METADATA",
                "META SIZE",
                "CHUNK",
                "VG FREE",
                "FULL IN",
                "WHEN FULL",
                "ZEROING",
            ];
            table(&heading, &[1, 2, 3, 4, 5, 6, 7], &rows)
        })?;
        Ok(Exit::Done)
    }
}

fn row(status: &Status) -> Vec<String> {
    let pool = &status.pool;
    let percent = |number: Option<f64>| match number {
        Some(number) => format!("{number:.1}%"),
        None => "inactive".to_owned(),
    };
    vec![
        format!("{}/{}", pool.vg, pool.pool),
        Bytes(pool.size).to_string(),
        percent(pool.data_percent),
        percent(pool.metadata_percent),
        Bytes(pool.metadata_size).to_string(),
        Bytes(pool.chunk_size).to_string(),
        Bytes(pool.group_free).to_string(),
        soonest(status),
        pool.when_full.clone(),
        if pool.zeroing { "yes" } else { "NO" }.to_owned(),
    ]
}

/// When data or metadata are full, whichever is sooner.
fn soonest(status: &Status) -> String {
    match (status.full_in, status.metadata_full_in) {
        (None, None) => "-".to_owned(),
        (Some(data), Some(metadata)) if metadata < data => format!("{} (metadata)", span(metadata)),
        (Some(data), _) => span(data),
        (None, Some(metadata)) => format!("{} (metadata)", span(metadata)),
    }
}
