//! Block devices and the files that stand in for them: direct I/O, zeroing and discard.
//!
//! Offsets and lengths are in bytes. A [`Device`] hides alignment from its callers; what lies
//! below is read(2), write(2) and the ioctls of `linux/fs.h`.

mod device;
mod ioctl;
#[cfg(test)]
mod modelled;
mod page;
mod range_lock;
#[cfg(test)]
mod range_lock_tests;
mod span;
mod sync;
mod write;

pub use device::{Device, Geometry, Media};
pub use page::Pages;
pub use span::Span;
pub use write::WholeWrite;
