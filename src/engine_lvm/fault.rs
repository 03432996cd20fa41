//! Errors of LVM and the kernel, as what a client is told.

use bd_lvm::{LvmError, LvmErrorKind};
use bd_proto::FaultKind;

use bd_engine::EngineError;

/// An error of LVM; `what` could not be done, as in `create vg0/vm1`.
pub(super) fn lvm(what: &str, error: LvmError) -> EngineError {
    let kind = match error.kind {
        LvmErrorKind::NoSpace => FaultKind::NoSpace,
        LvmErrorKind::NotFound => FaultKind::NotFound,
        LvmErrorKind::Exists => FaultKind::Exists,
        LvmErrorKind::InUse => FaultKind::Busy,
        LvmErrorKind::ForeignSystem | LvmErrorKind::Exported => FaultKind::InUse,
        LvmErrorKind::Unavailable | LvmErrorKind::Failed => FaultKind::Failed,
    };
    below(kind, format!("cannot {what}"), error)
}

/// An error of the kernel or a disk.
pub(super) fn failed<E>(what: &str, error: E) -> EngineError
where
    E: std::error::Error + Send + Sync + 'static,
{
    below(FaultKind::Failed, format!("cannot {what}"), error)
}

fn below<E>(kind: FaultKind, message: String, error: E) -> EngineError
where
    E: std::error::Error + Send + Sync + 'static,
{
    EngineError {
        kind,
        message,
        source: Some(Box::new(error)),
    }
}
