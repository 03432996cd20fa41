use crate::core::errno::{self, Errno};
use crate::core::link::LinkError;

/// Why I/O on an image failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// gluster-bdd could not help.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The device failed.
    #[error("device: {0}")]
    Device(#[from] std::io::Error),
    /// The stub's file system failed, or the request cannot be met.
    #[error("{}", std::io::Error::from_raw_os_error(*.0))]
    Errno(Errno),
}

impl Failure {
    /// The errno for the client's fop.
    pub(crate) fn errno(&self) -> Errno {
        match self {
            Failure::Link(error) => error.errno(),
            Failure::Device(error) => errno::of_io(error),
            Failure::Errno(errno) => *errno,
        }
    }
}
