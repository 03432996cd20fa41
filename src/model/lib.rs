//! The nouns of gluster-bd: units, names and policies, parsed once at the door; and how fast work in
//! the background may go.
//!
//! No I/O happens here and nothing is unsafe, so that every other crate can depend on it.
#![forbid(unsafe_code)]

mod image;
mod name;
mod pace;
mod policy;
mod span;
mod unit;

pub use image::{ImageKind, ImageMark, MarkError};
pub use name::{BrickId, Gfid, LvName, NameError, VgName};
pub use pace::Pace;
pub use policy::{DirPolicy, LinkMeans, PolicyError};
pub use span::span;
pub use unit::{Bytes, Extents, SECTOR, Sectors, SizeError};

/// Names of the extended attributes and xdata keys which carry gluster-bd's meaning.
pub mod xattr;
