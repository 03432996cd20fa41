//! What is mounted, and what the host mounts at its start.

use std::fs;
use std::io::Write;

use crate::CliError;

const FSTAB: &str = "/etc/fstab";

/// What is mounted at a directory, by the name of its source; the latest, where several are.
pub(crate) fn mounted_at(at: &str) -> Result<Option<String>, CliError> {
    find_mounts(|[source, place, _]| (place == at).then(|| source.to_owned()))
        .map(|found| found.into_iter().next())
}

/// The directories where a file system of that kind is mounted whose source `is_it`, the latest first.
pub(crate) fn mounts_of(kind: &str, is_it: impl Fn(&str) -> bool) -> Result<Vec<String>, CliError> {
    find_mounts(|[source, place, found]| (found == kind && is_it(source)).then(|| place.to_owned()))
}

/// What `look` makes of the source, place and kind of each mount, the latest first.
fn find_mounts(look: impl Fn([&str; 3]) -> Option<String>) -> Result<Vec<String>, CliError> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let words = |line: &str| {
        let mut words = line.split(' ');
        look([words.next()?, words.next()?, words.next()?])
    };
    Ok(mounts.lines().rev().filter_map(words).collect())
}

fn path_error(source: std::io::Error) -> CliError {
    CliError::Path {
        path: FSTAB.to_owned(),
        source,
    }
}

/// What fstab says; nothing where there is none.
fn present() -> Result<String, CliError> {
    match fs::read_to_string(FSTAB) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(path_error(error)),
    }
}

/// Takes mounts out of fstab, by their source.
pub(crate) fn forget(is_it: impl Fn(&str) -> bool) -> Result<(), CliError> {
    let present = present()?;
    let stays = |line: &&str| !line.split_whitespace().next().is_some_and(&is_it);
    let left: String = present.split_inclusive('\n').filter(stays).collect();
    if left == present {
        return Ok(());
    }
    // At each moment there is a whole one.
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in("/etc")?;
        file.write_all(left.as_bytes())?;
        file.as_file()
            .set_permissions(fs::metadata(FSTAB)?.permissions())?;
        file.as_file().sync_all()?;
        file.persist(FSTAB).map_err(|error| error.error).map(drop)
    };
    write().map_err(path_error)
}

/// Puts a mount into fstab, unless it has one at that directory. `kind` is the file system with its options.
pub(crate) fn remember(source: &str, at: &str, kind: &str) -> Result<(), CliError> {
    let present = present()?;
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
