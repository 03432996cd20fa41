use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, RawFd};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crate::op::{Outcome, Read, Transfer, Way, Write};
use crate::queue::Queue;
use crate::worker::Worker;

/// An io_uring and its thread.
///
/// Dropping it finishes all requests first.
pub struct Ring {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
    /// The descriptor that the thread works with.
    fd: RawFd,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("fd", &self.fd)
            .finish_non_exhaustive()
    }
}

impl Ring {
    /// Makes a ring and starts its thread, named `name` (at most 15 bytes). `ended` is called on
    /// that thread with the reason if the ring breaks.
    ///
    /// # Errors
    /// The kernel has no io_uring or does not allow it (io_uring_setup(2); the setting
    /// `kernel.io_uring_disabled`), or no thread can be started.
    pub fn start(name: &str, ended: impl FnOnce(io::Error) + Send + 'static) -> io::Result<Ring> {
        let queue = Arc::new(Queue::new()?);
        let theirs = Arc::clone(&queue);
        let (ready, started) = std::sync::mpsc::channel();
        let thread =
            Builder::new()
                .name(name.to_owned())
                .spawn(move || match Worker::new(theirs) {
                    Ok(worker) => {
                        let _heard = ready.send(Ok(worker.fd()));
                        if let Err(error) = worker.run() {
                            ended(error);
                        }
                    }
                    Err(error) => {
                        let _heard = ready.send(Err(error));
                    }
                })?;
        match started.recv() {
            Ok(Ok(fd)) => Ok(Ring {
                queue,
                thread: Some(thread),
                fd,
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other("the thread of the ring ended")),
        }
    }

    /// Reads from byte `at` of `file` into `buffer`, and calls `done` on the ring's thread with
    /// what came of it.
    ///
    /// Fewer bytes than there is room for are no error. `done` must not block. If the ring has
    /// broken, `buffer` and `done` come back.
    pub fn read<F, B, D>(&self, file: F, at: u64, buffer: B, done: D) -> Result<(), (B, D)>
    where
        F: AsFd + Send + 'static,
        B: DerefMut<Target = [u8]> + Send + 'static,
        D: FnOnce(Outcome<B>) + Send + 'static,
    {
        self.give::<F, B, D, Read>(file, at, buffer, done)
    }

    /// Writes `buffer` to byte `at` of `file`; otherwise as [`Ring::read`].
    pub fn write<F, B, D>(&self, file: F, at: u64, buffer: B, done: D) -> Result<(), (B, D)>
    where
        F: AsFd + Send + 'static,
        B: Deref<Target = [u8]> + Send + 'static,
        D: FnOnce(Outcome<B>) + Send + 'static,
    {
        self.give::<F, B, D, Write>(file, at, buffer, done)
    }

    fn give<F, B, D, W>(&self, file: F, at: u64, buffer: B, done: D) -> Result<(), (B, D)>
    where
        F: AsFd + Send + 'static,
        B: Send + 'static,
        D: FnOnce(Outcome<B>) + Send + 'static,
        W: Way<B> + 'static,
    {
        let op = Transfer::<F, B, D, W>::new(file, at, buffer, done);
        self.queue.push(Box::new(op)).map_err(|op| op.into_parts())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::{FromRawFd, OwnedFd};
    use std::os::unix::fs::FileExt;
    use std::sync::mpsc::channel;

    use super::*;

    fn start() -> Ring {
        Ring::start("test", |error| panic!("{error}")).unwrap()
    }

    fn done<B>(outcome: Outcome<B>) -> (io::Result<usize>, B) {
        match outcome {
            Outcome::Done(result, buffer) => (result, buffer),
            Outcome::Lost => panic!("lost"),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let ring = start();
        let (sender, receiver) = channel();
        for n in 0..2000_u64 {
            let sender = sender.clone();
            let bytes = vec![u8::try_from(n % 251).unwrap(); 10];
            ring.write(Arc::clone(&file), n * 10, bytes, move |outcome| {
                sender.send(done(outcome).0.unwrap()).unwrap();
            })
            .ok()
            .unwrap();
        }
        assert_eq!(receiver.iter().take(2000).sum::<usize>(), 20_000);
        for n in (0..2000_u64).rev() {
            let sender = sender.clone();
            let byte = u8::try_from(n % 251).unwrap();
            ring.read(Arc::clone(&file), n * 10, vec![0; 10], move |outcome| {
                let (result, bytes) = done(outcome);
                assert_eq!(bytes, [byte; 10]);
                sender.send(result.unwrap()).unwrap();
            })
            .ok()
            .unwrap();
        }
        assert_eq!(receiver.iter().take(2000).sum::<usize>(), 20_000);
    }

    #[test]
    fn requests_of_many_threads_are_finished_before_the_end() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let ring = start();
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (ring, file) = (&ring, &file);
                scope.spawn(move || {
                    for n in 0..500 {
                        let at = (thread * 500 + n) * 8;
                        ring.write(Arc::clone(file), at, at.to_ne_bytes().to_vec(), |_| {})
                            .ok()
                            .unwrap();
                    }
                });
            }
        });
        drop(ring);
        for at in (0..2000 * 8).step_by(8) {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, at).unwrap();
            assert_eq!(u64::from_ne_bytes(bytes), at);
        }
    }

    #[test]
    fn short_reads_errors_and_panics_are_told_and_survived() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"abc", 0).unwrap();
        let file = Arc::new(file);
        let ring = start();
        let (sender, receiver) = channel();
        let told = sender.clone();
        ring.read(Arc::clone(&file), 1, vec![0; 10], move |outcome| {
            told.send(done(outcome).0.ok()).unwrap();
        })
        .ok()
        .unwrap();
        assert_eq!(receiver.recv().unwrap(), Some(2));
        ring.read(Arc::clone(&file), 0, vec![0; 1], |_| {
            panic!("told to panic");
        })
        .ok()
        .unwrap();
        let folder = File::open("/").unwrap();
        ring.read(folder, 0, vec![0; 10], move |outcome| {
            sender.send(done(outcome).0.ok()).unwrap();
        })
        .ok()
        .unwrap();
        assert_eq!(receiver.recv().unwrap(), None);
    }

    #[test]
    fn a_broken_ring_answers_everything_and_takes_nothing_more() {
        let (sender, receiver) = channel();
        let (why, reason) = channel();
        let ring = Ring::start("test", move |error| why.send(error).unwrap()).unwrap();
        // A read that ends when somebody writes, which nobody does.
        let (pipe, writer) = io::pipe().unwrap();
        for _ in 0..3 {
            let (pipe, sender) = (pipe.try_clone().unwrap(), sender.clone());
            ring.read(pipe, 0, vec![0; 10], move |outcome| {
                sender.send(matches!(outcome, Outcome::Lost)).unwrap();
            })
            .ok()
            .unwrap();
        }
        // When this one is answered, the kernel has them.
        let file = Arc::new(tempfile::tempfile().unwrap());
        let (taken, all_taken) = channel();
        ring.read(Arc::clone(&file), 0, vec![0; 10], move |outcome| {
            taken.send(done(outcome).0.unwrap()).unwrap();
        })
        .ok()
        .unwrap();
        assert_eq!(all_taken.recv().unwrap(), 0);
        // The thread's next call finds another kind of file there, which it cannot enter.
        let other = File::open("/dev/null").unwrap();
        // SAFETY: the worker's descriptor, which stays open and its own; only its calls fail.
        let mut theirs = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(ring.fd) });
        let kept = theirs.try_clone().unwrap();
        rustix::io::dup2(&other, &mut theirs).unwrap();
        let mut refused = false;
        while !refused {
            refused = ring
                .read(Arc::clone(&file), 0, vec![0; 10], |_| {})
                .is_err();
        }
        assert!(reason.recv().unwrap().raw_os_error().is_some());
        drop((sender, ring, kept));
        // What became of those three the kernel cannot be asked any more.
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [true; 3]);
        drop(writer);
    }
}
