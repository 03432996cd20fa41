use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::image::{ImagePath, Session};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Delete {
    /// The images; they are removed one after the other
    #[arg(value_name = "VOL:/PATH", required = true)]
    images: Vec<ImagePath>,
}

/// An image that was removed.
#[derive(Debug, Serialize)]
pub(super) struct Deleted {
    pub(super) volume: String,
    pub(super) path: String,
}

impl Delete {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let mut open: Option<Session> = None;
        let mut deleted = Vec::new();
        let mut outcome = Ok(Exit::Done);
        let progress = Progress::of_something_long(context);
        let mut bar = progress.bar("deleting".to_owned());
        // A single one is deleted or not, whenever a signal comes.
        let interrupt = match self.images.len() {
            1 => None,
            _ => Some(Interrupt::watch()?),
        };
        for image in &self.images {
            bar.count(deleted.len(), self.images.len());
            let may = match &interrupt {
                Some(interrupt) => interrupt.check_or("the images that are not named here stay"),
                None => Ok(()),
            };
            match may.and_then(|()| delete(context, image, &mut open)) {
                Ok(done) => deleted.push(done),
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        bar.clear();
        context.print(&deleted, |deleted| {
            deleted
                .iter()
                .map(|done| format!("deleted {}:{}\n", done.volume, done.path))
                .collect()
        })?;
        outcome
    }
}

/// Removes one image, through the connection of the one before if it is the same volume's.
fn delete(
    context: &Context,
    image: &ImagePath,
    open: &mut Option<Session>,
) -> Result<Deleted, CliError> {
    let session = match open.take().filter(|session| session.name == image.volume) {
        Some(session) => session,
        None => Session::open(context, &image.volume)?,
    };
    let session = open.insert(session);
    let path = session.path_of(&image.name)?;
    session.report(&path)?;
    session.files.unlink(&path)?;
    Ok(Deleted {
        volume: session.name.clone(),
        path,
    })
}
