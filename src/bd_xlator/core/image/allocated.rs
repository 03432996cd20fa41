use bd_model::Bytes;
use bd_proto::{Reply, Request};

use super::{Image, lock};
use crate::core::link::Link;

/// Allocated bytes as gluster-bdd last told them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Allocated {
    bytes: Option<u64>,
    /// Nothing was written since they were asked for.
    in_step: bool,
    /// Counts what may have changed them.
    changes: u64,
}

impl Image {
    pub(super) fn allocation_changed(&self) {
        let mut allocated = lock(&self.allocated);
        allocated.in_step = false;
        allocated.changes += 1;
    }

    /// Allocated bytes if nothing was written since gluster-bdd told them.
    pub(crate) fn allocated_now(&self) -> Option<u64> {
        let allocated = *lock(&self.allocated);
        allocated.bytes.filter(|_| allocated.in_step)
    }

    /// Allocated bytes as last told, or the size where nobody told them yet.
    pub(crate) fn allocated_lately(&self) -> u64 {
        lock(&self.allocated).bytes.unwrap_or_else(|| self.size())
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
        let changes = lock(&self.allocated).changes;
        let request = Request::Allocated {
            brick: link.id(),
            gfids: vec![self.gfid],
        };
        if let Ok(Reply::Allocated(told)) = link.ask(&request)
            && let Some(Some(bytes)) = told.first()
        {
            let mut allocated = lock(&self.allocated);
            allocated.bytes = Some(bytes.0);
            allocated.in_step = allocated.changes == changes;
        }
    }
}
