use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, AsRawFd};

use io_uring::{opcode, squeue, types};

/// How a request ended.
#[derive(Debug)]
pub enum Outcome<B> {
    /// With the number of bytes read or written, or an error; and the memory.
    Done(io::Result<usize>, B),
    /// The ring broke while the kernel worked on it: whether it was done, or still will be, is not
    /// known. The memory is never freed, as the kernel may use it yet.
    Lost,
}

/// A request: what the kernel is asked, and what follows.
pub(crate) trait Op: Send {
    /// The entry for the kernel. It points to what this value owns, and is good as long as the
    /// value is not touched.
    fn entry(&mut self) -> squeue::Entry;

    /// The kernel has done with it.
    fn finish(self: Box<Self>, result: io::Result<usize>);

    /// The kernel will not tell when it has done with it.
    fn lose(self: Box<Self>);
}

/// Bytes that go from a file to memory, or the other way.
pub(crate) struct Transfer<F, B, D, W> {
    file: Option<F>,
    at: u64,
    buffer: B,
    done: Option<D>,
    way: PhantomData<W>,
}

/// Which way bytes go.
pub(crate) trait Way<B>: Send {
    fn entry(file: types::Fd, at: u64, buffer: &mut B) -> squeue::Entry;
}

/// From the file to memory.
pub(crate) struct Read;

/// From memory to the file.
pub(crate) struct Write;

impl<B: DerefMut<Target = [u8]>> Way<B> for Read {
    fn entry(file: types::Fd, at: u64, buffer: &mut B) -> squeue::Entry {
        let bytes: &mut [u8] = buffer;
        opcode::Read::new(file, bytes.as_mut_ptr(), length(bytes))
            .offset(at)
            .build()
    }
}

impl<B: Deref<Target = [u8]>> Way<B> for Write {
    fn entry(file: types::Fd, at: u64, buffer: &mut B) -> squeue::Entry {
        let bytes: &[u8] = buffer;
        opcode::Write::new(file, bytes.as_ptr(), length(bytes))
            .offset(at)
            .build()
    }
}

impl<F, B, D, W> Transfer<F, B, D, W> {
    pub(crate) fn new(file: F, at: u64, buffer: B, done: D) -> Transfer<F, B, D, W> {
        Transfer {
            file: Some(file),
            at,
            buffer,
            done: Some(done),
            way: PhantomData,
        }
    }

    /// What was handed over, of a request that was neither finished nor lost.
    pub(crate) fn into_parts(self) -> (B, D) {
        let done = self.done.expect("it is taken at the end alone");
        (self.buffer, done)
    }
}

impl<F, B, D, W> Op for Transfer<F, B, D, W>
where
    F: AsFd + Send,
    B: Send,
    D: FnOnce(Outcome<B>) + Send,
    W: Way<B>,
{
    fn entry(&mut self) -> squeue::Entry {
        // Without a file the kernel answers EBADF.
        let file = self.file.as_ref();
        let file = types::Fd(file.map_or(-1, |file| file.as_fd().as_raw_fd()));
        W::entry(file, self.at, &mut self.buffer)
    }

    fn finish(self: Box<Self>, result: io::Result<usize>) {
        let Self {
            file, buffer, done, ..
        } = *self;
        // Before what follows, which may count on it.
        drop(file);
        if let Some(done) = done {
            done(Outcome::Done(result, buffer));
        }
    }

    fn lose(self: Box<Self>) {
        // As a whole: the memory may be a part of this value, and must stay where the kernel knows it.
        let kept = Box::leak(self);
        drop(kept.file.take());
        if let Some(done) = kept.done.take() {
            done(Outcome::Lost);
        }
    }
}

/// Longer ones are done in part, as read(2) does them.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory that is a part of its owner.
    struct Inline([u8; 64]);

    impl Deref for Inline {
        type Target = [u8];

        fn deref(&self) -> &[u8] {
            &self.0
        }
    }

    impl DerefMut for Inline {
        fn deref_mut(&mut self) -> &mut [u8] {
            &mut self.0
        }
    }

    #[test]
    fn lost_memory_stays_where_the_kernel_knows_it() {
        let (file, _writer) = io::pipe().unwrap();
        let done = |outcome| assert!(matches!(outcome, Outcome::<Inline>::Lost));
        let mut op: Box<Transfer<_, _, _, Read>> =
            Box::new(Transfer::new(file, 0, Inline([7; 64]), done));
        let at: *const [u8; 64] = &raw const op.buffer.0;
        let _entry = op.entry();
        op.lose();
        // Whoever wants memory now must get another one.
        let others: Vec<Box<Transfer<i32, Inline, (), Read>>> = (0..100)
            .map(|_| Box::new(Transfer::new(1, 0, Inline([0; 64]), ())))
            .collect();
        // SAFETY: never freed, as this test shows.
        assert_eq!(unsafe { at.read() }, [7; 64]);
        drop(others);
    }
}
