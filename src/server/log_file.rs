use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tracing_subscriber::fmt::MakeWriter;

/// A log that goes to a file, which another program may move away.
#[derive(Clone, Debug)]
pub struct LogFile {
    path: PathBuf,
    file: Arc<RwLock<Arc<File>>>,
}

impl LogFile {
    /// Opens a file to add to; it is made, for its owner and group, if it is not there.
    pub fn open(path: &Path) -> io::Result<LogFile> {
        // The working directory may be another one when it is opened again.
        let path = std::path::absolute(path)?;
        let file = Arc::new(append(&path)?);
        Ok(LogFile {
            path,
            file: Arc::new(RwLock::new(file)),
        })
    }

    /// Opens the file of its name again; goes on with the old one if that fails.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let file = Arc::new(append(&self.path)?);
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn append(path: &Path) -> io::Result<File> {
    File::options()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}

/// The file, for one line of the log.
#[derive(Debug)]
pub struct Line(Arc<File>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        Line(Arc::clone(&file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        let log = LogFile::open(&path).unwrap();
        log.make_writer().write_all(b"one\n").unwrap();
        std::fs::rename(&path, &old).unwrap();
        log.make_writer().write_all(b"two\n").unwrap();
        log.reopen().unwrap();
        log.make_writer().write_all(b"three\n").unwrap();
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
        let gone = LogFile::open(&folder.path().join("none/log"));
        assert!(gone.is_err());
    }
}
