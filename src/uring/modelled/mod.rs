//! A ring's queue with locks of loom's, which tries all orders in which threads can come to it, and a bell
//! that loom knows.

mod bell {
    use std::io;
    use std::sync::PoisonError;

    use loom::sync::{Condvar, Mutex};

    pub(crate) struct Bell(Mutex<bool>, Condvar);

    impl Bell {
        #[expect(clippy::unnecessary_wraps, reason = "as the real one")]
        pub(crate) fn new() -> io::Result<Bell> {
            Ok(Bell(Mutex::new(false), Condvar::new()))
        }

        pub(crate) fn ring(&self) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.1.notify_one();
        }

        /// Sleeps until it has been rung.
        pub(crate) fn wait(&self) {
            let mut rung = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            while !std::mem::take(&mut *rung) {
                rung = self.1.wait(rung).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}
mod sync {
    use std::sync::PoisonError;
    use std::sync::atomic::Ordering;

    pub(crate) use loom::sync::{Mutex, MutexGuard};

    /// Its users all want sequential consistency, which loom gives to locks alone.
    pub(crate) struct AtomicBool(Mutex<bool>);

    impl AtomicBool {
        pub(crate) fn new(value: bool) -> AtomicBool {
            AtomicBool(Mutex::new(value))
        }

        pub(crate) fn swap(&self, value: bool, _: Ordering) -> bool {
            let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut now, value)
        }

        pub(crate) fn store(&self, value: bool, order: Ordering) {
            self.swap(value, order);
        }
    }
}
#[expect(clippy::duplicate_mod, reason = "the same code with other locks")]
#[path = "../queue.rs"]
mod queue;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use io_uring::{opcode, squeue};
use loom::sync::Arc;
use loom::thread;

use crate::op::Op;

use self::queue::Queue;

struct Count(std::sync::Arc<AtomicUsize>);

impl Op for Count {
    fn entry(&mut self) -> squeue::Entry {
        opcode::Nop::new().build()
    }

    fn finish(self: Box<Self>, _: io::Result<usize>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn lose(self: Box<Self>) {}
}

/// As the ring's thread does, which the kernel wakes by the bell alone: no request is left in the queue
/// while it sleeps, and none that the queue has taken comes after the end.
#[test]
fn in_no_order_does_a_request_wait_for_a_thread_that_sleeps() {
    let mut orders = loom::model::Builder::new();
    orders.preemption_bound = Some(3);
    orders.check(|| {
        let queue = Arc::new(Queue::new().unwrap());
        let done = std::sync::Arc::new(AtomicUsize::new(0));
        let taken = std::sync::Arc::new(AtomicUsize::new(0));
        let (theirs, counted, count) = (Arc::clone(&queue), taken.clone(), done.clone());
        let pushes = thread::spawn(move || {
            for _ in 0..2 {
                if theirs.push(Box::new(Count(count.clone()))).is_ok() {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let theirs = Arc::clone(&queue);
        let works = thread::spawn(move || {
            let mut ops = Vec::new();
            loop {
                let more = theirs.take(&mut ops);
                let got_some = !ops.is_empty();
                ops.drain(..).for_each(|op: Box<dyn Op>| op.finish(Ok(0)));
                if !more {
                    return;
                }
                if !got_some && theirs.may_sleep() {
                    theirs.bell().wait();
                }
                theirs.awake();
            }
        });
        pushes.join().unwrap();
        queue.close();
        works.join().unwrap();
        assert_eq!(done.load(Ordering::Relaxed), taken.load(Ordering::Relaxed));
    });
}
