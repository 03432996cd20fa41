use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bd_model::Bytes;

use crate::Server;
use crate::image::{Image, lock};

/// How long an fsync waits for gluster-bdd, which is asked while the device is flushed and answers at
/// once, unless it hangs or is at work with LVM.
const PATIENCE: Duration = Duration::from_millis(100);

/// Allocated bytes as gluster-bdd last told them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allocated {
    bytes: Option<u64>,
    /// Bytes written since they were asked for: they may be allocated, too.
    written: u64,
    /// Nothing was written since they were asked for.
    in_step: bool,
    /// Counts what may have changed them.
    changes: u64,
    /// Since when somebody asks for them.
    asked: Option<Instant>,
}

/// What was known when gluster-bdd was asked.
#[derive(Debug)]
pub struct Asked(Allocated);

impl<A: Clone> Image<A> {
    pub(crate) fn allocation_changed(&self) {
        self.allocation_grew(0);
    }

    /// So many bytes were written.
    pub(crate) fn allocation_grew(&self, written: u64) {
        let mut allocated = lock(&self.allocated);
        allocated.in_step = false;
        allocated.changes += 1;
        allocated.written = allocated.written.saturating_add(written);
    }

    /// Allocated bytes if nothing was written since gluster-bdd told them.
    pub fn allocated_now(&self) -> Option<u64> {
        let allocated = *lock(&self.allocated);
        allocated.bytes.filter(|_| allocated.in_step)
    }

    /// Allocated bytes as last told, and what was written since; the size where nobody told them yet.
    ///
    /// As posix has it, they are no more than the size: an LV ends behind its file, and grows in steps,
    /// which is no matter of the file's users and their quotas.
    pub fn allocated_lately(&self) -> u64 {
        let allocated = *lock(&self.allocated);
        let bytes = allocated.bytes.unwrap_or(u64::MAX);
        bytes.saturating_add(allocated.written).min(self.size())
    }

    /// Takes note of allocated bytes which gluster-bdd told some time ago.
    pub fn note_allocated(&self, bytes: Bytes) {
        let mut allocated = lock(&self.allocated);
        if !allocated.in_step {
            allocated.bytes = Some(bytes.0);
        }
    }

    /// Asks gluster-bdd for the allocated bytes, if something was written since it told them.
    ///
    /// If it cannot tell, they stay as last told: a stat must not fail for want of a number
    /// that only informs.
    pub fn refresh_allocated(&self, server: &dyn Server) {
        if self.allocated_now().is_some() {
            return;
        }
        let asked = self.ask_for_allocated();
        if let Ok(told) = server.allocated(self.gfid) {
            self.take_allocated(&asked, told);
        }
    }

    /// gluster-bdd is about to be asked for the allocated bytes: what to take the answer with.
    pub fn ask_for_allocated(&self) -> Asked {
        Asked(*lock(&self.allocated))
    }

    /// Takes the allocated bytes that gluster-bdd has told since [`Image::ask_for_allocated`], if it could.
    pub fn take_allocated(&self, Asked(before): &Asked, told: Option<Bytes>) {
        if let Some(bytes) = told {
            let mut allocated = lock(&self.allocated);
            allocated.bytes = Some(bytes.0);
            allocated.in_step = allocated.changes == before.changes;
            allocated.written = allocated.written.saturating_sub(before.written);
        }
    }

    /// Whether allocated bytes should be asked for, and nobody does; from now on the caller does, with
    /// [`Image::end_asking`].
    pub fn begin_asking(&self) -> bool {
        let mut allocated = lock(&self.allocated);
        let wanted = allocated.asked.is_none() && !(allocated.in_step && allocated.bytes.is_some());
        if wanted {
            allocated.asked = Some(Instant::now());
        }
        wanted
    }

    /// Asks, and lets those go on who wait.
    pub fn end_asking(&self, server: &dyn Server) {
        self.refresh_allocated(server);
        lock(&self.allocated).asked = None;
        self.told.notify_all();
    }

    /// Waits until allocated bytes that somebody asks for are told, but no longer than a tenth of a second.
    pub fn wait_until_told(&self) {
        let mut allocated: MutexGuard<'_, Allocated> = lock(&self.allocated);
        while let Some(left) = allocated
            .asked
            .and_then(|asked| PATIENCE.checked_sub(asked.elapsed()))
        {
            let waited = self.told.wait_timeout(allocated, left);
            allocated = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
