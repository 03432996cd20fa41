use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::bell::Bell;
use super::sync::{AtomicBool, Mutex, MutexGuard};
use crate::op::Op;

/// Requests on their way to the ring's thread, and the means to wake it.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// The thread sleeps, or is about to: it must be woken.
    asleep: AtomicBool,
    bell: Bell,
}

#[derive(Default)]
struct State {
    ops: Vec<Box<dyn Op>>,
    closed: bool,
}

impl Queue {
    pub(crate) fn new() -> io::Result<Queue> {
        Ok(Queue {
            state: Mutex::new(State::default()),
            asleep: AtomicBool::new(false),
            bell: Bell::new()?,
        })
    }

    /// What is written to when the thread must wake up.
    pub(crate) fn bell(&self) -> &Bell {
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
            self.bell.ring();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
