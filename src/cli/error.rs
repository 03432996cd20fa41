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
    /// gluster-bdd does not answer.
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
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(&'static str),
    /// Output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] std::io::Error),
    /// A volfile could not be filtered.
    #[error(transparent)]
    Filter(#[from] crate::volfile::FilterError),
}

impl CliError {
    /// The exit status that tells scripts what kind of failure it was.
    pub fn exit(&self) -> Exit {
        match self {
            CliError::Connect(ConnectError::Unreachable { .. })
            | CliError::Call(CallError::Lost(_)) => Exit::Unreachable,
            CliError::Connect(ConnectError::Greeting { .. })
            | CliError::Call(CallError::Frame(_) | CallError::OutOfTurn(_))
            | CliError::Output(_)
            | CliError::Filter(_) => Exit::Failed,
            CliError::Usage(_) => Exit::Usage,
            CliError::Call(CallError::Fault(fault)) => exit_of(fault),
            CliError::Path { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => Exit::NotFound,
                _ => Exit::Failed,
            },
        }
    }
}

fn exit_of(fault: &Fault) -> Exit {
    match fault.kind {
        FaultKind::NotFound => Exit::NotFound,
        FaultKind::Exists | FaultKind::Busy | FaultKind::InUse => Exit::Refused,
        FaultKind::NotAttached
        | FaultKind::NoSpace
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
            FaultKind::Invalid,
            FaultKind::Unsupported,
            FaultKind::Version,
            FaultKind::Failed,
        ] {
            assert_eq!(exit(kind), Exit::Failed);
        }
        let lost = CallError::Lost(std::io::ErrorKind::UnexpectedEof.into());
        assert_eq!(CliError::from(lost).exit(), Exit::Unreachable);
    }
}
