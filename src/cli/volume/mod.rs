//! Gluster volumes on bricks of several hosts: what stands on the command line, and what becomes of it.

mod bricks;
mod claim;
mod layout;
mod mount;
mod pool;
mod served;
mod standing;
mod stock;
mod words;

pub(crate) use bricks::{Brick, Bricks, is_brick};
pub(crate) use claim::forget_failed;
pub(crate) use layout::Layout;
pub(crate) use mount::Mount;
pub(crate) use pool::is_local;
pub(crate) use served::volumes_with_images;
pub(crate) use standing::Standing;
pub(crate) use stock::gluster;
pub(crate) use words::{name_groups, parse};
