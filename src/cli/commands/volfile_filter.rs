use std::path::PathBuf;

use clap::Args;

use crate::{CliError, Exit, volfile};

#[derive(Debug, Args)]
pub(super) struct VolfileFilter {
    /// The volfile, in the folder of its volume; changed in place
    path: PathBuf,
}

impl VolfileFilter {
    pub(super) fn run(self) -> Result<Exit, CliError> {
        volfile::filter(&self.path)?;
        for brick in volfile::idle_bricks(&self.path)? {
            // The volfile is right, whoever hears of that.
            if let Err(error) = brick.warn() {
                eprintln!("gluster-bd: {error}");
            }
        }
        Ok(Exit::Done)
    }
}
