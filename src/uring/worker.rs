use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::{IoUring, opcode, squeue, types};

use crate::op::Op;
use crate::queue::Queue;

/// Requests that are given to the kernel at once.
const DEPTH: u32 = 256;
/// Requests that the kernel works on at the same time; more wait. Far more than one client of
/// Gluster can have (server.outstanding-rpc-limit, 64), so that a disk that does not answer is no
/// hindrance to the others.
const IN_FLIGHT: u32 = 1024;
/// The thread's nice value (nice(2)): about nine times the share of an ordinary thread.
const NICE: i32 = -10;
/// How long the requests that the kernel works on are waited for when the ring has broken.
const GRACE: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 5000 });
/// How often they are looked for then.
const LOOK: Duration = Duration::from_millis(5);
/// `IORING_ENTER_GETEVENTS` of io_uring_enter(2).
const GETEVENTS: u32 = 1;
/// Marks the answer to the wait for the bell; requests have smaller numbers.
const BELL: u64 = u64::MAX;

/// What the ring's thread works with.
pub(crate) struct Worker {
    uring: IoUring,
    queue: Arc<Queue>,
    /// Requests that the kernel works on, by their numbers.
    working: Vec<Option<NonNull<dyn Op>>>,
    /// Numbers that are free.
    free: Vec<usize>,
    /// Requests that wait for a number.
    waiting: VecDeque<Box<dyn Op>>,
    /// The numbers put on the submission queue since it was last empty; `usize::MAX` is the bell.
    offered: Vec<usize>,
    /// Filled by the bell.
    rung: Box<[u8; 8]>,
    listens: bool,
}

impl Worker {
    /// A ring for the calling thread, which alone may use it.
    pub(crate) fn new(queue: Arc<Queue>) -> io::Result<Worker> {
        // Completions are handled by the ring's thread when it asks for them, where the kernel can
        // do that (Linux 6.1).
        let uring = IoUring::builder()
            .setup_cqsize(2 * IN_FLIGHT)
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(DEPTH)
            .or_else(|_| IoUring::builder().setup_cqsize(2 * IN_FLIGHT).build(DEPTH))?;
        // What a device cannot begin without waiting is begun by threads of the kernel. By default
        // they are four for each processor: a disk that takes no more would hold them all. Before
        // Linux 5.15 it stays so.
        let _more = uring
            .submitter()
            .register_iowq_max_workers(&mut [IN_FLIGHT, 0]);
        let count = IN_FLIGHT as usize;
        Ok(Worker {
            uring,
            queue,
            working: (0..count).map(|_| None).collect(),
            free: (0..count).rev().collect(),
            waiting: VecDeque::new(),
            offered: Vec::new(),
            rung: Box::default(),
            listens: false,
        })
    }

    /// The ring's descriptor.
    pub(crate) fn fd(&self) -> std::os::fd::RawFd {
        self.uring.as_raw_fd()
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.free.len() == self.working.len()
    }

