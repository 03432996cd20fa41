use clap::Args;

use crate::context::Context;
use crate::image::{ImagePath, Making, NewName, Session};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Clone {
    /// The image to copy
    #[arg(value_name = "VOL:/PATH")]
    image: ImagePath,
    /// The clone: a name in the same directory, or a path
    new: NewName,
}

impl Clone {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let (session, source) = Session::at(context, &self.image)?;
        let new = session.beside(&source, &self.new);
        session.report(&source)?;
        session.must_be_free(&new)?;
        let mut making = Making::begin(&session)?;
        session.files.link(&source, &new)?;
        making.made(&new)?;
        making.must_be_copy(&source, &new)?;
        let report = session.report(&new)?;
        making.keep();
        context.print(&report, |report| {
            format!(
                "cloned {0}:{source} to {0}:{1}\n",
                report.volume, report.path
            )
        })?;
        Ok(Exit::Done)
    }
}
