use std::fmt;
use std::ptr::NonNull;

use glusterfs_sys as sys;

use crate::memory::Locked;
use crate::{Answer, Credentials, Errno, Fop, Moment, Node, memory};

/// A chain of fops of a translator's own, which no client asked for.
///
/// Only for threads that may wait. Each fop is done in the name given to [`Stack::new`].
pub struct Stack {
    frame: NonNull<sys::call_frame_t>,
    node: Node,
}

// SAFETY: the stack has a lock, and belongs to this value alone.
unsafe impl Send for Stack {}
// SAFETY: shared references only wind, under the stack's lock.
unsafe impl Sync for Stack {}

impl Stack {
    /// A new chain that starts at `node`, in the name of `who`.
    ///
    /// Without a lock owner in `who`, the stack gets one that nobody else has.
    pub fn new(node: Node, who: &Credentials) -> Stack {
        // SAFETY: a live translator, whose context has a pool.
        let frame = unsafe { sys::create_frame(node.as_ptr(), (*(*node.as_ptr()).ctx).pool) };
        let frame = NonNull::new(frame).expect("out of memory");
        let mut who = who.clone();
        if who.lock_owner.is_empty() {
            who.lock_owner = frame.as_ptr().addr().to_le_bytes().to_vec();
        }
        // SAFETY: the fresh frame's stack, from which nothing was sent yet.
        unsafe {
            let root = frame.as_ref().root;
            (*root).type_ = FOP;
            who.put(root);
        }
        Stack { frame, node }.at(Moment::now())
    }

    /// Lets what the chain changes be changed at `moment`: the ctime that posix keeps for it.
    #[must_use]
    pub fn at(self, moment: Moment) -> Stack {
        // SAFETY: the stack belongs to this value, and nothing sent from it is under way.
        unsafe {
            (*self.frame.as_ref().root).ctime = sys::timespec {
                tv_sec: moment.sec,
                tv_nsec: i64::from(moment.nsec),
            };
        }
        self
    }

    /// Asks the first translator below for `G`, and waits for the answer.
    ///
    /// # Errors
    /// The failure that the translator answers.
    pub fn ask<G: Fop>(&self, args: G::Args<'_>) -> Answer<'static, G> {
        let to = self.node.first_child().ok_or(Errno::EIO)?;
        self.ask_node::<G>(to, args)
    }

    /// Asks a certain translator for `G`, and waits for the answer.
    ///
    /// # Errors
    /// The failure that the translator answers.
    pub fn ask_node<G: Fop>(&self, to: Node, args: G::Args<'_>) -> Answer<'static, G> {
        // SAFETY: the frame is live while we wait, as self is borrowed.
        unsafe { crate::frame::ask::<G>(self.frame.as_ptr(), to, &args) }
    }
}

/// `GF_OP_TYPE_FOP`.
const FOP: i8 = 1;

impl Drop for Stack {
    /// Frees the stack with all its frames, as `STACK_DESTROY` of C does.
    fn drop(&mut self) {
        // SAFETY: every fop sent from the stack was answered, as `ask` waits; so no frame of it
        // is in use. The lists are rings of live members.
        unsafe {
            let root = self.frame.as_ref().root;
            let pool = (*root).pool;
            {
                let _locked = Locked::take(&raw mut (*pool).lock);
                // The ring of all stacks goes through the first field.
                unlink(root.cast::<sys::list_head>());
                (*pool).cnt -= 1;
            }
            libc::pthread_mutex_destroy((&raw mut (*root).stack_lock).cast());
            let head = &raw mut (*root).myframes;
            loop {
                let node = (*head).next;
                if node == head {
                    break;
                }
                let frame = node
                    .byte_sub(std::mem::offset_of!(sys::call_frame_t, frames))
                    .cast::<sys::call_frame_t>();
                if (*(*root).ctx).measure_latency != 0 {
                    sys::gf_frame_latency_update(frame);
                }
                unlink(node);
                // What a translator has left in it comes from a pool of GlusterFS.
                let local = std::mem::replace(&mut (*frame).local, std::ptr::null_mut());
                libc::pthread_mutex_destroy((&raw mut (*frame).lock).cast());
                sys::mem_put_pool(frame.cast());
                if !local.is_null() {
                    sys::mem_put_pool(local);
                }
            }
            memory::free((*root).groups_large);
            sys::mem_put_pool(root.cast());
        }
    }
}

/// # Safety
/// `node` is a member of a ring.
unsafe fn unlink(node: *mut sys::list_head) {
    // SAFETY: as the caller promises.
    unsafe {
        (*(*node).prev).next = (*node).next;
        (*(*node).next).prev = (*node).prev;
        (*node).next = node;
        (*node).prev = node;
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stack of {:?}", self.node)
    }
}
