use bd_model::{Bytes, ImageKind};
use clap::Args;

use crate::context::Context;
use crate::image::{ImagePath, Resize, Session};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct ResizeImage {
    /// The image
    #[arg(value_name = "VOL:/PATH")]
    image: ImagePath,
    /// The new size, or by how much it grows or shrinks; a thick image can grow by a share of what
    /// its volume group has left
    #[arg(value_name = "[+|-]SIZE|+PCT%FREE", allow_hyphen_values = true)]
    size: Resize,
    /// Shrink without asking: the bytes past the new end are lost
    #[arg(long)]
    force: bool,
}

impl ResizeImage {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let (session, path) = Session::at(context, &self.image)?;
        let known = session.report(&path)?.known;
        let before = known.size;
        let added = match self.size {
            Resize::GrowFree(_) if known.kind == ImageKind::Thin => {
                return Err(CliError::Refused(format!(
                    "{}:{path} is thin, and takes space as it needs it: give it a size",
                    session.name
                )));
            }
            Resize::GrowFree(percent) => session.share_of_free(&path, percent)?,
            Resize::To(_) | Resize::Grow(_) | Resize::Shrink(_) => Bytes(0),
        };
        let after = self
            .size
            .of(before, added)
            .filter(|size| i64::try_from(size.0).is_ok());
        let after = after.ok_or_else(|| {
            CliError::Failed(format!(
                "cannot resize {}:{path}: it has {before}, so that is no size it can have",
                session.name
            ))
        })?;
        if after < before && !self.force {
            context.confirm(&format!(
                "{}:{path} shrinks from {before} to {after}; the last {} are lost",
                session.name,
                Bytes(before.0 - after.0)
            ))?;
        }
        if after != before {
            session.files.open(&path)?.truncate(after.0)?;
        }
        context.print(&session.report(&path)?, |report| {
            format!(
                "{}:{} has {}\n",
                report.volume, report.path, report.known.size
            )
        })?;
        Ok(Exit::Done)
    }
}
