//! What is mounted, and what the host mounts at its start.

use std::fs;
use std::io::Write;

use crate::CliError;

const FSTAB: &str = "/etc/fstab";

/// What is mounted at a directory, by the name of its source; the latest, where several are.
pub(crate) fn mounted_at(at: &str) -> Result<Option<String>, CliError> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let source = |line: &str| {
        let (source, rest) = line.split_once(' ')?;
        (rest.split(' ').next() == Some(at)).then(|| source.to_owned())
    };
    Ok(mounts.lines().filter_map(source).next_back())
}

/// Puts a mount into fstab, unless it has one at that directory. `kind` is the file system with its options.
pub(crate) fn remember(source: &str, at: &str, kind: &str) -> Result<(), CliError> {
    let path_error = |source| CliError::Path {
        path: FSTAB.to_owned(),
        source,
    };
    let present = match fs::read_to_string(FSTAB) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(path_error(error)),
    };
    if present
        .lines()
        .any(|line| line.split_whitespace().nth(1) == Some(at))
    {
        return Ok(());
    }
    let newline = match present.is_empty() || present.ends_with('\n') {
        true => "",
        false => "\n",
    };
    let line = format!("{newline}{source} {at} {kind} 0 0\n");
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(FSTAB)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .map_err(path_error)
}
