use std::path::PathBuf;

use bd_model::LvName;
use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::server::{BrickReport, absolute, release_brick};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Remove {
    /// The brick directory; its volume is stopped or deleted
    dir: PathBuf,
    /// Release a brick that has images, too: they stay as volumes of the group or store
    #[arg(long)]
    keep: bool,
}

/// A brick that is one no more.
#[derive(Debug, Serialize)]
pub(super) struct Removed {
    /// What it was.
    #[serde(flatten)]
    pub(super) brick: BrickReport,
    /// Volumes of its images, which are still there.
    pub(super) kept: Vec<LvName>,
}

impl Remove {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let dir = absolute(&self.dir)?;
        let released = release_brick(&context.socket, &dir, self.keep)?;
        let removed = Removed {
            brick: BrickReport::new(&dir, released.brick),
            kept: released.kept,
        };
        context.print(&removed, |removed| {
            let mut text = format!(
                "{} is no brick any more; its directory stays\n",
                removed.brick.dir.display()
            );
            for volume in &removed.kept {
                text.push_str(&format!("kept: {volume}\n"));
            }
            text
        })?;
        Ok(Exit::Done)
    }
}
