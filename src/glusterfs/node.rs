use std::ffi::{CString, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::{NonNull, null_mut};

use glusterfs_sys as sys;

use crate::memory::field;
use crate::this::Entered;
use crate::{Inode, Translator, memory, this};

/// A translator of the graph, of any kind.
///
/// A graph lives until its `fini` calls are over; whoever keeps nodes in threads of their own
/// ends the threads in [`Translator::fini`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Node(NonNull<sys::xlator_t>);

// SAFETY: what is read from a translator here is set before it serves and not changed after.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

impl Node {
    /// # Safety
    /// `raw` is live until the graph ends.
    pub(crate) unsafe fn of(raw: *mut sys::xlator_t) -> Option<Node> {
        NonNull::new(raw).map(Node)
    }

    /// The thread's current translator: during a fop, the one that handles it.
    pub fn current() -> Node {
        Node(NonNull::new(this::get()).expect("THIS is never null"))
    }

    pub(crate) fn as_ptr(self) -> *mut sys::xlator_t {
        self.0.as_ptr()
    }

    /// Its name in the volfile, such as `vol0-replicate-0`.
    pub fn name(&self) -> String {
        let name = field!(self.name);
        // SAFETY: a string that lives as long as the translator.
        unsafe { memory::text(name) }.to_string_lossy().into_owned()
    }

    /// Its type, such as `cluster/distribute`.
    pub fn kind(&self) -> String {
        let kind = field!(self.type_);
        // SAFETY: a string that lives as long as the translator.
        unsafe { memory::text(kind) }.to_string_lossy().into_owned()
    }

    /// The translators below it, in the order of the volfile.
    pub fn children(&self) -> Vec<Node> {
        Node::list(field!(self.children))
    }

    fn list(mut at: *const sys::xlator_list_t) -> Vec<Node> {
        let mut nodes = Vec::new();
        while !at.is_null() {
            // SAFETY: the list is built before the graph serves, and lives as long as it.
            let (xlator, next) = unsafe { ((*at).xlator, (*at).next) };
            // SAFETY: a member of the graph.
            nodes.extend(unsafe { Node::of(xlator) });
            at = next;
        }
        nodes
    }

    fn parents(&self) -> Vec<Node> {
        Node::list(field!(self.parents))
    }

    /// The first translator below it.
    pub fn first_child(&self) -> Option<Node> {
        self.children().first().copied()
    }

    /// The first translator of that type at or below this one, nearest first.
    pub fn find_kind(&self, kind: &str) -> Option<Node> {
        self.nearest(kind, Node::children)
    }

    /// The first translator of that type at or above this one, nearest first.
    pub fn find_above(&self, kind: &str) -> Option<Node> {
        self.nearest(kind, Node::parents)
    }

    fn nearest(&self, kind: &str, next: impl Fn(&Node) -> Vec<Node>) -> Option<Node> {
        let mut level = vec![*self];
        while !level.is_empty() {
            if let Some(found) = level.iter().find(|node| node.kind() == kind) {
                return Some(*found);
            }
            level = level.iter().flat_map(&next).collect();
        }
        None
    }

    /// An option of the volfile, as its text.
    pub fn option(&self, name: &str) -> Option<String> {
        let dict = NonNull::new(field!(self.options))?;
        // SAFETY: the options live as long as the translator.
        unsafe { crate::Dict::borrow(dict) }.get_str(name)
    }

    /// The type of the process's front end: `mount/fuse` in a FUSE client, `mount/api` (or
    /// nothing) in a program with libgfapi, `None` in a brick.
    pub fn front_end(&self) -> Option<String> {
        let ctx = NonNull::new(field!(self.ctx))?;
        let root = field!(ctx.root);
        // SAFETY: null, or the front end's translator, which is never freed before the graph.
        unsafe { Node::of(root.cast()) }.map(|root| root.kind())
    }

    /// Where the FUSE client is mounted, as given on its command line.
    pub fn mount_point(&self) -> Option<CString> {
        let ctx = NonNull::new(field!(self.ctx))?;
        // SAFETY: the context of a live translator is live.
        let raw = unsafe { (*ctx.as_ptr()).cmd_args.mount_point };
        // SAFETY: a string that lives as long as the process.
        (!raw.is_null()).then(|| unsafe { memory::text(raw) }.to_owned())
    }

    /// The root directory of the inode table which this translator's graph uses, once there is
    /// one (a brick makes it when its first client comes).
    pub fn root_inode(&self) -> Option<Inode<'static>> {
        let mut level = vec![*self];
        while !level.is_empty() {
            for node in &level {
                let table = NonNull::new(field!(node.itable));
                let root = table.and_then(|table| NonNull::new(field!(table.root)));
                if let Some(root) = root {
                    // SAFETY: a table holds its root.
                    return Some(unsafe { Inode::borrow(root) }.into_owned());
                }
            }
            level = level.iter().flat_map(Node::parents).collect();
        }
        None
    }

    /// Tells the translators above that this one and what is below it are ready, or are not.
    pub fn tell_above(&self, ready: bool) {
        let event = match ready {
            true => sys::GF_EVENT_CHILD_UP,
            false => sys::GF_EVENT_CHILD_DOWN,
        };
        self.enter(|| {
            // SAFETY: a live translator; events of this kind go up with nothing along.
            unsafe { sys::default_notify(self.as_ptr(), event.cast_signed(), null_mut::<c_void>()) }
        });
    }

    /// The member of this brick's graph that stands directly below one of that type.
    pub fn find_below(&self, kind: &str) -> Option<Node> {
        let mut at = *self;
        loop {
            let parents = at.parents();
            if parents.iter().any(|node| node.kind() == kind) {
                return Some(at);
            }
            at = *parents.first()?;
        }
    }

    /// Runs `work` with this translator as the thread's current one, so that log lines carry its
    /// name. Threads of your own should do all their work so.
    pub fn enter<R>(&self, work: impl FnOnce() -> R) -> R {
        // SAFETY: live until the graph ends.
        let _this = unsafe { Entered::new(self.as_ptr()) };
        work()
    }

    pub(crate) fn iobuf_pool(&self) -> *mut sys::iobuf_pool {
        let ctx = field!(self.ctx);
        // SAFETY: the context of a live translator is live.
        unsafe { (*ctx).iobuf_pool.cast() }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// The translator of type `T` itself: what [`Translator::init`] gets, and the key to its contexts.
///
/// It can do all that a [`Node`] can.
pub struct Xlator<T> {
    node: Node,
    kind: PhantomData<fn() -> T>,
}

impl<T: Translator> Xlator<T> {
    /// # Safety
    /// `raw` is a live translator whose implementation is `T`.
    pub(crate) unsafe fn of(raw: *mut sys::xlator_t) -> Xlator<T> {
        Xlator {
            node: Node(NonNull::new(raw).expect("a translator")),
            kind: PhantomData,
        }
    }

    /// The translator as a member of the graph.
    pub fn node(&self) -> Node {
        self.node
    }
}

impl<T> Deref for Xlator<T> {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl<T> Clone for Xlator<T> {
    fn clone(&self) -> Xlator<T> {
        *self
    }
}

impl<T> Copy for Xlator<T> {}

impl<T> Xlator<T> {
    pub(crate) fn as_ptr(&self) -> *mut sys::xlator_t {
        self.node.as_ptr()
    }
}

impl<T> fmt::Debug for Xlator<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node.fmt(f)
    }
}
