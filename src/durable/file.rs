use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Ending of the name under which a file is written before it gets its own.
pub const NEW: &str = ".new";

/// Writes and syncs `path` under its name with [`NEW`] added.
pub fn prepare(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(new_name(path))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Gives a prepared file its own name, replacing what has it.
pub fn place(path: &Path) -> io::Result<()> {
    fs::rename(new_name(path), path)?;
    sync_parent(path)
}

/// Removes a file that may not exist.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.and_then(|()| sync_parent(path)),
    }
}

/// The name with [`NEW`] added.
pub fn new_name(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(NEW);
    name.into()
}

/// Makes the names in the folder of `path` durable.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
