//! Looking at all files of a brick.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bd_model::{DirPolicy, Gfid};
use bd_proto::Fault;

use super::attributes::{Policy, failed, gfid_of, policy_of};
use super::namespace::{HIDDEN, Namespace, Stub};

impl Namespace {
    /// Calls `see` with each handle of a regular file.
    pub(crate) fn each_stub(
        &self,
        mut see: impl FnMut(Gfid, Stub) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let two_digits = |path: &Path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.len() == 2 && name.chars().all(|c| c.is_ascii_hexdigit()))
        };
        for first in entries(&self.dir.join(HIDDEN))? {
            if !two_digits(&first) || !first.is_dir() {
                continue;
            }
            for second in entries(&first)? {
                if !two_digits(&second) || !second.is_dir() {
                    continue;
                }
                for path in entries(&second)? {
                    let name = path.file_name().and_then(|name| name.to_str());
                    if let Some(gfid) = name.and_then(|name| name.parse().ok())
                        && let Some(stub) = self.stub_at(path)?
                    {
                        see(gfid, stub)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Calls `see` with each regular file right in `folder`, and its gfid; names that are no text are
    /// left out.
    pub(crate) fn each_file_in(
        folder: &Path,
        mut see: impl FnMut(Gfid, &str),
    ) -> Result<(), Fault> {
        for path in entries(folder)? {
            let Ok(about) = fs::symlink_metadata(&path) else {
                continue;
            };
            if about.is_file()
                && let Some(name) = path.file_name().and_then(|name| name.to_str())
                && let Some(gfid) = gfid_of(&path)?
            {
                see(gfid, name);
            }
        }
        Ok(())
    }

    /// Calls `see` with each file that has its last name but no handle, and its gfid.
    ///
    /// The posix translator unlinks the handle of a file before its last name, or moves it to
    /// its folder of open unlinked files; a crash between the two leaves such a file. Walks the
    /// whole brick, so it is for repairs and checks only.
    pub(crate) fn each_without_handle(
        &self,
        mut see: impl FnMut(Gfid, &Path) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.each_file(|path, about| {
            if may_lack_handle(about)
                && let Some(gfid) = gfid_of(path)?
                && fs::symlink_metadata(self.handle(gfid)).is_err()
            {
                see(gfid, path)?;
            }
            Ok(())
        })
    }

    /// Calls `see` with each directory whose policy cannot be read, its gfid, and the policy that it
    /// would have inherited; `None` if nothing above it has one. Walks the whole brick.
    pub(crate) fn each_unreadable_policy(
        &self,
        mut see: impl FnMut(Gfid, &Path, Option<DirPolicy>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.each(|path, about| {
            if !about.is_dir() || !matches!(policy_of(path)?, Policy::Unknown) {
                return Ok(());
            }
            let mut inherited = None;
            let above = path.ancestors().skip(1);
            for folder in above.take_while(|folder| folder.starts_with(&self.dir)) {
                if let Policy::Known(policy) = policy_of(folder)? {
                    inherited = Some(policy);
                    break;
                }
            }
            match gfid_of(path)? {
                Some(gfid) => see(gfid, path, inherited),
                None => Ok(()),
            }
        })
    }

    /// Calls `see` with each regular file outside of the translators' own folder.
    pub(crate) fn each_file(
        &self,
        mut see: impl FnMut(&Path, &Metadata) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.each(|path, about| match about.is_file() {
            true => see(path, about),
            false => Ok(()),
        })
    }

    /// Calls `see` with each directory and regular file outside of the translators' own folder.
    pub(crate) fn each(
        &self,
        mut see: impl FnMut(&Path, &Metadata) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut folders = vec![self.dir.clone()];
        while let Some(folder) = folders.pop() {
            for path in entries(&folder)? {
                let about = match fs::symlink_metadata(&path) {
                    Ok(about) => about,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(failed("look at", &path, &error)),
                };
                if about.is_dir() && path == self.dir.join(HIDDEN) {
                    continue;
                }
                if about.is_dir() || about.is_file() {
                    see(&path, &about)?;
                }
                if about.is_dir() {
                    folders.push(path);
                }
            }
        }
        Ok(())
    }
}

/// Whether a file has so few links that its handle may be missing: one for the last name, and
/// perhaps one in the folder of open unlinked files.
fn may_lack_handle(about: &Metadata) -> bool {
    about.is_file() && about.nlink() <= 2
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let listed = fs::read_dir(folder).and_then(|entries| {
        entries
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_, _>>()
    });
    match listed {
        // A brick that has never been started, or a directory that went meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        result => result.map_err(|error| failed("read", folder, &error)),
    }
}
