//! gluster-bd: the command line for bricks and images on logical volumes.
//!
//! One file a command under [`commands`]; a command decodes its arguments, asks a volume or
//! gluster-bdd, and prints. `image` are the files of a volume that are images; `volfile` reads
//! and writes Gluster's volfiles.
#![forbid(unsafe_code)]

pub mod commands;
mod context;
mod error;
mod glusterd;
mod health;
mod image;
mod interrupt;
mod job;
mod progress;
mod replicas;
mod server;
mod storage;
mod table;
pub mod volfile;
mod volume;

pub use error::{CliError, Exit};
pub use storage::ProgramError;
