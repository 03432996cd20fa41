use bd_model::Bytes;
use clap::Args;

use crate::context::Context;
use crate::image::{ImagePath, Making, NewName, Session, parse_size};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Snapshot {
    /// The image to take a snapshot of
    #[arg(value_name = "VOL:/PATH")]
    image: ImagePath,
    /// The snapshot: a name in the same directory, or a path
    new: NewName,
    /// Taken for the old command's sake and without effect: thin snapshots take space as they
    /// need it, and those of thick images get what they can need at most
    #[arg(value_parser = parse_size)]
    size: Option<Bytes>,
}

impl Snapshot {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let (session, source) = Session::at(context, &self.image)?;
        let new = session.beside(&source, &self.new);
        session.report(&source)?;
        session.must_be_free(&new)?;
        let mut making = Making::begin(&session)?;
        session.files.symlink(&source, &new)?;
        making.made(&new)?;
        making.must_be_copy(&source, &new)?;
        let report = session.report(&new)?;
        making.keep();
        context.print(&report, |report| {
            format!(
                "snapshot of {0}:{source} is {0}:{1}\n",
                report.volume, report.path
            )
        })?;
        Ok(Exit::Done)
    }
}
