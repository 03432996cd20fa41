use bd_model::{Bytes, VgName};
use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::image::parse_size;
use crate::storage::{Group, NewGroup, Pool, Share, find_group, make_group, take};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct StorageCreate {
    /// The new volume group
    #[arg(value_name = "NAME")]
    vg: VgName,
    /// The disks, partitions or loop devices that it takes
    #[arg(required = true)]
    devices: Vec<String>,
    /// Space of the thin pool, or percent of the room for it, as in 50% or 50%FREE [default: 90%,
    /// so that it can grow]
    #[arg(long, value_name = "SIZE|PCT")]
    thinpool: Option<Share>,
    /// Space of the pool's metadata [default: 1 GiB where that fits]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    metadata: Option<Bytes>,
    /// Keep each byte of the pool on two disks
    #[arg(long)]
    raid1: bool,
    /// Remove what the devices hold
    #[arg(long)]
    wipe: bool,
}

/// What was made.
#[derive(Debug, Serialize)]
pub(super) struct Made {
    pub(super) group: Group,
    pub(super) pool: Pool,
}

impl StorageCreate {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        if find_group(self.vg.as_str())?.is_some() {
            return Err(CliError::Refused(format!(
                "volume group {} exists already; choose another name, or use it: gluster-bd brick \
                 create {0}",
                self.vg
            )));
        }
        let disks = take(&self.devices, self.wipe)?;
        if self.raid1 && disks.len() < 2 {
            return Err(CliError::Usage("--raid1 needs two devices or more"));
        }
        let (group, pool) = make_group(&NewGroup {
            name: self.vg,
            disks,
            pool: self.thinpool,
            metadata: self.metadata,
            raid1: self.raid1,
            wipe: self.wipe,
        })?;
        context.print(&Made { group, pool }, |made| {
            format!(
                "vg:         {}, {}, {} free\npool:       {}, {}\nmetadata:   {}\n",
                made.group.vg,
                Bytes(made.group.size),
                Bytes(made.group.free),
                made.pool.pool,
                Bytes(made.pool.size),
                Bytes(made.pool.metadata_size),
            )
        })?;
        Ok(Exit::Done)
    }
}
