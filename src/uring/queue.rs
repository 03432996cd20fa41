use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

use crate::op::Op;

/// Requests on their way to the ring's thread, and the means to wake it.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// The thread sleeps, or is about to: it must be woken.
    asleep: AtomicBool,
    bell: OwnedFd,
}

#[derive(Default)]
struct State {
    ops: Vec<Box<dyn Op>>,
    closed: bool,
}

impl Queue {
    pub(crate) fn new() -> io::Result<Queue> {
        Ok(Queue {
            state: Mutex::default(),
            asleep: AtomicBool::new(false),
            bell: eventfd(0, EventfdFlags::CLOEXEC)?,
        })
    }

    /// What is written to when the thread must wake up.
    pub(crate) fn bell(&self) -> &OwnedFd {
        &self.bell
    }

    /// Adds a request; gives it back if nobody will take it any more.
    pub(crate) fn push<O: Op + 'static>(&self, op: Box<O>) -> Result<(), Box<O>> {
        {
            let mut state = self.state();
            if state.closed {
                return Err(op);
            }
            state.ops.push(op);
        }
        self.wake();
        Ok(())
    }

    /// No more requests.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.wake();
    }

    /// Moves what has gathered behind what is in `ops`. Says whether more can come.
    pub(crate) fn take(&self, ops: &mut Vec<Box<dyn Op>>) -> bool {
        let mut state = self.state();
        ops.append(&mut state.ops);
        !state.closed
    }

    /// The thread wants to sleep; `false` if something has come meanwhile.
    pub(crate) fn may_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let state = self.state();
        let quiet = state.ops.is_empty() && !state.closed;
        if !quiet {
            self.asleep.store(false, Ordering::SeqCst);
        }
        quiet
    }

    /// The thread is awake.
    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            // It can only fail when it was rung 2^64 times.
            let _rung = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
