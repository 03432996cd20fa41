//! Images as files of a volume.

mod lineage;
mod make;
mod path;
mod report;
mod session;
mod size;
mod walk;

pub(crate) use lineage::{Node, draw, lineage};
pub(crate) use make::Making;
pub(crate) use path::{ImagePath, NewName, Place, parent};
pub(crate) use report::ImageReport;
#[cfg(test)]
pub(crate) use report::Known;
pub(crate) use session::Session;
pub(crate) use size::{Amount, Resize, parse_size};
pub(crate) use walk::Listed;
