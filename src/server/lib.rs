//! gluster-bdd: the one owner of LVM and dm-thin on a storage host.
//!
//! [`engine`] says what is needed of a place where images live; [`engine_file`] is one. A
//! [`brick`] joins a directory of stubs to an engine and keeps the two in step; [`thin_pool`] keeps thin
//! pools from being full. The [`service`]
//! answers requests of all bricks, and the [`daemon`] brings them over a Unix socket.
#![forbid(unsafe_code)]

mod backups;
pub mod brick;
mod clock;
mod connection;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod daemon;
pub mod engine;
pub mod engine_file;
pub mod engine_lvm;
pub mod engines;
mod evacuator;
pub mod events;
mod image_locks;
mod jobs;
mod log_file;
pub mod metrics;
mod pool_monitor;
pub mod service;
mod status;
mod target;
pub mod thin_pool;
mod wire;
mod zeroer;

pub use log_file::LogFile;
