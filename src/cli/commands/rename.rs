use clap::Args;

use crate::context::Context;
use crate::image::{Destination, ImagePath, Session};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Rename {
    /// The image
    #[arg(value_name = "VOL:/PATH")]
    image: ImagePath,
    /// Its new name in the same directory, a path, or VOL:/PATH
    new: Destination,
}

impl Rename {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let (session, old) = Session::at(context, &self.image)?;
        let new = session.destination(&old, &self.new)?;
        session.report(&old)?;
        session.must_be_free(&new)?;
        session.files.rename(&old, &new)?;
        context.print(&session.report(&new)?, |report| {
            format!("renamed {0}:{old} to {0}:{1}\n", report.volume, report.path)
        })?;
        Ok(Exit::Done)
    }
}
