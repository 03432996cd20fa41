//! What the storage server needs of a place where images live.
//!
//! An [`Engine`] keeps images: on the LVs of a volume group, or in the files of a store; `contract` is
//! what each must do. What engines share is here, too: [`ImageLocks`], the policies and forecasts of a
//! [`thin_pool`], the [`events`] that an admin is told of, and the [`Backups`] of a group's metadata.
#![forbid(unsafe_code)]

mod backups;
pub mod clock;
#[cfg(feature = "contract")]
pub mod contract;
mod engine;
mod engines;
mod error;
pub mod events;
mod image_locks;
pub mod thin_pool;
mod volume;

pub use backups::Backups;
pub use engine::Engine;
pub use engines::{Engines, place};
pub use error::EngineError;
pub use image_locks::{ImageLock, ImageLocks};
pub use volume::{BackingVolume, OpenVolume, Removed, Standing, Used};
