use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::gf_error;

type Job = Box<dyn FnOnce() + Send>;

/// How long a thread waits for a job before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// Threads that do what a fop must wait for, so that no thread of Gluster's waits.
///
/// There is a thread for each job, up to a limit: a job that waits for a disk or a server that does
/// not answer holds up no other. A job that panics is the end of that job only; whoever gave it
/// has to see to its answer.
#[derive(Debug)]
pub struct Workers {
    shared: Arc<Shared>,
    name: String,
    most: usize,
}

/// Counts jobs that are queued or under way, so that their end can be waited for.
#[derive(Debug, Default)]
pub struct Tally {
    count: Mutex<usize>,
    none: Condvar,
}

/// A job that counts until this is dropped.
#[derive(Debug)]
pub struct Counted(Arc<Tally>);

impl Tally {
    /// A job comes.
    pub fn begin(self: &Arc<Self>) -> Counted {
        *self.count() += 1;
        Counted(Arc::clone(self))
    }

    /// Waits for the end of all jobs, and of those that they have begun.
    pub fn wait_for_none(&self) {
        let ended = self.none.wait_while(self.count(), |count| *count > 0);
        drop(ended);
    }

    fn count(&self) -> MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut count = self.0.count();
        *count -= 1;
        if *count == 0 {
            self.0.none.notify_all();
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    come: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Threads that wait for a job.
    idle: usize,
    /// Threads that take jobs, or will.
    alive: usize,
    threads: Vec<JoinHandle<()>>,
    closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} jobs, {} idle", self.jobs.len(), self.idle)
    }
}

impl Workers {
    /// Up to `most` threads named `name`, at most 15 bytes (pthread_setname_np(3)), which are started when
    /// there are jobs.
    pub fn new(name: &str, most: usize) -> Workers {
        Workers {
            shared: Arc::default(),
            name: name.to_owned(),
            most,
        }
    }

    /// As [`Workers::new`]. One of them is started now, and stays: all jobs are done.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(name: &str, most: usize) -> io::Result<Workers> {
        let workers = Workers::new(name, most);
        workers.spawn(&mut workers.shared.state(), true)?;
        Ok(workers)
    }

    /// Queues a job. It runs at once, unless there are as many threads as there may be. Where there is no
    /// thread, and none can be started, the job is dropped.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        let mut state = self.shared.state();
        state.jobs.push_back(Box::new(job));
        if state.idle >= state.jobs.len() {
            self.shared.come.notify_one();
            return;
        }
        // Without a new one another thread comes to it.
        if state.alive < self.most
            && let Err(error) = self.spawn(&mut state, false)
            && state.alive == 0
        {
            let dropped = state.jobs.pop_back();
            drop(state);
            gf_error!("no thread of {} can be started: {error}", self.name);
            drop(dropped);
        }
    }

    /// Finishes all queued jobs, and ends the threads.
    pub fn end(&self) {
        let threads = {
            let mut state = self.shared.state();
            state.closed = true;
            std::mem::take(&mut state.threads)
        };
        self.shared.come.notify_all();
        let own = std::thread::current().id();
        for thread in threads {
            if thread.thread().id() != own {
                let _ended = thread.join();
            }
        }
    }

    fn spawn(&self, state: &mut State, stays: bool) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = Builder::new()
            .name(self.name.clone())
            .spawn(move || shared.work(stays))?;
        state.alive += 1;
        state.threads.retain(|thread| !thread.is_finished());
        state.threads.push(thread);
        Ok(())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does; one that `stays` waits for jobs until the end.
    fn work(&self, stays: bool) {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // The panic hook has told of it; the call's own guard answers it.
                let _told = catch_unwind(AssertUnwindSafe(job));
                state = self.state();
                continue;
            }
            if state.closed {
                state.alive -= 1;
                return;
            }
            state.idle += 1;
            let (woken, waited) = self
                .come
                .wait_timeout(state, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && !stays && state.jobs.is_empty() {
                state.alive -= 1;
                return;
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn every_job_runs_even_after_one_panicked() {
        let done = Arc::new(AtomicU32::new(0));
        let workers = Workers::start("test", 3).unwrap();
        for n in 0..100 {
            let done = Arc::clone(&done);
            workers.run(move || {
                assert!(n != 50, "told to panic");
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        drop(workers);
        assert_eq!(done.load(Ordering::SeqCst), 99);
    }

    #[test]
    fn threads_come_with_jobs_and_end_after_them() {
        let (done, workers) = (Arc::new(AtomicU32::new(0)), Workers::new("test", 3));
        assert_eq!(workers.shared.state().alive, 0);
        for _ in 0..20 {
            let done = Arc::clone(&done);
            workers.run(move || {
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        workers.end();
        assert_eq!(done.load(Ordering::SeqCst), 20);
        assert_eq!(workers.shared.state().alive, 0);
    }

    #[test]
    fn a_tally_counts_what_jobs_have_begun() {
        let (tally, done) = (Arc::<Tally>::default(), Arc::new(AtomicU32::new(0)));
        let workers = Arc::new(Workers::start("test", 3).unwrap());
        let (second, end) = (Arc::clone(&workers), Arc::clone(&done));
        let (first_counted, tally_of_second) = (tally.begin(), Arc::clone(&tally));
        workers.run(move || {
            let counted = tally_of_second.begin();
            drop(first_counted);
            second.run(move || {
                std::thread::sleep(Duration::from_millis(20));
                end.fetch_add(1, Ordering::SeqCst);
                drop(counted);
            });
        });
        tally.wait_for_none();
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn jobs_that_wait_for_each_other_all_run() {
        let workers = Workers::start("test", 50).unwrap();
        for _ in 0..3 {
            let all = Arc::new(Barrier::new(51));
            for _ in 0..50 {
                let all = Arc::clone(&all);
                workers.run(move || {
                    all.wait();
                });
            }
            all.wait();
        }
        assert!(workers.shared.state().threads.len() <= 50);
    }
}
