//! The one place where failures become errno values.

use std::io;

use bd_proto::{CallError, ConnectError, FaultKind};

/// An error number of errno(3), as a fop answers it.
pub type Errno = i32;

/// The errno of a fault of gluster-bdd.
pub fn of_fault(kind: FaultKind) -> Errno {
    match kind {
        FaultKind::NotAttached => libc::ENOTCONN,
        FaultKind::NotFound => libc::ENOENT,
        FaultKind::Exists => libc::EEXIST,
        FaultKind::NoSpace => libc::ENOSPC,
        FaultKind::TooLarge => libc::EFBIG,
        FaultKind::Busy => libc::EBUSY,
        FaultKind::InUse => libc::EPERM,
        FaultKind::Invalid => libc::EINVAL,
        FaultKind::Unsupported => libc::EOPNOTSUPP,
        FaultKind::Version => libc::EPROTO,
        FaultKind::Failed => libc::EIO,
    }
}

/// The errno of a call to gluster-bdd.
pub fn of_call(error: &CallError) -> Errno {
    match error {
        CallError::Fault(fault) => of_fault(fault.kind),
        CallError::NoDescriptor => libc::EMFILE,
        CallError::Lost(_) | CallError::Frame(_) | CallError::OutOfTurn(_) => libc::EIO,
    }
}

/// The errno of a failed connection to gluster-bdd.
pub fn of_connect(error: &ConnectError) -> Errno {
    match error {
        ConnectError::Unreachable { .. } => libc::EHOSTDOWN,
        ConnectError::Greeting { source, .. } => of_call(source),
    }
}

/// The errno of a failed system call; anything that has none is EIO.
pub fn of_io(error: &io::Error) -> Errno {
    error.raw_os_error().unwrap_or(libc::EIO)
}
