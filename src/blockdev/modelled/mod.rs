//! The range lock with locks of loom's, which tries all orders in which threads can come to it.

mod sync {
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
}
#[expect(clippy::duplicate_mod, reason = "the same code with other locks")]
#[path = "../range_lock.rs"]
mod range_lock;

use std::sync::atomic::{AtomicU32, Ordering};

use loom::sync::Arc;
use loom::thread;

use self::range_lock::RangeLock;
use crate::Span;

/// Two threads change parts of two blocks each, and one writes a whole block as the ring does: none of
/// them meets another one in a block that is changed in part, and none waits for ever.
#[test]
fn in_no_order_do_two_change_a_block_and_none_waits_for_ever() {
    let mut orders = loom::model::Builder::new();
    orders.preemption_bound = Some(3);
    orders.check(|| {
        let lock = Arc::new(RangeLock::default());
        let blocks: Arc<[AtomicU32; 3]> = Arc::new(Default::default());
        let change = |first: u64, count: u64| {
            let (lock, blocks) = (Arc::clone(&lock), Arc::clone(&blocks));
            move || {
                let _held = lock.hold(Span::at(first, count), true);
                let mine = || (first..first + count).map(|n| &blocks[usize::try_from(n).unwrap()]);
                mine().for_each(|block| assert_eq!(block.fetch_add(1, Ordering::Relaxed), 0));
                thread::yield_now();
                mine().for_each(|block| assert_eq!(block.fetch_sub(1, Ordering::Relaxed), 1));
            }
        };
        let threads = [thread::spawn(change(0, 2)), thread::spawn(change(1, 2))];
        if lock.try_share(Span::at(2, 1)) {
            assert_eq!(blocks[2].load(Ordering::Relaxed), 0);
            thread::yield_now();
            assert_eq!(blocks[2].load(Ordering::Relaxed), 0);
            lock.give_back(Span::at(2, 1));
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
