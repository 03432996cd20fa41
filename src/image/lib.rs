//! What a brick knows of an image, and what it does to the image's device: size and growth, ranges that are
//! read and written, where there is data, times. Bytes are won or lost here.
//!
//! What an image needs of gluster-bdd it asks of a [`Server`], so that all of this is tested without one,
//! and without GlusterFS. Devices are reached by `blockdev` alone.
#![forbid(unsafe_code)]

mod allocated;
mod device;
pub mod errno;
mod extent_map;
mod failure;
mod growth;
mod hydrate;
mod image;
mod images;

mod merging;
mod migration;
mod orphan;
mod quiesce;
mod read;
mod seek;
mod server;
mod size;
mod sparse;
mod stat_cache;
mod stub;
mod times;
mod write;
mod zero;

#[cfg(test)]
mod tests;

pub use allocated::Asked;
pub use failure::Failure;
pub use hydrate::Hydrated;
pub use image::{Image, SetStubSize};
pub use images::Images;
pub use quiesce::Quiesced;
pub use read::ReadPlan;
pub use server::{Server, ServerError};
pub use stub::Changing;
pub use times::{Times, Timestamp};
pub use write::{WriteAt, WriteUnderWay, Written};
