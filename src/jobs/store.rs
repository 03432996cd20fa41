//! Jobs on disk.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::record::Record;

/// Why jobs could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}: {source}; see to the state folder", path.display())]
pub struct StoreError {
    verb: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A folder with a file for each job.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
}

impl Store {
    /// Opens the folder, makes it if need be, and reads it: the highest number in use, and the jobs.
    ///
    /// A file that cannot be read as a job is told and left where it is: others must go on.
    pub(super) fn open(folder: &Path) -> Result<(Store, u64, Vec<Record>), StoreError> {
        let failed = |verb| {
            move |source| StoreError {
                verb,
                path: folder.to_owned(),
                source,
            }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed("make"))?;
        let mut last = 0;
        let mut records = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed("read"))? {
            let path = entry.map_err(failed("read"))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.ends_with(bd_durable::NEW)) {
                bd_durable::remove(&path).map_err(failed("remove a file of"))?;
                continue;
            }
            let id = name
                .and_then(|name| name.strip_suffix(".json"))
                .and_then(|stem| stem.parse::<u64>().ok());
            last = last.max(id.unwrap_or(0));
            let text = fs::read(&path).map_err(failed("read"))?;
            match serde_json::from_slice::<Record>(&text) {
                Ok(record) if Some(record.id) == id => records.push(record),
                Ok(record) => tracing::error!(
                    "{} holds job {}, and is left alone",
                    path.display(),
                    record.id
                ),
                Err(error) => {
                    tracing::error!("{} is no job, and is left alone: {error}", path.display())
                }
            }
        }
        let store = Store {
            folder: folder.to_owned(),
        };
        Ok((store, last, records))
    }

    /// Writes a job; durable when this returns.
    pub(super) fn put(&self, record: &Record) -> Result<(), StoreError> {
        let path = self.path(record.id);
        serde_json::to_vec(record)
            .map_err(io::Error::from)
            .and_then(|text| bd_durable::prepare(&path, &text))
            .and_then(|()| bd_durable::place(&path))
            .map_err(|source| StoreError {
                verb: "write",
                path,
                source,
            })
    }

    /// Forgets a job.
    pub(super) fn remove(&self, id: u64) -> Result<(), StoreError> {
        let path = self.path(id);
        bd_durable::remove(&path).map_err(|source| StoreError {
            verb: "remove",
            path,
            source,
        })
    }

    fn path(&self, id: u64) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}
