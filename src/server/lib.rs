//! gluster-bdd: the one owner of LVM and dm-thin on a storage host.
//!
//! The [`service`] answers requests of all bricks, and the [`daemon`] brings them over a Unix socket.
#![forbid(unsafe_code)]

mod connection;
pub mod daemon;
pub mod engines;
mod evacuator;
mod log_file;
pub mod metrics;
mod pool_monitor;
pub mod service;
mod status;
mod target;
mod wire;
mod zeroer;

pub use log_file::LogFile;
