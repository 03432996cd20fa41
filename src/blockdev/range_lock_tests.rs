use std::sync::atomic::{AtomicU32, Ordering};

use crate::Span;
use crate::range_lock::RangeLock;

/// Nobody holds anything, or this hangs.
fn is_free(lock: &RangeLock) -> bool {
    drop(lock.hold(Span::at(0, u64::MAX), true));
    true
}

#[test]
fn shared_spans_overlap_and_lone_ones_do_not() {
    let lock = RangeLock::default();
    let first = lock.hold(Span::at(0, 10), false);
    let second = lock.hold(Span::at(5, 10), false);
    let apart = lock.hold(Span::at(20, 10), true);
    drop((first, second, apart));
    assert!(is_free(&lock));
    let alone = lock.hold(Span::at(0, 10), true);
    assert!(!lock.try_share(Span::at(9, 2)));
    assert!(lock.try_share(Span::at(10, 2)));
    drop(alone);
    assert!(lock.try_share(Span::at(9, 2)));
    lock.give_back(Span::at(9, 2));
    lock.give_back(Span::at(10, 2));
    assert!(is_free(&lock));
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
