use std::io;

/// Why an operation on a file of a volume failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {path}: {}", text(source))]
pub struct FileError {
    /// What was tried, such as `create`.
    pub operation: &'static str,
    /// The volume and the path.
    pub path: String,
    /// The errno of the volume.
    pub source: io::Error,
}

impl FileError {
    /// The errno; zero if there is none.
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }

    /// Whether the file does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self.errno(), libc::ENOENT | libc::ESTALE)
    }

    /// Whether an attribute is not set.
    pub fn is_no_attribute(&self) -> bool {
        self.errno() == libc::ENODATA
    }
}

/// Why there is no connection to a volume.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to volume {volume} at {server}: {}", text(source))]
pub struct ConnectError {
    /// The volume.
    pub volume: String,
    /// The host that was asked for it.
    pub server: String,
    /// What libgfapi said.
    pub source: io::Error,
}

/// The system's text without the number that Rust adds.
fn text(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    let mut letters = text[..end].chars();
    letters
        .next()
        .map(|first| first.to_lowercase().chain(letters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_object_and_the_cause() {
        let error = FileError {
            operation: "create",
            path: "vms:/vg0/vm1".to_owned(),
            source: io::Error::from_raw_os_error(libc::EEXIST),
        };
        assert_eq!(error.to_string(), "cannot create vms:/vg0/vm1: file exists");
        assert!(!error.is_not_found());
    }
}
