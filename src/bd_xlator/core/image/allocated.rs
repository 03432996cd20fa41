use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bd_model::Bytes;
use bd_proto::{Reply, Request};

use super::{Image, lock};
use crate::core::link::Link;

/// How long an fsync waits for gluster-bdd, which is asked while the device is flushed and answers at
/// once, unless it hangs or is at work with LVM.
const PATIENCE: Duration = Duration::from_millis(100);

/// Allocated bytes as gluster-bdd last told them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Allocated {
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
pub(crate) struct Asked(Allocated);

impl Image {
    pub(super) fn allocation_changed(&self) {
        self.allocation_grew(0);
    }

    /// So many bytes were written.
    pub(super) fn allocation_grew(&self, written: u64) {
        let mut allocated = lock(&self.allocated);
        allocated.in_step = false;
        allocated.changes += 1;
        allocated.written = allocated.written.saturating_add(written);
    }

    /// Allocated bytes if nothing was written since gluster-bdd told them.
    pub(crate) fn allocated_now(&self) -> Option<u64> {
        let allocated = *lock(&self.allocated);
        allocated.bytes.filter(|_| allocated.in_step)
    }

    /// Allocated bytes as last told, and what was written since; the size where nobody told them yet.
    ///
    /// As posix has it, they are no more than the size: an LV ends behind its file, and grows in steps,
    /// which is no matter of the file's users and their quotas.
    pub(crate) fn allocated_lately(&self) -> u64 {
        let allocated = *lock(&self.allocated);
        let bytes = allocated.bytes.unwrap_or(u64::MAX);
        bytes.saturating_add(allocated.written).min(self.size())
    }

    /// Takes note of allocated bytes which gluster-bdd told some time ago.
    pub(crate) fn note_allocated(&self, bytes: Bytes) {
        let mut allocated = lock(&self.allocated);
        if !allocated.in_step {
            allocated.bytes = Some(bytes.0);
        }
    }

    /// Asks gluster-bdd for the allocated bytes, if something was written since it told them.
    ///
    /// If it cannot tell, they stay as last told: a stat must not fail for want of a number
    /// that only informs.
    pub(crate) fn refresh_allocated(&self, link: &Link) {
        if self.allocated_now().is_some() {
            return;
        }
        let (request, asked) = self.ask_for_allocated(link);
        if let Ok(answer) = link.ask(&request) {
            self.take_allocated(&asked, &answer);
        }
    }

    /// What to ask gluster-bdd for the allocated bytes, and what to take the answer with.
    pub(crate) fn ask_for_allocated(&self, link: &Link) -> (Request, Asked) {
        let asked = Asked(*lock(&self.allocated));
        let request = Request::Allocated {
            brick: link.id(),
            gfids: vec![self.gfid],
        };
        (request, asked)
    }

    /// Takes the allocated bytes from the answer to [`Image::ask_for_allocated`].
    pub(crate) fn take_allocated(&self, Asked(before): &Asked, answer: &Reply) {
        if let Reply::Allocated(told) = answer
            && let Some(Some(bytes)) = told.first()
        {
            let mut allocated = lock(&self.allocated);
            allocated.bytes = Some(bytes.0);
            allocated.in_step = allocated.changes == before.changes;
            allocated.written = allocated.written.saturating_sub(before.written);
        }
    }

    /// Whether allocated bytes should be asked for, and nobody does; from now on the caller does, with
    /// [`Image::end_asking`].
    pub(crate) fn begin_asking(&self) -> bool {
        let mut allocated = lock(&self.allocated);
        let wanted = allocated.asked.is_none() && !(allocated.in_step && allocated.bytes.is_some());
        if wanted {
            allocated.asked = Some(Instant::now());
        }
        wanted
    }

    /// Asks, and lets those go on who wait.
    pub(crate) fn end_asking(&self, link: &Link) {
        self.refresh_allocated(link);
        lock(&self.allocated).asked = None;
        self.told.notify_all();
    }

    /// Waits until allocated bytes that somebody asks for are told, but not long: see [`PATIENCE`].
    pub(crate) fn wait_until_told(&self) {
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
