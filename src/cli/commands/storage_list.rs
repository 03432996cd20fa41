use clap::Args;

use crate::context::Context;
use crate::storage::{Disk, disks};
use crate::table::table;
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct StorageList {
    /// Only those that storage create takes
    #[arg(long)]
    free: bool,
}

impl StorageList {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let mut disks = disks()?;
        disks.retain(|disk| disk.free || !self.free);
        context.print(&disks, |disks| {
            let rows: Vec<Vec<String>> = disks
                .iter()
                .map(|disk| {
                    vec![
                        disk.path.clone(),
                        disk.kind.clone(),
                        disk.size.to_string(),
                        state(disk).to_owned(),
                        disk.holds.join(", "),
                    ]
                })
                .collect();
            table(&["DEVICE", "TYPE", "SIZE", "STATE", "HOLDS"], &[2], &rows)
        })?;
        Ok(Exit::Done)
    }
}

fn state(disk: &Disk) -> &'static str {
    match (disk.free, disk.in_use, disk.holds.is_empty()) {
        (true, _, _) => "free",
        (false, true, _) => "in use",
        (false, false, false) => "not empty",
        (false, false, true) => "too small",
    }
}
