use std::ptr::NonNull;

use glusterfs_sys as sys;

use crate::memory::field;

/// In whose name a fop is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
    /// The process; negative numbers mean GlusterFS's own services.
    pub pid: i32,
    /// Who owns locks; at most 1024 bytes.
    pub lock_owner: Vec<u8>,
}

impl Credentials {
    /// Root, in the name of this process.
    pub fn root() -> Credentials {
        let pid = i32::try_from(std::process::id()).unwrap_or(0);
        Credentials {
            uid: 0,
            gid: 0,
            groups: Vec::new(),
            pid,
            lock_owner: Vec::new(),
        }
    }

    /// Those of a stack that lives.
    pub(crate) fn of(stack: NonNull<sys::call_stack_t>) -> Credentials {
        let groups = field!(stack.groups);
        let groups = if groups.is_null() {
            Vec::new()
        } else {
            let count = usize::from(field!(stack.ngrps));
            // SAFETY: the stack says how many groups it has, which stay as they are.
            unsafe { std::slice::from_raw_parts(groups, count) }.to_vec()
        };
        Credentials {
            uid: field!(stack.uid),
            gid: field!(stack.gid),
            groups,
            pid: field!(stack.pid),
            lock_owner: lock_owner(stack),
        }
    }

    /// Puts them into a new stack.
    ///
    /// # Safety
    /// `stack` is live and nothing was sent from it yet.
    pub(crate) unsafe fn put(&self, stack: *mut sys::call_stack_t) {
        // A stack has room for 128 groups; a user with more loses the rest here, and may be
        // refused what one of those would allow.
        let groups = &self.groups[..self.groups.len().min(128)];
        let owner = &self.lock_owner[..self.lock_owner.len().min(1024)];
        // SAFETY: as the caller promises; the group list is the one inside the stack.
        let stack = unsafe { &mut *stack };
        stack.uid = self.uid;
        stack.gid = self.gid;
        stack.pid = self.pid;
        stack.groups_small[..groups.len()].copy_from_slice(groups);
        stack.groups = stack.groups_small.as_mut_ptr();
        stack.ngrps = u16::try_from(groups.len()).unwrap_or(0);
        for (to, from) in stack.lk_owner.data.iter_mut().zip(owner) {
            *to = i8::from_ne_bytes([*from]);
        }
        stack.lk_owner.len = i32::try_from(owner.len()).unwrap_or(0);
    }
}

/// Who owns the locks of a stack that lives.
pub(crate) fn lock_owner(stack: NonNull<sys::call_stack_t>) -> Vec<u8> {
    let owner = field!(stack.lk_owner);
    let len = usize::try_from(owner.len)
        .unwrap_or(0)
        .min(owner.data.len());
    owner.data[..len]
        .iter()
        .map(|b| b.to_ne_bytes()[0])
        .collect()
}
