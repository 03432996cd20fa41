use bd_proto::FaultKind;
use rustix::io::Errno;

use bd_engine::EngineError;

/// An engine error for a failed system call: `what` names the operation and its object.
pub(super) fn failed(what: impl Into<String>, errno: Errno) -> EngineError {
    let kind = match errno {
        Errno::NOSPC | Errno::DQUOT => FaultKind::NoSpace,
        Errno::FBIG => FaultKind::TooLarge,
        Errno::NOENT => FaultKind::NotFound,
        Errno::BUSY | Errno::TXTBSY => FaultKind::Busy,
        Errno::OPNOTSUPP | Errno::NOSYS => FaultKind::Unsupported,
        _ => FaultKind::Failed,
    };
    EngineError {
        kind,
        message: what.into(),
        source: Some(Box::new(errno)),
    }
}
