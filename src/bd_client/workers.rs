use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use glusterfs::{Node, gf_error};

type Job = Box<dyn FnOnce() + Send>;

/// Threads for work that waits, which GlusterFS's own threads must not do.
pub(crate) struct Workers {
    node: Node,
    limit: usize,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    idle: usize,
    ending: bool,
}

impl Workers {
    /// No thread yet; up to `limit` come as they are needed. Their log lines carry the name of
    /// `node`.
    pub(crate) fn new(node: Node, limit: usize) -> Workers {
        Workers {
            node,
            limit,
            shared: Arc::default(),
            threads: Mutex::default(),
        }
    }

    /// Runs a job on one of the threads.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        let mut queue = lock(&self.shared.queue);
        queue.jobs.push_back(Box::new(job));
        if queue.jobs.len() > queue.idle {
            let mut threads = lock(&self.threads);
            if threads.len() < self.limit {
                let (shared, node) = (self.shared.clone(), self.node);
                let thread = std::thread::Builder::new()
                    .name("bd-client".to_owned())
                    .spawn(move || node.enter(|| work(&shared)));
                match thread {
                    Ok(thread) => threads.push(thread),
                    Err(error) if threads.is_empty() => {
                        gf_error!("no thread for clones and snapshots: {error}");
                        // Dropping the job answers EIO.
                        queue.jobs.pop_back();
                    }
                    Err(_) => {}
                }
            }
        }
        self.shared.wake.notify_one();
    }

    /// Finishes all jobs and ends the threads.
    pub(crate) fn end(&self) {
        lock(&self.shared.queue).ending = true;
        self.shared.wake.notify_all();
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            // A worker catches the panics of its jobs.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

fn work(shared: &Shared) {
    let mut queue = lock(&shared.queue);
    loop {
        if let Some(job) = queue.jobs.pop_front() {
            drop(queue);
            // The job's frame answers EIO when it is dropped; the hook logs the panic.
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                gf_error!("a clone or snapshot was broken off by a bug");
            }
            queue = lock(&shared.queue);
        } else if queue.ending {
            return;
        } else {
            queue.idle += 1;
            queue = shared
                .wake
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
