use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use io_uring::{IoUring, opcode, squeue, types};

use crate::op::{Op, Read, Write};
use crate::queue::Queue;

/// Requests that the kernel works on at the same time; more wait.
const DEPTH: u32 = 256;
/// The thread's nice value (nice(2)): about nine times the share of an ordinary thread.
const NICE: i32 = -10;
/// Marks the answer to the wait for the bell; requests have smaller numbers.
const BELL: u64 = u64::MAX;

/// An io_uring and its thread.
///
/// Dropping it finishes all requests first.
pub struct Ring {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ring")
    }
}

impl Ring {
    /// Makes a ring and starts its thread, named `name` (at most 15 bytes).
    ///
    /// # Errors
    /// The kernel has no io_uring or does not allow it (io_uring_setup(2); the setting
    /// `kernel.io_uring_disabled`), or no thread can be started.
    pub fn start(name: &str) -> io::Result<Ring> {
        let queue = Arc::new(Queue::new()?);
        let theirs = Arc::clone(&queue);
        let (ready, started) = std::sync::mpsc::channel();
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            // A ring for one thread must be made by that thread.
            match make() {
                Ok(uring) => {
                    let _heard = ready.send(Ok(()));
                    Worker::new(uring, theirs).run();
                }
                Err(error) => {
                    let _heard = ready.send(Err(error));
                }
            }
        })?;
        match started.recv() {
            Ok(Ok(())) => Ok(Ring {
                queue,
                thread: Some(thread),
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other("the thread of the ring ended")),
        }
    }

    /// Reads from byte `at` of `file` into `buffer`, and calls `done` on the ring's thread with
    /// the number of bytes read, or the error, and the buffer.
    ///
    /// Fewer bytes than there is room for are no error. `done` must not block. If the ring has
    /// ended, `buffer` and `done` come back.
    pub fn read<F, B, D>(&self, file: F, at: u64, buffer: B, done: D) -> Result<(), (B, D)>
    where
        F: AsFd + Send + 'static,
        B: DerefMut<Target = [u8]> + Send + 'static,
        D: FnOnce(io::Result<usize>, B) + Send + 'static,
    {
        let op = Read {
            file,
            at,
            buffer,
            done,
        };
        self.queue
            .push(Box::new(op))
            .map_err(|op| (op.buffer, op.done))
    }

    /// Writes `buffer` to byte `at` of `file`; otherwise as [`Ring::read`].
    pub fn write<F, B, D>(&self, file: F, at: u64, buffer: B, done: D) -> Result<(), (B, D)>
    where
        F: AsFd + Send + 'static,
        B: Deref<Target = [u8]> + Send + 'static,
        D: FnOnce(io::Result<usize>, B) + Send + 'static,
    {
        let op = Write {
            file,
            at,
            buffer,
            done,
        };
        self.queue
            .push(Box::new(op))
            .map_err(|op| (op.buffer, op.done))
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

/// A ring whose completions are handled by its own thread when it asks for them, where the kernel
/// can do that (Linux 6.1), else an ordinary one.
fn make() -> io::Result<IoUring> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(DEPTH)
        .or_else(|_| IoUring::new(DEPTH))
}

/// What the thread works with.
struct Worker {
    uring: IoUring,
    queue: Arc<Queue>,
    /// Requests that the kernel works on, by their numbers.
    working: Vec<Option<NonNull<dyn Op>>>,
    /// Numbers that are free.
    free: Vec<usize>,
    /// Requests that wait for a number.
    waiting: std::collections::VecDeque<Box<dyn Op>>,
    /// Filled by the bell.
    rung: Box<[u8; 8]>,
    listens: bool,
}

impl Worker {
    fn new(uring: IoUring, queue: Arc<Queue>) -> Worker {
        let count = DEPTH as usize - 1;
        Worker {
            uring,
            queue,
            working: (0..count).map(|_| None).collect(),
            free: (0..count).rev().collect(),
            waiting: std::collections::VecDeque::new(),
            rung: Box::default(),
            listens: false,
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.free.len() == self.working.len()
    }

    fn run(mut self) {
        // It does the work of many threads, and shall have as large a share of a busy machine.
        // Without the privilege it has that of one.
        let _raised = rustix::process::setpriority_process(None, NICE);
        let mut fresh = Vec::new();
        let mut finished = Vec::new();
        loop {
            let more = self.queue.take(&mut fresh);
            self.waiting.extend(fresh.drain(..));
            self.give();
            if !more && self.is_idle() {
                // The kernel still waits for the bell, and writes to `rung` when it rings.
                std::mem::forget(std::mem::take(&mut self.rung));
                return;
            }
            let entered = if more && !self.queue.may_sleep() {
                self.uring.submit()
            } else {
                self.uring.submit_and_wait(1)
            };
            self.queue.awake();
            match entered {
                Ok(_) => {}
                Err(error) if is_passing(&error) => {}
                Err(_) => return self.give_up(),
            }
            self.collect(&mut finished);
            for (op, result) in finished.drain(..) {
                // The panic hook has told of it; the request's own guard answers it.
                let _told = catch_unwind(AssertUnwindSafe(|| op.finish(result)));
            }
        }
    }

    /// Puts what waits on the submission queue, as far as numbers go.
    fn give(&mut self) {
        if !self.listens {
            let bell = types::Fd(self.queue.bell().as_fd().as_raw_fd());
            let entry = opcode::Read::new(bell, self.rung.as_mut_ptr(), 8)
                .build()
                .user_data(BELL);
            // SAFETY: the eight bytes live as long as the worker, and are leaked when it ends;
            // the descriptor is the queue's, which the worker holds.
            self.listens = unsafe { self.uring.submission().push(&entry) }.is_ok();
        }
        while !self.waiting.is_empty()
            && let Some(number) = self.free.pop()
            && let Some(op) = self.waiting.pop_front()
        {
            // A raw pointer, because the kernel's pointers to what it owns must stay good.
            let raw = Box::into_raw(op);
            // SAFETY: it comes from a box and nobody else has it.
            let entry = unsafe { (*raw).entry() }.user_data(number as u64);
            self.working[number] = NonNull::new(raw);
            let push = |queue: &mut squeue::SubmissionQueue<'_>| {
                // SAFETY: file and memory belong to the request, which is not touched, moved or
                // dropped until the kernel has answered; see `collect` and `give_up`.
                unsafe { queue.push(&entry) }
            };
            // There is an entry for each number and one for the bell.
            let pushed = push(&mut self.uring.submission());
            assert!(
                pushed.is_ok(),
                "the submission queue is as long as there are numbers"
            );
        }
    }

