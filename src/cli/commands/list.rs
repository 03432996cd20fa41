use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::image::{Listed, Place, Session};
use crate::table::table;
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct List {
    /// The volume, or a directory of it
    #[arg(value_name = "VOL[:/DIR]")]
    place: Place,
}

/// The images of a volume.
#[derive(Debug, Serialize)]
pub(super) struct Images {
    pub(super) volume: String,
    pub(super) images: Vec<Listed>,
}

impl List {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let session = Session::open(context, &self.place.volume)?;
        let images = Images {
            images: session.images(self.place.directory.as_deref())?,
            volume: session.name,
        };
        context.print(&images, |images| {
            let rows: Vec<Vec<String>> = images
                .images
                .iter()
                .map(|image| {
                    vec![
                        image.path.clone(),
                        image.size.to_string(),
                        image.allocated.to_string(),
                    ]
                })
                .collect();
            table(&["IMAGE", "SIZE", "ALLOCATED"], &[1, 2], &rows)
        })?;
        Ok(Exit::Done)
    }
}
