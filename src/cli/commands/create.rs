use bd_model::{Bytes, ImageKind, ImageMark, xattr};
use clap::Args;
use uuid::Uuid;

use crate::context::Context;
use crate::image::{ImagePath, Making, Session, parent, parse_size};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The new image
    #[arg(value_name = "VOL:/PATH")]
    image: ImagePath,
    /// Its size
    #[arg(value_parser = parse_size)]
    size: Bytes,
    /// Allocate all of it now, as a linear volume
    #[arg(long)]
    thick: bool,
}

/// Permissions of a new image.
const MODE: u32 = 0o600;

impl Create {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let (session, path) = Session::at(context, &self.image)?;
        session.must_be_free(&path)?;
        let mut making = Making::begin(&session)?;
        if self.directory_does(&session, &path)? {
            let file = session.files.create(&path, MODE)?;
            making.made(&path)?;
            file.truncate(self.size.0)?;
        } else {
            self.by_mark(&session, &path, &mut making)?;
        }
        making.step()?;
        let report = session
            .find_report(&path)?
            .ok_or_else(|| session.serves_none())?;
        making.keep();
        context.print(&report, |report| {
            format!(
                "created {}:{}, {}, {}\n",
                report.volume, report.path, report.known.size, report.known.kind
            )
        })?;
        Ok(Exit::Done)
    }

    /// Whether a file that is made at `path` is such an image by itself.
    fn directory_does(&self, session: &Session, path: &str) -> Result<bool, CliError> {
        Ok(session.policy(parent(path))?.is_some_and(|policy| {
            policy.image_from.0 == 0 && (!self.thick || policy.kind == ImageKind::Thick)
        }))
    }

    /// Makes a plain file, makes that an image, and only then gives it its name: in an image
    /// directory it would be an image of the directory's kind from the start.
    fn by_mark(
        &self,
        session: &Session,
        path: &str,
        making: &mut Making<'_>,
    ) -> Result<(), CliError> {
        let scratch = format!("/.gluster-bd-{}", Uuid::new_v4());
        drop(session.files.create(&scratch, MODE)?);
        making.made(&scratch)?;
        let kind = match self.thick {
            true => ImageKind::Thick,
            false => ImageKind::Thin,
        };
        let mark = ImageMark::Image {
            kind,
            size: Some(self.size),
        };
        let mark = mark.to_string();
        session
            .files
            .setxattr(&scratch, xattr::IMAGE, mark.as_bytes())?;
        making.step()?;
        session.files.rename(&scratch, path)?;
        making.made(path)
    }
}
