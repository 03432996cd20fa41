use clap::Args;

use crate::context::Context;
use crate::image::{ImagePath, ImageReport, Session};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Info {
    /// The image
    #[arg(value_name = "VOL:/PATH")]
    image: ImagePath,
}

impl Info {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let (session, path) = Session::at(context, &self.image)?;
        context.print(&session.report(&path)?, ImageReport::describe)?;
        Ok(Exit::Done)
    }
}
