//! The brick translator `storage/bd`: stands on `storage/posix` and keeps the bytes of images
//! on logical volumes.
#![forbid(unsafe_code)]
mod core;
