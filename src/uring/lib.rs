//! Reads and writes through io_uring(7), with a safe interface.
//!
//! A [`Ring`] has one thread. Whoever wants I/O hands over file, memory and what is to be done
//! after it; the thread gives the kernel all that has gathered at once, waits, and calls what is
//! to be done. It owns file and memory meanwhile, so that neither can go while the kernel uses
//! them.

mod bell;
#[cfg(test)]
mod modelled;
mod op;
mod queue;
mod ring;
mod sync;
mod worker;

pub use op::Outcome;
pub use ring::Ring;
