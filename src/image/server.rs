use std::io::ErrorKind;
use std::os::fd::OwnedFd;

use bd_model::{Bytes, Gfid};
use bd_proto::{CallError, ConnectError, FaultKind};
use blockdev::{Geometry, Span};

use crate::errno::{self, Errno};

/// What images ask of gluster-bdd. Every call waits for the answer, and may be repeated.
pub trait Server {
    /// Of how many bytes the volumes of thick images are multiples.
    fn extent_size(&self) -> Bytes;

    /// The image's device, open for direct I/O, and how it takes that.
    ///
    /// # Errors
    /// gluster-bdd cannot be reached or refuses, as in all that follows.
    fn open(&self, gfid: Gfid) -> Result<(OwnedFd, Geometry), ServerError>;

    /// Makes the image's volume hold at least `size` bytes, and no more than it has to; says how many it
    /// holds then. Bytes that it gains are zero.
    ///
    /// # Errors
    /// [`ServerError::is_too_much`] where there is no room.
    fn resize(&self, gfid: Gfid, size: Bytes) -> Result<Bytes, ServerError>;

    /// Brings what was written to the image to stable storage by way of its pool.
    ///
    /// # Errors
    /// As of [`Server::open`].
    fn sync(&self, gfid: Gfid) -> Result<(), ServerError>;

    /// The bytes that are allocated to the image; `None` where that is not known.
    ///
    /// # Errors
    /// As of [`Server::open`].
    fn allocated(&self, gfid: Gfid) -> Result<Option<Bytes>, ServerError>;

    /// The spans of a thin image that are mapped; `None` where that is not known.
    ///
    /// # Errors
    /// As of [`Server::open`].
    fn mapped(&self, gfid: Gfid) -> Result<Option<Vec<Span>>, ServerError>;
}

/// Why gluster-bdd could not do what the brick asked.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It refused or broke off.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The image is being merged, or what became of that is not known yet.
    #[error("the image is being merged; try again when gluster-bdd runs")]
    Fenced,
    /// The image's last name is gone, and its LV goes.
    #[error("the image is removed")]
    Gone,
}

impl ServerError {
    /// The errno for the client's fop.
    pub fn errno(&self) -> Errno {
        match self {
            ServerError::Connect(error) => errno::of_connect(error),
            ServerError::Call(error) => errno::of_call(error),
            ServerError::Fenced => libc::EBUSY,
            // As posix says it of a file that another client has removed.
            ServerError::Gone => libc::ESTALE,
        }
    }

    /// Whether gluster-bdd is not there, or has gone away meanwhile.
    pub fn is_absence(&self) -> bool {
        let (ServerError::Connect(ConnectError::Greeting { source, .. })
        | ServerError::Call(source)) = self
        else {
            return matches!(self, ServerError::Connect(_));
        };
        matches!(source, CallError::Lost(_))
    }

    /// Whether gluster-bdd has refused for such a reason.
    pub fn is(&self, kind: FaultKind) -> bool {
        matches!(self, ServerError::Call(CallError::Fault(fault)) if fault.kind == kind)
    }

    /// Whether the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.is(FaultKind::NotFound)
    }

    /// Whether there is no room, and less might do.
    pub fn is_too_much(&self) -> bool {
        self.is(FaultKind::NoSpace) || self.is(FaultKind::TooLarge)
    }

    /// Whether gluster-bdd may not have heard of the request.
    pub fn is_unheard(&self) -> bool {
        !matches!(
            self,
            ServerError::Call(CallError::Fault(_)) | ServerError::Fenced | ServerError::Gone
        )
    }

    /// Whether nobody listens: no gluster-bdd runs.
    pub fn is_away(&self) -> bool {
        let ServerError::Connect(ConnectError::Unreachable { source, .. }) = self else {
            return false;
        };
        matches!(
            source.kind(),
            ErrorKind::NotFound | ErrorKind::ConnectionRefused
        )
    }

    /// Whether it was heard, and it is not known what was done.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, ServerError::Call(CallError::Lost(_)))
    }
}
