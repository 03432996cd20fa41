use bd_model::{Bytes, DirPolicy, xattr};
use gfapi::{Entry, FileKind, Server, Stat, Volume};
use serde::Deserialize;

use super::destination::Destination;
use super::path::{ImagePath, NewName, join, parent};
use super::report::{ImageReport, Known};
use super::size::share;
use crate::CliError;
use crate::context::Context;
use crate::glusterd::no_volume;

/// A connection to a volume, and what is an image in it.
#[derive(Debug)]
pub(crate) struct Session {
    /// The volume's name.
    pub(crate) name: String,
    /// Its files.
    pub(crate) files: Volume,
}

/// What a brick answers about its space.
#[derive(Debug, Deserialize)]
struct Space {
    unclaimed: Bytes,
    extent_size: Bytes,
}

impl Session {
    /// Connects to a volume.
    pub(crate) fn open(context: &Context, volume: &str) -> Result<Session, CliError> {
        let server = Server {
            host: context.remote_host.clone(),
            port: None,
        };
        let files = Volume::connect(volume, &server, &context.log_file)
            .map_err(|source| no_volume(context, source))?;
        Ok(Session {
            name: volume.to_owned(),
            files,
        })
    }

    /// Connects, and finds what a path means.
    pub(crate) fn at(context: &Context, path: &ImagePath) -> Result<(Session, String), CliError> {
        let session = Session::open(context, &path.volume)?;
        session.must_serve()?;
        let path = session.path_of(&path.name)?;
        Ok((session, path))
    }

    /// The path of a name: in the volume's image directory if it is bare.
    pub(crate) fn path_of(&self, name: &NewName) -> Result<String, CliError> {
        Ok(match name {
            NewName::Path(path) => path.clone(),
            NewName::Bare(name) => join(&self.only_top()?, name),
        })
    }

    /// Where a copy of the image `other`, or the image itself, shall be: beside it if no place is named.
    pub(crate) fn destination(&self, other: &str, new: &Destination) -> Result<String, CliError> {
        match new {
            Destination::Beside(NewName::Bare(name)) => Ok(join(parent(other), name)),
            Destination::Beside(NewName::Path(path)) => Ok(path.clone()),
            Destination::In(place) if place.volume == self.name => self.path_of(&place.name),
            Destination::In(place) => Err(CliError::Refused(format!(
                "{place} is in volume {}, and an image stays in its volume, {}; for a file of the name {place}, \
                 write its path: {}",
                place.volume,
                self.name,
                join(parent(other), &place.to_string())
            ))),
        }
    }

    /// Refuses a volume none of whose bricks serves images.
    pub(crate) fn must_serve(&self) -> Result<(), CliError> {
        self.top_of_bricks().map(|_| ())
    }

    /// The image directories right below the root.
    pub(crate) fn tops(&self) -> Result<Vec<String>, CliError> {
        let mut tops = Vec::new();
        for entry in self.directory("/")? {
            let path = join("/", &entry.name);
            if entry.stat.kind == FileKind::Directory && self.policy(&path)?.is_some() {
                tops.push(path);
            }
        }
        Ok(tops)
    }

