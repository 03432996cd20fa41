//! Gluster's volfiles: reading, writing, and our translators in them.
//!
//! glusterd runs a filter on each volfile after it has put it into its place
//! (`glusterd-volgen.c`), with the path as argument. [`filter`] is that filter.

mod block;
mod elsewhere;
mod file;
mod filter;
mod graph;
mod idle;
mod info;

pub use block::Block;
pub use elsewhere::{host_and_brick, is_elsewhere};
pub use file::{ParseError, Volfile};
pub use filter::{FilterError, filter};
pub use idle::{IdleBrick, bricks_left_on, idle_bricks, log_name, why_unserved};
pub use info::{InfoError, VolumeInfo};
