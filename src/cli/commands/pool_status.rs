use bd_model::Bytes;
use clap::Args;

use crate::context::Context;
use crate::storage::{Pool, pools};
use crate::table::table;
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct PoolStatus {
    /// Only the pools of this volume group
    vg: Option<String>,
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
                "WHEN FULL",
                "ZEROING",
            ];
            table(&heading, &[1, 2, 3, 4, 5, 6], &rows)
        })?;
        Ok(Exit::Done)
    }
}

fn row(pool: &Pool) -> Vec<String> {
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
        pool.when_full.clone(),
        if pool.zeroing { "yes" } else { "NO" }.to_owned(),
    ]
}
