use std::path::PathBuf;

use bd_model::{LvName, VgName};
use clap::Args;

use crate::context::Context;
use crate::health::settle_pool;
use crate::interrupt::Interrupt;
use crate::server::{BrickReport, absolute};
use crate::storage::{BrickSource, Wanted, make_plain_group, prepare, take_for};
use crate::volume::forget_failed;
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct BrickCreate {
    /// The volume group
    vg: VgName,
    /// A disk to make the volume group of, with a thin pool, unless it is there; may be repeated
    #[arg(long = "disk", value_name = "DEVICE")]
    disks: Vec<String>,
    /// Remove what the disks hold
    #[arg(long, requires = "disks")]
    wipe: bool,
    /// Its thin pool [default: the only one; without any, images are thick]
    #[arg(long)]
    pool: Option<LvName>,
    /// Take no pool: images are thick
    #[arg(long, conflicts_with = "pool")]
    thick: bool,
    /// The brick directory [default: /srv/gluster-bd/VG/brick, on a file system that is made on
    /// a volume of the group and mounted from /etc/fstab]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Name of the top image directory, the same for all bricks of a volume [default: VG]
    #[arg(long, value_name = "NAME")]
    top: Option<String>,
}

impl BrickCreate {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        if !self.disks.is_empty() {
            let disks = take_for(&self.vg, &self.disks, self.wipe)?;
            if !disks.is_empty() {
                make_plain_group(&self.vg, &disks, self.wipe)?;
            }
        }
        let source = BrickSource {
            vg: self.vg,
            pool: Wanted::of(self.pool, self.thick),
            dir: self.dir.as_deref().map(absolute).transpose()?,
            top: self.top,
        };
        let (dir, info) = prepare(context, &source, &Interrupt::watch()?)?;
        let mut set = settle_pool(&info.engine);
        set.extend(forget_failed(&dir, &info)?);
        let report = BrickReport::new(&dir, info).with_settings(set);
        context.print(&report, BrickReport::describe)?;
        Ok(Exit::Done)
    }
}
