use crate::ServerError;
use crate::errno::{self, Errno};

/// Why I/O on an image failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// gluster-bdd could not help.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The device failed.
    #[error("device: {0}")]
    Device(#[from] std::io::Error),
    /// The stub's file system failed, or the request cannot be met.
    #[error("{}", std::io::Error::from_raw_os_error(*.0))]
    Errno(Errno),
}

impl Failure {
    /// The errno for the client's fop.
    pub fn errno(&self) -> Errno {
        match self {
            Failure::Server(error) => error.errno(),
            Failure::Device(error) => errno::of_io(error),
            Failure::Errno(errno) => *errno,
        }
    }
}
