use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Sender, unbounded};

type Job = Box<dyn FnOnce() + Send>;

/// Threads that do what a fop must wait for, so that no thread of Gluster's waits.
///
/// A job that panics is the end of that job only; whoever gave it has to see to its answer.
#[derive(Debug)]
pub(crate) struct Workers {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` threads named `name`, at most 15 bytes (pthread_setname_np(3)).
    pub(crate) fn start(name: &str, count: usize) -> io::Result<Workers> {
        let (sender, receiver) = unbounded::<Job>();
        let threads = (0..count)
            .map(|_| {
                let receiver = receiver.clone();
                Builder::new().name(name.to_owned()).spawn(move || {
                    for job in receiver {
                        // The panic hook has told of it; the call's own guard answers it.
                        let _told = catch_unwind(AssertUnwindSafe(job));
                    }
                })
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Workers {
            jobs: Some(sender),
            threads,
        })
    }

    /// Queues a job; it runs as soon as a thread is free.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        if let Some(jobs) = &self.jobs {
            // Sending fails only when all threads are gone, which happens in Drop alone.
            let _sent = jobs.send(Box::new(job));
        }
    }
}

impl Drop for Workers {
    /// Finishes all queued jobs.
    fn drop(&mut self) {
        self.jobs = None;
        let own = std::thread::current().id();
        for thread in self.threads.drain(..) {
            if thread.thread().id() != own {
                let _ended = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
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
}
