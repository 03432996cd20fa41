//! The rig: loop devices, volume groups, bricks, Gluster volumes and mounts for tests.
//!
//! A test is a closure given to [`run`]. What it makes through the [`Rig`] carries the prefix
//! `gbt_<8 hex>`, is taken down in reverse order whatever happens, and a test that leaves
//! something behind fails. A failed test keeps its evidence (logs, `lvs`, `dmsetup`, kernel
//! messages) in `$GBT_OUT` and says where.
//!
//! ```no_run
//! use loopdev::{Place, run};
//!
//! run("plain_volume", Place::Native, |rig| {
//!     let disk = rig.filesystem("brick", 512)?;
//!     rig.glusterd()?;
//!     let volume = rig.volume("vol", &[disk.join("b")])?;
//!     volume.start()?;
//!     let mount = rig.mount(&volume, &[])?;
//!     std::fs::write(mount.join("hello"), "world")?;
//!     Ok(())
//! });
//! ```
//!
//! Tests run inside `scripts/sandbox` (native) or `scripts/guest` (with device-mapper), where
//! nothing but the rig uses LVM and Gluster; anywhere else they refuse to start.
#![forbid(unsafe_code)]

mod bd;
mod cluster;
mod cut;
mod daemon;
mod disk;
mod evidence;
mod gluster;
mod hosts;
mod jobs;
mod leftover;
mod lvm;
mod mounts;
mod network;
mod node;
mod place;
mod rig;
mod sh;
mod slow_disk;
mod step;
mod sweep;
mod volatile;
mod wait;
mod write_log;

pub use bd::{Backing, Bed, POOL, Store, gluster_bd};
pub use cluster::Cluster;
pub use cut::{Fate, RecordedDisk, Replay};
pub use daemon::{Daemon, alive, end};
pub use disk::{PowerCut, device_of};
pub use gluster::{KEEPS_NO_LOCKS, Volume};
pub use hosts::Host;
pub use jobs::jobs;
pub use lvm::{Lv, Vg};
pub use node::Node;
pub use place::Place;
pub use rig::{Rig, run};
pub use sh::{Output, cmd, sh};
pub use slow_disk::{Hold, SlowDisk};
pub use step::step;
pub use wait::wait_for;
pub use write_log::{Kind, Record};
