//! The brick translator `storage/bd`: stands on `storage/posix` and keeps the bytes of images
//! on logical volumes.
//!
//! The crate `bd_image` holds the rules of images, without Gluster; `fops` holds a function for each file
//! operation, which decodes, calls them and answers; [`Brick`] joins the two, and [`Storage`] waits until there
//! can be one. Posix answers at once, on
//! the same thread, so fops ask it directly. Whatever waits for gluster-bdd or a disk runs on
//! threads of the brick's own.
#![forbid(unsafe_code)]

mod brick;
mod brief;
mod fops;
mod inflight_creates;
mod inode_state;
mod io_engine;
mod lasting;
mod maintenance;
mod name_locks;
mod names;
mod ops;
mod removal_intent;
mod rights;
mod served;
mod server_client;
mod setup;
mod storage;
mod stub;
mod translator;
mod unfinished_copies;
mod xdata;

pub use crate::inode_state::InodeState;
pub use brick::{Brick, OpenImage};
pub use storage::Storage;

/// An image, with what posix tells of its stub.
pub(crate) type Image = bd_image::Image<glusterfs::Iatt>;
/// All images that somebody holds.
pub(crate) type Images = bd_image::Images<glusterfs::Iatt>;
/// A change of a stub that is under way.
pub(crate) type Changing = bd_image::Changing<glusterfs::Iatt>;
/// An image at rest.
pub(crate) type Quiesced<'a> = bd_image::Quiesced<'a, glusterfs::Iatt>;
