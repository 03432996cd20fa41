//! The rules of images, without Gluster (but for its attributes of a file): what a fop decides, and
//! what it does to device and LV.

mod condemned;
pub(crate) mod errno;
mod growth;
mod image;
mod images;
mod link;
mod mapping;
mod name_locks;
mod node;
mod remembered;
mod rights;
mod seek;
mod times;
mod workers;

pub(crate) use image::{
    Changing, Failure, Hydrated, Image, ReadPlan, Standstill, WriteAt, Written,
};
pub(crate) use images::Images;
pub(crate) use link::{Link, LinkError};
pub(crate) use name_locks::{Name, NameLocks, of_file};
pub(crate) use node::Kind;
pub use node::Node;
pub(crate) use rights::{Rights, Want};
pub(crate) use times::Timestamp;
pub(crate) use workers::{Tally, Workers};