    /// Takes what the kernel has answered.
    fn collect(&mut self, finished: &mut Vec<(Box<dyn Op>, io::Result<usize>)>) {
        for answer in self.uring.completion() {
            if answer.user_data() == BELL {
                self.listens = false;
                continue;
            }
            let Ok(number) = usize::try_from(answer.user_data()) else {
                continue;
            };
            let Some(raw) = self.working.get_mut(number).and_then(Option::take) else {
                continue;
            };
            self.free.push(number);
            // SAFETY: from Box::into_raw in `give`, taken once; the kernel has done with it.
            let op = unsafe { Box::from_raw(raw.as_ptr()) };
            let result = usize::try_from(answer.result())
                .map_err(|_| io::Error::from_raw_os_error(-answer.result()));
            finished.push((op, result));
        }
    }

    /// The ring does not work any more: nothing is known of what the kernel works on, so its
    /// memory is never freed. What it was not given fails.
    fn give_up(mut self) {
        self.queue.close();
        let mut rest = Vec::new();
        self.queue.take(&mut rest);
        for op in self.waiting.drain(..).chain(rest) {
            let error = io::Error::other("the ring has ended");
            let _told = catch_unwind(AssertUnwindSafe(|| op.finish(Err(error))));
        }
        std::mem::forget(self);
    }
}

/// Whether entering the kernel can be tried again.
fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::INTR, Errno::AGAIN, Errno::BUSY, Errno::NOMEM]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let ring = Ring::start("test").unwrap();
        let (sender, receiver) = channel();
        for n in 0..2000_u64 {
            let sender = sender.clone();
            let byte = u8::try_from(n % 251).unwrap();
            ring.write(
                Arc::clone(&file),
                n * 10,
                vec![byte; 10],
                move |result, _| {
                    sender.send(result.unwrap()).unwrap();
                },
            )
            .ok()
            .unwrap();
        }
        assert_eq!(receiver.iter().take(2000).sum::<usize>(), 20_000);
        for n in (0..2000_u64).rev() {
            let sender = sender.clone();
            let byte = u8::try_from(n % 251).unwrap();
            ring.read(
                Arc::clone(&file),
                n * 10,
                vec![0; 10],
                move |result, bytes| {
                    assert_eq!(bytes, [byte; 10]);
                    sender.send(result.unwrap()).unwrap();
                },
            )
            .ok()
            .unwrap();
        }
        assert_eq!(receiver.iter().take(2000).sum::<usize>(), 20_000);
    }

    #[test]
    fn requests_of_many_threads_are_finished_before_the_end() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let ring = Ring::start("test").unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (ring, file) = (&ring, &file);
                scope.spawn(move || {
                    for n in 0..500 {
                        let at = (thread * 500 + n) * 8;
                        ring.write(Arc::clone(file), at, at.to_ne_bytes().to_vec(), |_, _| {})
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
        let ring = Ring::start("test").unwrap();
        let (sender, receiver) = channel();
        let told = sender.clone();
        ring.read(Arc::clone(&file), 1, vec![0; 10], move |result, bytes| {
            told.send((result.ok(), bytes)).unwrap();
        })
        .ok()
        .unwrap();
        assert_eq!(receiver.recv().unwrap().0, Some(2));
        ring.read(Arc::clone(&file), 0, vec![0; 1], |_, _| {
            panic!("told to panic");
        })
        .ok()
        .unwrap();
        let folder = File::open("/").unwrap();
        ring.read(folder, 0, vec![0; 10], move |result, bytes| {
            sender.send((result.ok(), bytes)).unwrap();
        })
        .ok()
        .unwrap();
        assert_eq!(receiver.recv().unwrap().0, None);
    }
}
