//! What the range lock is made of. Its tests put loom's in place of these.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
