use std::fmt;

/// Why LVM could not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {cause}")]
pub struct LvmError {
    /// What kind of failure it is.
    pub kind: LvmErrorKind,
    /// The command and its object.
    pub operation: String,
    /// What LVM said.
    pub cause: String,
}

/// The kinds of failure that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LvmErrorKind {
    /// The VG has too few free extents, or the pool no room.
    NoSpace,
    /// The VG or LV does not exist.
    NotFound,
    /// An LV of that name exists.
    Exists,
    /// The LV is open or other LVs depend on it.
    InUse,
    /// The VG belongs to another host.
    ForeignSystem,
    /// The VG was exported to be moved to another host.
    Exported,
    /// Some disks of the VG are missing.
    Unavailable,
    /// Anything else.
    Failed,
}

/// Texts of LVM's messages in the C locale which tell the kind, first match wins.
///
/// liblvm2cmd has no error codes but "failed"; the texts have been stable since 2.02.
const TEXTS: &[(&str, LvmErrorKind)] = &[
    ("with system ID", LvmErrorKind::ForeignSystem),
    ("with unknown system ID", LvmErrorKind::ForeignSystem),
    ("insufficient free space", LvmErrorKind::NoSpace),
    ("insufficient suitable", LvmErrorKind::NoSpace),
    ("insufficient free extents", LvmErrorKind::NoSpace),
    ("no free space", LvmErrorKind::NoSpace),
    ("not enough free space", LvmErrorKind::NoSpace),
    ("out of data space", LvmErrorKind::NoSpace),
    ("out of metadata space", LvmErrorKind::NoSpace),
    ("free space in thin pool", LvmErrorKind::NoSpace),
    ("already exists in volume group", LvmErrorKind::Exists),
    ("already exists", LvmErrorKind::Exists),
    ("cannot process volume group", LvmErrorKind::NotFound),
    ("failed to find logical volume", LvmErrorKind::NotFound),
    ("failed to find volume group", LvmErrorKind::NotFound),
    ("not found", LvmErrorKind::NotFound),
    ("is exported", LvmErrorKind::Exported),
    ("missing pv", LvmErrorKind::Unavailable),
    ("while pvs are missing", LvmErrorKind::Unavailable),
    ("while pvs appear on duplicate", LvmErrorKind::Unavailable),
    ("in use", LvmErrorKind::InUse),
    ("is used by", LvmErrorKind::InUse),
    ("device or resource busy", LvmErrorKind::InUse),
    ("can be resized only while inactive", LvmErrorKind::InUse),
];

impl LvmError {
    /// An error from the messages that LVM logged while it failed.
    pub fn from_messages(operation: impl Into<String>, messages: &[String]) -> LvmError {
        // LVM says some things once for each step that meets them.
        let mut said: Vec<&str> = Vec::new();
        for message in messages {
            if !said.contains(&message.as_str()) {
                said.push(message);
            }
        }
        let cause = match said.as_slice() {
            [] => "LVM gave no reason".to_owned(),
            some => some.join("; "),
        };
        let lower = cause.to_ascii_lowercase();
        let kind = TEXTS
            .iter()
            .find(|(text, _)| lower.contains(&text.to_ascii_lowercase()))
            .map_or(LvmErrorKind::Failed, |(_, kind)| *kind);
        LvmError {
            kind,
            operation: operation.into(),
            cause,
        }
    }

    /// An error that LVM did not tell of.
    pub fn failed(operation: impl Into<String>, cause: impl fmt::Display) -> LvmError {
        LvmError {
            kind: LvmErrorKind::Failed,
            operation: operation.into(),
            cause: cause.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_from_real_messages() {
        use LvmErrorKind::*;
        for (message, kind) in [
            ("Volume group \"nosuch\" not found", NotFound),
            ("Failed to find logical volume \"vg0/nosuch\"", NotFound),
            ("Pool nopool not found in Volume group vg0.", NotFound),
            (
                "Existing logical volume \"nosuch\" not found in volume group \"vg0\"",
                NotFound,
            ),
            (
                "Volume group \"vg0\" has insufficient free space (361 extents): 25600 required.",
                NoSpace,
            ),
            (
                "Insufficient free space: 10000 extents needed, but only 361 available",
                NoSpace,
            ),
            (
                "Logical Volume \"thin\" already exists in volume group \"vg0\"",
                Exists,
            ),
            (
                "Cannot access VG vg0 with system ID other with local system ID here.",
                ForeignSystem,
            ),
            (
                "Cannot access VG vg0 with system ID other with unknown local system ID.",
                ForeignSystem,
            ),
            ("Volume group vg0 is exported", Exported),
            ("Logical volume vg0/thin in use.", InUse),
            (
                "Logical volume vg0/thin contains a filesystem in use.",
                InUse,
            ),
            ("Logical volume vg0/thin is used by another device.", InUse),
            ("Something else.", Failed),
        ] {
            let error = LvmError::from_messages("lvcreate vg0/a", &[message.to_owned()]);
            assert_eq!(error.kind, kind, "{message}");
        }
    }

    #[test]
    fn nothing_is_told_twice() {
        let said = ["a", "b", "a"].map(str::to_owned);
        assert_eq!(LvmError::from_messages("lvs", &said).cause, "a; b");
    }

    #[test]
    fn silence_is_told() {
        let error = LvmError::from_messages("lvs vg0", &[]);
        assert_eq!(error.to_string(), "lvs vg0: LVM gave no reason");
    }
}
