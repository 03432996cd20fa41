//! Files that are either wholly there after a crash or not at all, and points at which a test has one.
#![forbid(unsafe_code)]

pub mod failpoint;
mod file;
mod lock_file;
mod shared_sync;

pub use file::{NEW, new_name, place, prepare, remove, sync_parent};
pub use lock_file::{LockError, LockFile};
pub use shared_sync::SharedSync;
