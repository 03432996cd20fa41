//! Files of a Gluster volume, without a mount, through libgfapi.
//!
//! A [`Volume`] is a connection; paths are absolute within the volume. All calls wait for the
//! servers. Unsafe code lives in this crate and in `gfapi-sys` only.

mod directory;
mod error;
mod file;
mod stat;
mod volume;

pub use directory::{Directory, Entry};
pub use error::{ConnectError, FileError};
pub use file::File;
pub use stat::{FileKind, Stat};
pub use volume::{Server, Volume, end_process};