    /// Works until the queue is closed and all is done, or until the ring breaks.
    pub(crate) fn run(mut self) -> io::Result<()> {
        // It does the work of many threads, and shall have as large a share of a busy machine.
        // Without the privilege it has that of one.
        let _raised = rustix::process::setpriority_process(None, NICE);
        let mut fresh = Vec::new();
        let mut finished = Vec::new();
        loop {
            let more = self.queue.take(&mut fresh);
            self.waiting.extend(fresh.drain(..));
            let gave_all = self.give();
            if !more && self.is_idle() {
                // The kernel still waits for the bell, and writes to `rung` when it rings.
                std::mem::forget(std::mem::take(&mut self.rung));
                return Ok(());
            }
            let entered = if !gave_all || (more && !self.queue.may_sleep()) {
                self.uring.submit()
            } else {
                self.uring.submit_and_wait(1)
            };
            self.queue.awake();
            match entered {
                Ok(_) => {}
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    self.give_up();
                    return Err(error);
                }
            }
            if self.uring.submission().is_empty() {
                self.offered.clear();
            }
            self.collect(&mut finished);
            finish(finished.drain(..));
        }
    }

    /// Puts what waits on the submission queue, as far as numbers go. Says whether there was room.
    fn give(&mut self) -> bool {
        if !self.listens {
            let bell = types::Fd(self.queue.bell().as_fd().as_raw_fd());
            let entry = opcode::Read::new(bell, self.rung.as_mut_ptr(), 8)
                .build()
                .user_data(BELL);
            // SAFETY: the eight bytes live as long as the worker, and are leaked when it ends;
            // the descriptor is the queue's, which the worker holds.
            self.listens = unsafe { self.uring.submission().push(&entry) }.is_ok();
            if !self.listens {
                return false;
            }
            self.offered.push(usize::MAX);
        }
        loop {
            if self.waiting.is_empty() || self.free.is_empty() {
                return true;
            }
            if self.uring.submission().is_full() {
                return false;
            }
            let (Some(op), Some(number)) = (self.waiting.pop_front(), self.free.pop()) else {
                return true;
            };
            // A raw pointer, because the kernel's pointers to what it owns must stay good.
            let raw = Box::into_raw(op);
            // SAFETY: it comes from a box and nobody else has it.
            let entry = unsafe { (*raw).entry() }.user_data(number as u64);
            self.working[number] = NonNull::new(raw);
            self.offered.push(number);
            let push = |queue: &mut squeue::SubmissionQueue<'_>| {
                // SAFETY: file and memory belong to the request, which is not touched, moved or
                // dropped until the kernel has answered; see `collect`; `give_up` keeps it.
                unsafe { queue.push(&entry) }
            };
            let pushed = push(&mut self.uring.submission());
            assert!(pushed.is_ok(), "the submission queue was not full");
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

    /// The ring does not work any more. What the kernel was not given fails, and may be done by
    /// other means; what it works on is answered if it can be learned what came of it.
    fn give_up(mut self) {
        self.queue.close();
        let mut ops: Vec<_> = self.waiting.drain(..).collect();
        self.queue.take(&mut ops);
        let untaken = self.uring.submission().len();
        let first = self.offered.len().saturating_sub(untaken);
        for number in self.offered.split_off(first) {
            // SAFETY: from Box::into_raw in `give`, taken once; the kernel has not seen it, and
            // will not, as nothing is submitted any more.
            ops.extend(
                self.working
                    .get_mut(number)
                    .and_then(Option::take)
                    .map(|raw| unsafe { Box::from_raw(raw.as_ptr()) }),
            );
        }
        finish(ops.into_iter().map(|op| {
            let error = io::Error::other("the ring has broken");
            (op, Err(error))
        }));
        let until = Instant::now() + GRACE;
        let mut finished = Vec::new();
        while self.working.iter().any(Option::is_some) && Instant::now() < until {
            // SAFETY: nothing is submitted, and no argument given.
            let _looked = unsafe { self.uring.submitter().enter::<()>(0, 0, GETEVENTS, None) };
            self.collect(&mut finished);
            if finished.is_empty() {
                std::thread::sleep(LOOK);
            }
            finish(finished.drain(..));
        }
        for raw in self.working.drain(..).flatten() {
            // SAFETY: from Box::into_raw in `give`, taken once. What the kernel may still use is
            // not freed: `lose` sees to that.
            let op = unsafe { Box::from_raw(raw.as_ptr()) };
            let _told = catch_unwind(AssertUnwindSafe(|| op.lose()));
        }
        // The kernel may still write there when the bell rings.
        std::mem::forget(std::mem::take(&mut self.rung));
    }
}

/// Calls what follows requests.
fn finish(ops: impl Iterator<Item = (Box<dyn Op>, io::Result<usize>)>) {
    for (op, result) in ops {
        // The panic hook has told of it; the request's own guard answers it.
        let _told = catch_unwind(AssertUnwindSafe(|| op.finish(result)));
    }
}

/// Whether entering the kernel can be tried again.
fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::INTR, Errno::AGAIN, Errno::BUSY, Errno::NOMEM]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
