//! What the queue is made of. Its tests put loom's in place of these.

pub(crate) use std::sync::atomic::AtomicBool;
pub(crate) use std::sync::{Mutex, MutexGuard};
