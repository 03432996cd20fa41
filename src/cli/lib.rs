//! gluster-bd: the command line for bricks and images on logical volumes.
//!
//! One file a command under [`commands`]; a command decodes its arguments, asks gluster-bdd and
//! prints. [`volfile`] reads and writes Gluster's volfiles.
#![forbid(unsafe_code)]

pub mod commands;
mod error;
mod server;
pub mod volfile;

pub use error::{CliError, Exit};
