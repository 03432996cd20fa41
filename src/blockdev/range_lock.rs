use std::sync::{Condvar, Mutex, PoisonError};

use crate::Span;

/// Keeps writes that read a block first apart from other writes to that block.
///
/// Whole-block writes hold their span shared: their order among each other is the clients'
/// business. A write that must read a block, change part of it and write it back holds it alone.
#[derive(Debug, Default)]
pub(crate) struct RangeLock {
    held: Mutex<Vec<Held>>,
    changed: Condvar,
}

#[derive(Debug, PartialEq, Eq)]
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

impl RangeLock {
    /// Waits until no overlapping span is held in a way that forbids this one.
    pub(crate) fn hold(&self, span: Span, alone: bool) -> RangeGuard<'_> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        while held
            .iter()
            .any(|h| (alone || h.alone) && h.span.overlaps(span))
        {
            held = self
                .changed
                .wait(held)
                .unwrap_or_else(PoisonError::into_inner);
        }
        held.push(Held { span, alone });
        RangeGuard {
            lock: self,
            held: Held { span, alone },
        }
    }
}

impl Drop for RangeGuard<'_> {
    fn drop(&mut self) {
        let mut held = self
            .lock
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = held.iter().position(|h| *h == self.held) {
            held.swap_remove(at);
        }
        self.lock.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn shared_spans_overlap_and_lone_ones_do_not() {
        let lock = RangeLock::default();
        let first = lock.hold(Span::at(0, 10), false);
        let second = lock.hold(Span::at(5, 10), false);
        let apart = lock.hold(Span::at(20, 10), true);
        drop((first, second, apart));
        assert!(lock.held.lock().unwrap().is_empty());
    }

    #[test]
    fn a_lone_holder_is_alone() {
        let lock = RangeLock::default();
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let _guard = lock.hold(Span::at(0, 1), true);
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }
}