    /// The name of the image directory that new bricks get: as one of its bricks has it.
    pub(crate) fn top_of_bricks(&self) -> Result<String, CliError> {
        match self.files.getxattr("/", xattr::TOP) {
            Ok(top) => Ok(String::from_utf8_lossy(&top).into_owned()),
            // A stock brick keeps such attributes to itself.
            Err(error) if error.is_no_attribute() || error.errno() == libc::EOPNOTSUPP => {
                Err(self.serves_none())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn only_top(&self) -> Result<String, CliError> {
        let tops = self.tops()?;
        match tops.as_slice() {
            [top] => Ok(top.clone()),
            [] => Err(self.serves_none()),
            many => Err(CliError::Refused(format!(
                "volume {} has more than one image directory: {}; write {}:/DIR/NAME",
                self.name,
                many.join(", "),
                self.name
            ))),
        }
    }

    /// The names in a directory, in order.
    pub(crate) fn directory(&self, path: &str) -> Result<Vec<Entry>, CliError> {
        let mut entries = self
            .files
            .open_directory(path)?
            .collect::<Result<Vec<_>, _>>()?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries.dedup_by(|a, b| a.name == b.name);
        Ok(entries)
    }

    /// The policy of an image directory; `None` for other directories.
    pub(crate) fn policy(&self, directory: &str) -> Result<Option<DirPolicy>, CliError> {
        let Some(value) = self.attribute(directory, xattr::DIR)? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&value);
        text.parse().map(Some).map_err(|error| {
            CliError::Failed(format!(
                "cannot read the policy of {}:{directory}: {error}",
                self.name
            ))
        })
    }

    /// An attribute; `None` if the file has none of that name.
    pub(crate) fn attribute(&self, path: &str, name: &str) -> Result<Option<Vec<u8>>, CliError> {
        match self.files.getxattr(path, name) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_no_attribute() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What is known of an image; a file that is none is refused.
    pub(crate) fn report(&self, path: &str) -> Result<ImageReport, CliError> {
        self.find_report(path)?.ok_or_else(|| {
            CliError::Refused(format!("{}:{path} is a file, but not an image", self.name))
        })
    }

    /// As [`Session::report`]; `None` for a file that is no image.
    pub(crate) fn find_report(&self, path: &str) -> Result<Option<ImageReport>, CliError> {
        let stat = self.files.stat(path)?;
        if stat.kind != FileKind::Regular {
            return Err(CliError::Refused(format!(
                "{}:{path} is not a regular file",
                self.name
            )));
        }
        let Some(value) = self.attribute(path, xattr::INFO)? else {
            return Ok(None);
        };
        let mut known: Known = serde_json::from_slice(&value).map_err(|error| {
            CliError::Failed(format!(
                "cannot read what the brick says of {}:{path}: {error}; are client and server \
                 of one version?",
                self.name
            ))
        })?;
        // Its brick may hold a piece of the file, or have missed how it has changed.
        known.size = Bytes(stat.size);
        known.allocated = Bytes(stat.allocated);
        Ok(Some(ImageReport {
            volume: self.name.clone(),
            path: path.to_owned(),
            known,
        }))
    }

    /// The bytes that are `percent` of what thick images can still have on the brick of `path`, a
    /// file: the one that a distributed volume has put it on.
    pub(crate) fn share_of_free(&self, path: &str, percent: u64) -> Result<Bytes, CliError> {
        let unknown = |why: String| {
            CliError::Failed(format!(
                "cannot tell what is free for {}:{path}: {why}; are client and server of one \
                 version?",
                self.name
            ))
        };
        let value = self
            .attribute(path, xattr::SPACE)?
            .ok_or_else(|| unknown("its brick does not say".to_owned()))?;
        let told: Space = serde_json::from_slice(&value).map_err(|e| unknown(e.to_string()))?;
        let share = share(percent, told.unclaimed, told.extent_size);
        match share.0 {
            0 => Err(CliError::Failed(format!(
                "cannot give {percent}% of what is free to {}:{path}: {} free in its volume \
                 group; remove images there or add a disk (vgextend)",
                self.name, told.unclaimed
            ))),
            _ => Ok(share),
        }
    }

    /// Refuses a name that exists.
    pub(crate) fn must_be_free(&self, path: &str) -> Result<(), CliError> {
        match self.find(path)? {
            Some(_) => Err(CliError::Refused(format!(
                "{}:{path} exists already; choose another name",
                self.name
            ))),
            None => Ok(()),
        }
    }

    /// A file's attributes; `None` if there is no such file.
    pub(crate) fn find(&self, path: &str) -> Result<Option<Stat>, CliError> {
        match self.files.stat(path) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The error for a volume that knows no images.
    pub(crate) fn serves_none(&self) -> CliError {
        CliError::Failed(format!(
            "volume {0} serves no images; its bricks need gluster-bd brick init, and the volume: \
             gluster volume set {0} user.bd on",
            self.name
        ))
    }
}
