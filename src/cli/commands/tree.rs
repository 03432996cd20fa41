use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::image::{Node, Place, Session, draw, lineage};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Tree {
    /// The volume, or a directory of it
    #[arg(value_name = "VOL[:/DIR]")]
    place: Place,
}

/// The images of a volume by descent.
#[derive(Debug, Serialize)]
pub(super) struct Images {
    pub(super) volume: String,
    pub(super) images: Vec<Node>,
}

impl Tree {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let session = Session::open(context, &self.place.volume)?;
        session.must_serve()?;
        let mut reports = Vec::new();
        for image in session.images(self.place.directory.as_deref())? {
            reports.extend(session.find_report(&image.path)?);
        }
        let images = Images {
            images: lineage(reports),
            volume: session.name,
        };
        context.print(&images, |images| draw(&images.images))?;
        Ok(Exit::Done)
    }
}
