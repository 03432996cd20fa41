//! The brick translator `storage/bd`: stands on `storage/posix` and keeps the bytes of images
//! on logical volumes.
//!
//! `core` holds the rules, without Gluster; `fops` holds a function for each file operation,
//! which decodes, calls the core and answers; [`Brick`] joins the two, and [`Storage`] waits until there
//! can be one. Posix answers at once, on
//! the same thread, so fops ask it directly. Whatever waits for gluster-bdd or a disk runs on
//! threads of the brick's own.
#![forbid(unsafe_code)]

mod brick;
mod brief;
mod core;
mod fops;
mod hydrator;
mod io_engine;
mod keeper;
mod lasting;
mod making;
mod names;
mod pending;
mod served;
mod setup;
mod storage;
mod stub;
mod translator;
mod xdata;

pub use crate::core::Node;
pub use brick::{Brick, OpenImage};
pub use storage::Storage;
