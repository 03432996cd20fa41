use std::process::ExitCode;

use bd_proto::{CallError, ConnectError, Fault, FaultKind};

/// The exit status of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed, or a check found something.
    Failed = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// The object does not exist.
    NotFound = 3,
    /// gluster-bdd or the volume does not answer.
    Unreachable = 4,
    /// The object is in use, exists already or belongs to somebody else.
    Refused = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// No connection to gluster-bdd.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// gluster-bdd did not do it.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A path of the command line cannot be used.
    #[error("cannot use {path}: {source}")]
    Path {
        /// The path.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// No connection to a volume.
    #[error("{source}; {hint} (log: {log})")]
    Volume {
        /// What libgfapi said.
        source: gfapi::ConnectError,
        /// What that may mean.
        hint: String,
        /// Where it says more.
        log: String,
    },
    /// No glusterd answers.
    #[error("{0}")]
    Silent(String),
    /// A file of a volume could not be handled.
    #[error("{0}{hint}", hint = file_hint(.0))]
    File(#[from] gfapi::FileError),
    /// A program of the system failed.
    #[error(transparent)]
    Program(#[from] crate::storage::ProgramError),
    /// The object does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The object is in use, exists already, is of another kind or belongs to somebody else.
    #[error("{0}")]
    Refused(String),
    /// It went wrong.
    #[error("{0}")]
    Failed(String),
    /// A signal came between two steps.
    #[error("interrupted; {left}")]
    Interrupted {
        /// What there is now.
        left: &'static str,
        /// The signal.
        signal: i32,
    },
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(&'static str),
    /// The command line makes no sense, for a reason with names and numbers of its own.
    #[error("{0}")]
    Words(String),
    /// Output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] std::io::Error),
    /// A volfile could not be filtered.
    #[error(transparent)]
    Filter(#[from] crate::volfile::FilterError),
}

impl CliError {
    /// The signal that ended the command. A process that was interrupted ends by the signal
    /// itself, once it has cleaned up: then a shell's loop around it ends, too.
    pub fn signal(&self) -> Option<i32> {
        match self {
            CliError::Interrupted { signal, .. } => Some(*signal),
            _ => None,
        }
    }

    /// The exit status that tells scripts what kind of failure it was.
    pub fn exit(&self) -> Exit {
        match self {
            CliError::Connect(ConnectError::Unreachable { .. })
            | CliError::Call(CallError::Lost(_))
            | CliError::Silent(_) => Exit::Unreachable,
            CliError::Volume { source, .. } => exit_of_connect(source),
            CliError::File(error) => exit_of_errno(error.errno()),
            CliError::NotFound(_) => Exit::NotFound,
            CliError::Refused(_) => Exit::Refused,
            CliError::Failed(_)
            | CliError::Program(_)
            | CliError::Interrupted { .. }
            | CliError::Connect(ConnectError::Greeting { .. })
            | CliError::Call(
                CallError::Frame(_) | CallError::OutOfTurn(_) | CallError::NoDescriptor,
            )
            | CliError::Output(_)
            | CliError::Filter(_) => Exit::Failed,
            CliError::Usage(_) | CliError::Words(_) => Exit::Usage,
            CliError::Call(CallError::Fault(fault)) => exit_of(fault),
            CliError::Path { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => Exit::NotFound,
                _ => Exit::Failed,
            },
        }
    }
}

/// The exit status for the errno of a file operation.
fn exit_of_errno(errno: i32) -> Exit {
    match errno {
        libc::ENOENT | libc::ESTALE => Exit::NotFound,
        libc::ENOTCONN | libc::EHOSTDOWN | libc::ECONNREFUSED | libc::ETIMEDOUT => {
            Exit::Unreachable
        }
        libc::EEXIST | libc::EBUSY | libc::ENOTEMPTY => Exit::Refused,
        _ => Exit::Failed,
    }
}

/// libgfapi has few values for all that can go wrong, and no errno that says it well.
fn exit_of_connect(error: &gfapi::ConnectError) -> Exit {
    match error.source.kind() {
        std::io::ErrorKind::NotFound => Exit::NotFound,
        std::io::ErrorKind::PermissionDenied => Exit::Failed,
        _ => Exit::Unreachable,
    }
}

/// The next step, where the errno tells it.
fn file_hint(error: &gfapi::FileError) -> &'static str {
    match error.errno() {
        libc::ENOSPC => {
            "; see how full the pool is (gluster-bd pool status) and extend it (gluster-bd pool extend), or \
             whether the brick's own file system is (df), which holds the names and plain files"
        }
        libc::EHOSTDOWN => {
            "; is gluster-bdd running on the brick's host? (systemctl status gluster-bdd)"
        }
        libc::ENOTCONN => "; are all bricks up? (gluster volume status)",
        libc::EACCES | libc::EPERM => "; use a user who may write there, such as root",
        libc::EOPNOTSUPP => "; is bd-client.so installed on this host? (scripts/install)",
        _ => "",
    }
}

fn exit_of(fault: &Fault) -> Exit {
    match fault.kind {
        FaultKind::NotFound => Exit::NotFound,
        FaultKind::Exists | FaultKind::Busy | FaultKind::InUse => Exit::Refused,
        FaultKind::NotAttached
        | FaultKind::NoSpace
        | FaultKind::TooLarge
        | FaultKind::Invalid
        | FaultKind::Unsupported
        | FaultKind::Version
        | FaultKind::Failed => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_what_the_manual_says() {
        let codes = [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::NotFound,
            Exit::Unreachable,
            Exit::Refused,
        ];
        assert_eq!(codes.map(|exit| exit as u8), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn each_kind_of_fault_has_its_exit_code() {
        let exit = |kind| {
            let fault = Fault::new(kind, "");
            CliError::from(CallError::from(fault)).exit()
        };
        assert_eq!(exit(FaultKind::NotFound), Exit::NotFound);
        for kind in [FaultKind::Exists, FaultKind::Busy, FaultKind::InUse] {
            assert_eq!(exit(kind), Exit::Refused);
        }
        for kind in [
            FaultKind::NotAttached,
            FaultKind::NoSpace,
            FaultKind::TooLarge,
            FaultKind::Invalid,
            FaultKind::Unsupported,
            FaultKind::Version,
            FaultKind::Failed,
        ] {
            assert_eq!(exit(kind), Exit::Failed);
        }
        for (errno, exit) in [
            (libc::ENOENT, Exit::NotFound),
            (libc::EEXIST, Exit::Refused),
            (libc::EHOSTDOWN, Exit::Unreachable),
            (libc::ENOSPC, Exit::Failed),
        ] {
            assert_eq!(exit_of_errno(errno), exit);
        }
        let lost = CallError::Lost(std::io::ErrorKind::UnexpectedEof.into());
        assert_eq!(CliError::from(lost).exit(), Exit::Unreachable);
    }
}
