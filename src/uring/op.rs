use std::io;
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

/// Reads into memory.
pub(crate) struct Read<F, B, D> {
    pub(crate) file: F,
    pub(crate) at: u64,
    pub(crate) buffer: B,
    pub(crate) done: D,
}

impl<F, B, D> Op for Read<F, B, D>
where
    F: AsFd + Send,
    B: DerefMut<Target = [u8]> + Send,
    D: FnOnce(Outcome<B>) + Send,
{
    fn entry(&mut self) -> squeue::Entry {
        let file = types::Fd(self.file.as_fd().as_raw_fd());
        let bytes: &mut [u8] = &mut self.buffer;
        opcode::Read::new(file, bytes.as_mut_ptr(), length(bytes))
            .offset(self.at)
            .build()
    }

    fn finish(self: Box<Self>, result: io::Result<usize>) {
        let Self {
            file, buffer, done, ..
        } = *self;
        // Before what follows, which may count on it.
        drop(file);
        done(Outcome::Done(result, buffer));
    }

    fn lose(self: Box<Self>) {
        let Self {
            file, buffer, done, ..
        } = *self;
        std::mem::forget(buffer);
        drop(file);
        done(Outcome::Lost);
    }
}

/// Writes from memory.
pub(crate) struct Write<F, B, D> {
    pub(crate) file: F,
    pub(crate) at: u64,
    pub(crate) buffer: B,
    pub(crate) done: D,
}

impl<F, B, D> Op for Write<F, B, D>
where
    F: AsFd + Send,
    B: Deref<Target = [u8]> + Send,
    D: FnOnce(Outcome<B>) + Send,
{
    fn entry(&mut self) -> squeue::Entry {
        let file = types::Fd(self.file.as_fd().as_raw_fd());
        let bytes: &[u8] = &self.buffer;
        opcode::Write::new(file, bytes.as_ptr(), length(bytes))
            .offset(self.at)
            .build()
    }

    fn finish(self: Box<Self>, result: io::Result<usize>) {
        let Self {
            file, buffer, done, ..
        } = *self;
        // Before what follows, which may count on it.
        drop(file);
        done(Outcome::Done(result, buffer));
    }

    fn lose(self: Box<Self>) {
        let Self {
            file, buffer, done, ..
        } = *self;
        std::mem::forget(buffer);
        drop(file);
        done(Outcome::Lost);
    }
}

/// Longer ones are done in part, as read(2) does them.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(1 << 30)
}
