use std::sync::PoisonError;

use super::sync::{Condvar, Mutex, MutexGuard};
use crate::Span;

/// Keeps writes that read a block first apart from other writes to that block.
///
/// Whole-block writes hold their span shared: their order among each other is the clients'
/// business. A write that must read a block, change part of it and write it back holds it alone.
#[derive(Debug)]
pub(crate) struct RangeLock {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    held: Vec<Held>,
    /// Threads that wait for a change.
    waiting: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    span: Span,
    alone: bool,
}

/// A held span; given back on drop.
#[derive(Debug)]
pub(crate) struct RangeGuard<'a> {
    lock: &'a RangeLock,
    held: Held,
}

impl State {
    fn forbids(&self, wanted: Held) -> bool {
        let in_the_way = |h: &Held| (wanted.alone || h.alone) && h.span.overlaps(wanted.span);
        self.held.iter().any(in_the_way)
    }
}

impl Default for RangeLock {
    fn default() -> RangeLock {
        RangeLock {
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        }
    }
}

impl RangeLock {
    /// Waits until no overlapping span is held in a way that forbids this one.
    pub(crate) fn hold(&self, span: Span, alone: bool) -> RangeGuard<'_> {
        let held = Held { span, alone };
        let mut state = self.state();
        while state.forbids(held) {
            state.waiting += 1;
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        state.held.push(held);
        RangeGuard { lock: self, held }
    }

    /// Holds a span shared if that needs no waiting; it must be given back by
    /// [`RangeLock::give_back`].
    pub(crate) fn try_share(&self, span: Span) -> bool {
        let held = Held { span, alone: false };
        let mut state = self.state();
        let free = !state.forbids(held);
        if free {
            state.held.push(held);
        }
        free
    }

    /// Gives back what [`RangeLock::try_share`] has got.
    pub(crate) fn give_back(&self, span: Span) {
        self.drop_held(Held { span, alone: false });
    }

    fn drop_held(&self, held: Held) {
        let mut state = self.state();
        if let Some(at) = state.held.iter().position(|h| *h == held) {
            state.held.swap_remove(at);
        }
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RangeGuard<'_> {
    fn drop(&mut self) {
        self.lock.drop_held(self.held);
    }
}
