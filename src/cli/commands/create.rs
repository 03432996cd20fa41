use bd_model::{DirPolicy, ImageKind, ImageMark, xattr};
use clap::Args;
use uuid::Uuid;

use crate::context::Context;
use crate::image::{Amount, ImagePath, Making, Session, parent};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The new image
    #[arg(value_name = "VOL:/PATH")]
    image: ImagePath,
    /// Its size; for a thick image also a share of what the volume group of its brick has left
    #[arg(value_name = "SIZE|PCT%FREE")]
    size: Amount,
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
        let policy = session.policy(parent(&path))?;
        match self.size {
            Amount::Bytes(size) if self.directory_does(policy.as_ref()) => {
                let file = session.files.create(&path, MODE)?;
                making.made(&path)?;
                file.truncate(size.0)?;
            }
            Amount::Free(_) if !self.thick && policy.is_none_or(|p| p.kind == ImageKind::Thin) => {
                return Err(CliError::Usage(
                    "a share of what is free is for thick images; thin ones take space as they \
                     need it: add --thick or give a size",
                ));
            }
            Amount::Bytes(_) | Amount::Free(_) => self.by_mark(&session, &path, &mut making)?,
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

    /// Whether a new file of a directory with that policy is such an image by itself.
    fn directory_does(&self, policy: Option<&DirPolicy>) -> bool {
        policy.is_some_and(|policy| {
            policy.image_from.0 == 0 && (!self.thick || policy.kind == ImageKind::Thick)
        })
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
        let (kind, size) = match self.size {
            Amount::Free(percent) => {
                let size = session.share_of_free(&scratch, percent)?;
                (ImageKind::Thick, size)
            }
            Amount::Bytes(size) if self.thick => (ImageKind::Thick, size),
            Amount::Bytes(size) => (ImageKind::Thin, size),
        };
        // The size comes by itself: each brick would take one in the mark for that of its piece.
        let mark = ImageMark::Image { kind, size: None }.to_string();
        session
            .files
            .setxattr(&scratch, xattr::IMAGE, mark.as_bytes())?;
        making.step()?;
        session.files.open(&scratch)?.truncate(size.0)?;
        making.step()?;
        session.files.rename(&scratch, path)?;
        making.made(path)
    }
}
