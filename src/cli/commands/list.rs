use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::image::{Column, Columns, Place, Row, Session, Sort};
use crate::table::table;
use crate::volume::volumes_with_images;
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct List {
    /// The volume, or a directory of it; without it, all started volumes that have images
    #[arg(value_name = "VOL[:/DIR]")]
    place: Option<Place>,
    /// The columns, with commas between them, or further ones after a plus sign: image, size, allocated, modified;
    /// and kind, lv, lv_size, pool, origin, gfid, for which the brick of each image is asked
    #[arg(short = 'o', long, value_name = "[+]COLUMN,...", default_value_t)]
    columns: Columns,
    /// The column to sort by; the largest first with a minus sign before it
    #[arg(
        short = 'S',
        long,
        value_name = "[-]COLUMN",
        allow_hyphen_values = true
    )]
    sort: Option<Sort>,
}

/// The images of a volume.
#[derive(Debug, Serialize)]
pub(super) struct Images {
    pub(super) volume: String,
    pub(super) images: Vec<Row>,
}

impl List {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        if let Some(place) = &self.place {
            let images = self.images(context, place)?;
            context.print(&images, |images| {
                self.table(
                    images
                        .images
                        .iter()
                        .map(|row| (row, row.listed.path.clone())),
                )
            })?;
            return Ok(Exit::Done);
        }
        let mut all = Vec::new();
        for volume in volumes_with_images(context)? {
            let place = Place {
                volume,
                directory: None,
            };
            all.push(self.images(context, &place)?);
        }
        context.print(&all, |all| {
            self.table(all.iter().flat_map(|one| {
                let name = |row: &Row| format!("{}:{}", one.volume, row.listed.path);
                one.images.iter().map(move |row| (row, name(row)))
            }))
        })?;
        Ok(Exit::Done)
    }

    fn images(&self, context: &Context, place: &Place) -> Result<Images, CliError> {
        let session = Session::open(context, &place.volume)?;
        session.must_serve()?;
        let sorts = self.sort.iter().map(Sort::column);
        let asks = self
            .columns
            .0
            .iter()
            .copied()
            .chain(sorts)
            .any(Column::asks_bricks);
        let mut images = Vec::new();
        for listed in session.images(place.directory.as_deref())? {
            let more = match asks {
                false => None,
                true => match session.find_report(&listed.path) {
                    Ok(report) => report.map(Into::into),
                    // Removed meanwhile.
                    Err(CliError::File(error)) if error.is_not_found() => continue,
                    Err(error) => return Err(error),
                },
            };
            images.push(Row { listed, more });
        }
        if let Some(sort) = &self.sort {
            images.sort_by(|a, b| sort.order(a, b));
        }
        Ok(Images {
            volume: session.name,
            images,
        })
    }

    /// The table of rows, each with the name of its image.
    fn table<'a>(&self, rows: impl Iterator<Item = (&'a Row, String)>) -> String {
        let columns = &self.columns.0;
        let headings: Vec<String> = columns.iter().map(|column| column.heading()).collect();
        let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
        let right = |(index, column): (usize, &Column)| column.is_right().then_some(index);
        let right: Vec<usize> = columns.iter().enumerate().filter_map(right).collect();
        let rows: Vec<Vec<String>> = rows
            .map(|(row, name)| {
                let cell = |column: &Column| match column {
                    Column::Image => name.clone(),
                    column => column.cell(row),
                };
                columns.iter().map(cell).collect()
            })
            .collect();
        table(&headings, &right, &rows)
    }
}
