use clap::Args;

use super::copy;
use crate::context::Context;
use crate::image::{Destination, ImagePath};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Clone {
    /// The image to copy
    #[arg(value_name = "VOL:/PATH")]
    image: ImagePath,
    /// The clone: a name in the same directory, a path, or VOL:/PATH
    new: Destination,
}

impl Clone {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        copy::run(
            context,
            &self.image,
            &self.new,
            |session, source, new| Ok(session.files.link(source, new)?),
            |source, new| format!("cloned {source} to {new}\n"),
        )
    }
}
