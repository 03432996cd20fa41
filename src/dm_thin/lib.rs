//! What the kernel knows of active devices, thin pools and thin LVs.
//!
//! LVM owns the metadata of pools: this reads, makes devices of thin LVs active as LVM does, and
//! changes nothing in a pool but what a killed LVM command has left half made. (A snapshot of the
//! metadata is reserved to read a mapping, and released at once.) Status is asked for without
//! flushing (`DM_NOFLUSH`), so that asking never waits for a suspended or full pool.
#![forbid(unsafe_code)]

mod device;
mod dump;
mod events;
mod kernel;
mod pool;
mod table;
mod thin;

pub use device::{DmDevice, DmError};
pub use dump::{Inherited, Spans, inherited_spans, mapped_spans};
pub use events::{Events, Waker};
pub use kernel::Dm;
pub use pool::{Discard, PoolMode, PoolState, PoolStatus, Use, WhenFull};
pub use table::ThinTable;
pub use thin::{ThinState, ThinStatus};

/// Why a line is not the status of a thin target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line:?} is not a status of the {target} target: {part} cannot be read")]
pub struct StatusError {
    /// `thin` or `thin-pool`.
    pub target: &'static str,
    /// The whole line.
    pub line: String,
    /// The part that is wrong.
    pub part: &'static str,
}
