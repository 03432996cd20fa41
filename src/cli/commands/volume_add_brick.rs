use clap::Args;

use super::volume_create::Made;
use crate::context::Context;
use crate::image::Session;
use crate::interrupt::Interrupt;
use crate::volume::{Brick, Bricks, Standing, gluster, name_groups, parse};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct AddBrick {
    /// The volume; it is started
    #[arg(value_name = "VOL")]
    name: String,
    /// Bricks as volume create takes them, as many as a group of the volume has, or replica N before them.
    /// Bricks of this host are made; for those of others the command says what makes them there, and is then
    /// given again
    #[arg(required = true, value_name = "WORD|BRICK")]
    words: Vec<String>,
    /// Remove what the disks hold
    #[arg(long)]
    wipe: bool,
}

impl AddBrick {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let name = self.name.as_str();
        let mut words = parse(&self.words)?;
        name_groups(&mut words, name)?;
        let info = gluster(&["volume", "info", name])?;
        let volume = Standing::read(&info).ok_or_else(|| {
            CliError::Failed(format!("cannot read what gluster volume info {name} says"))
        })?;
        let interrupt = Interrupt::watch()?;
        if !volume.is_ours || !volume.is_started {
            return Err(CliError::Refused(format!(
                "volume {name} is not started, or serves no images, so that no brick says how its image \
                 directory is called; run: gluster volume set {name} user.bd on; gluster volume start {name}"
            )));
        }
        let layout = volume.grown_by(&words)?;
        let top = Session::open(context, name)?.top_of_bricks()?;
        // All that can be refused, before anything is made.
        let mut bricks = Bricks::plan(context, &words, &layout, Some(top), self.wipe)?;
        let is_there = |brick: &&Brick| volume.bricks.contains(&brick.name());
        if let Some(brick) = bricks.all.iter().find(is_there) {
            return Err(CliError::Refused(format!(
                "{} is a brick of volume {name} already",
                brick.name()
            )));
        }
        let settings = bricks.make(context, &interrupt)?;
        bricks.give("add-brick", name, &words)?;
        if let Some(missing) = bricks.missing(name) {
            return Err(CliError::Failed(format!(
                "volume {name} has the new bricks, and gluster-bdd has made none of {missing}: new files there \
                 are plain; run there: gluster-bd brick init, and then stop and start the volume"
            )));
        }
        if layout.has_arbiter {
            // Before rebalance moves files there: a client gives new arbiters the image directory.
            Session::open(context, name)?.top_of_bricks()?;
        }
        let done = format!("volume add-brick: {name}: success");
        Made::print(context, name, bricks, settings, &done)
    }
}
