//! Thin pools: when they are extended, and when nothing new is made in them.
//!
//! A [`Policy`] says so for each VG; [`Policies`] are those of the file, read again on SIGHUP.
//! `rules` are the decisions, without I/O. `Histories` are what pools held in the last hours, and
//! `forecast` is what follows from them. The engine carries them out, and the server's
//! monitor calls it when device-mapper tells of an event and from time to time.

mod by;
mod forecast;
mod histories;
mod policies;
mod policy;
pub mod rules;

pub use by::By;
pub use histories::{Histories, Sample};
pub use policies::{DEFAULT_PATH, Policies};
pub use policy::{Policy, PolicyError, PolicyFile};

/// How soon a pool must be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attention {
    /// There is no pool.
    None,
    /// It is far from any threshold.
    Calm,
    /// It comes near a threshold, or is above one.
    Near,
}
