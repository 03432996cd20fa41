//! Images as files of a volume.

mod column;
mod destination;
mod lineage;
mod make;
mod path;
mod report;
mod session;
mod size;
mod walk;

pub(crate) use column::{Column, Columns, Row, Sort};
pub(crate) use destination::Destination;
pub(crate) use lineage::{Node, draw, lineage};
pub(crate) use make::Making;
pub(crate) use path::{ImagePath, Place, parent};
pub(crate) use report::ImageReport;
#[cfg(test)]
pub(crate) use report::Known;
pub(crate) use session::Session;
pub(crate) use size::{Amount, Resize, parse_size};
#[cfg(test)]
pub(crate) use walk::Listed;
