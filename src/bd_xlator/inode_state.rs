use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bd_model::DirPolicy;

use crate::Image;

/// What the brick knows of an inode.
///
/// An inode that Gluster has just made is unknown, not plain: readdirp links inodes without a
/// lookup, so every fop on data first makes sure what the file is.
#[derive(Debug, Default)]
pub struct InodeState {
    kind: Mutex<Kind>,
    /// Held shared by I/O on a plain file, and alone while the file becomes an image.
    plain_io: RwLock<()>,
    policy: Mutex<Option<Option<DirPolicy>>>,
}

/// What a file is.
#[derive(Clone, Debug, Default)]
pub(crate) enum Kind {
    /// Not looked at yet.
    #[default]
    Unknown,
    /// Its bytes lie in the file of the brick directory.
    Plain,
    /// The destination of a clone or snapshot that is under way.
    Pending,
    /// Its bytes lie on an LV.
    Image(Arc<Image>),
}

impl InodeState {
    /// What the file is, as far as known.
    pub(crate) fn kind(&self) -> Kind {
        known(&lock(&self.kind))
    }

    /// The image, if the file is known to be one.
    pub(crate) fn image(&self) -> Option<Arc<Image>> {
        match self.kind() {
            Kind::Image(image) => Some(image),
            Kind::Unknown | Kind::Plain | Kind::Pending => None,
        }
    }

    /// Notes what the file is, unless it is known to be an image: two fops that found out at
    /// the same time must share one [`Image`]. Answers what it is from now on.
    pub(crate) fn learn(&self, found: Kind) -> Kind {
        let mut kind = lock(&self.kind);
        if !matches!(known(&kind), Kind::Image(_)) {
            *kind = found;
        }
        known(&kind)
    }

    /// The lock between I/O on a plain file and its becoming an image.
    pub(crate) fn plain_io(&self) -> &RwLock<()> {
        &self.plain_io
    }

    /// The policy of a directory; `None` where it was not looked up yet.
    pub(crate) fn policy(&self) -> Option<Option<DirPolicy>> {
        *lock(&self.policy)
    }

    /// Notes the policy of a directory; `None` where it has to be looked up again.
    pub(crate) fn set_policy(&self, policy: Option<Option<DirPolicy>>) {
        *lock(&self.policy) = policy;
    }
}

/// What a file is by what was noted: one whose LV is gone must be looked at anew, as heal may have
/// made another file with its gfid.
fn known(kind: &Kind) -> Kind {
    match kind {
        Kind::Image(image) if image.is_gone() => Kind::Unknown,
        kind => kind.clone(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
