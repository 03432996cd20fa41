use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a request could not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// For programs.
    pub kind: FaultKind,
    /// For people: the object, the cause and the next step.
    pub message: String,
}

/// The kinds of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The brick was not attached since the server started; attach it and ask again.
    NotAttached,
    /// The object does not exist.
    NotFound,
    /// Something of that name or identity exists already.
    Exists,
    /// The VG or pool has not enough space.
    NoSpace,
    /// No VG or store can hold anything of that size.
    TooLarge,
    /// The object is in use.
    Busy,
    /// The VG or store belongs to another host, brick or volume.
    InUse,
    /// The request makes no sense for this object.
    Invalid,
    /// This engine or server cannot do it.
    Unsupported,
    /// The server speaks another version.
    Version,
    /// LVM, the kernel or a disk failed.
    Failed,
}

impl Fault {
    /// A fault of `kind` with its message for people.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Fault {
        Fault {
            kind,
            message: message.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}
