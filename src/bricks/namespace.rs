use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bd_durable::SharedSync;
use bd_model::{Bytes, DirPolicy, Gfid, ImageKind, ImageMark, SECTOR, xattr};
use bd_proto::places::{paths_of, places_of};
use bd_proto::{Fault, FaultKind};
use rustix::fs::{FallocateFlags, XattrFlags, fallocate, lgetxattr, lsetxattr};
use rustix::io::Errno;

use super::config::BrickConfig;

/// The posix translator's own folder in a brick directory.
const HIDDEN: &str = ".glusterfs";
/// Where the posix translator keeps a file's gfid.
const TRUSTED_GFID: &str = "trusted.gfid";

/// What the mark of a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It has none: a plain file.
    Plain,
    /// The destination of a copy that is not finished.
    Pending,
    /// It is an image.
    Image(ImageKind),
    /// Something this version cannot read; nothing may be undone on the strength of it.
    Unknown(String),
}

/// A file of the brick, found by its gfid.
#[derive(Clone, Debug)]
pub(crate) struct Stub {
    /// Its handle.
    pub(crate) path: PathBuf,
    /// What its mark says.
    pub(crate) mark: Mark,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// Bytes that it takes on the file system of the names.
    pub(crate) allocated: Bytes,
    /// Whether it has data extents; blocks alone do not tell, since attributes may take some.
    pub(crate) holds_data: bool,
    /// Its names, not counting the handle.
    pub(crate) names: u64,
}

/// The files of a brick, as the posix translator keeps them.
#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    dir: PathBuf,
    sync: Arc<SharedSync>,
}

impl Namespace {
    pub(crate) fn new(dir: &Path) -> Namespace {
        Namespace {
            dir: dir.to_owned(),
            sync: Arc::default(),
        }
    }

    /// Returns when all that was changed in the brick's file system before is on its disk. The posix
    /// translator syncs no name that it changes.
    pub(crate) fn sync(&self) -> Result<(), Fault> {
        let synced = self
            .sync
            .run(|| Ok(rustix::fs::syncfs(fs::File::open(&self.dir)?)?));
        synced.map_err(|error| failed("bring to the disk what was changed in", &self.dir, &error))
    }

    /// Where the handle of a file is: a hard link to it.
    pub(crate) fn handle(&self, gfid: Gfid) -> PathBuf {
        self.dir.join(gfid.handle())
    }

    /// The file of a gfid; `None` if it has no handle, or is not a regular file.
    pub(crate) fn stub(&self, gfid: Gfid) -> Result<Option<Stub>, Fault> {
        self.stub_at(self.handle(gfid))
    }

    fn stub_at(&self, path: PathBuf) -> Result<Option<Stub>, Fault> {
        let about = match fs::symlink_metadata(&path) {
            Ok(about) => about,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("look at", &path, &error)),
        };
        if !about.is_file() {
            return Ok(None);
        }
        let mark = mark_of(&path)?;
        Ok(Some(Stub {
            mark,
            size: about.len(),
            allocated: Bytes(about.blocks().saturating_mul(SECTOR)),
            holds_data: about.blocks() > 0 && has_data(&path)?,
            names: about.nlink().saturating_sub(1),
            path,
        }))
    }

    /// The path of a file in its volume, by what the posix translator notes of its parent; `None`
    /// where it notes none (option gfid2path), or the file has no name any more.
    pub(crate) fn path_of(&self, gfid: Gfid) -> Option<PathBuf> {
        paths_of(&self.dir, gfid).into_iter().next()
    }

    /// The top image directory of a brick, whatever it is called by now: its handle is a link to it. Before
    /// a volume has attached the brick, it is where that would make it.
    pub(crate) fn top(&self, config: &BrickConfig) -> PathBuf {
        let by_gfid = config.volume.map(|volume| {
            let gfid = Gfid::of_top_directory(volume, &config.top);
            self.handle(gfid)
        });
        match by_gfid {
            Some(handle) if handle.is_dir() => handle,
            _ => self.dir.join(&config.top),
        }
    }

    /// The names that a file has right in `folder`, by what the posix
    /// translator notes; `None` where it notes nothing.
    pub(crate) fn names_in(&self, folder: &Path, gfid: Gfid) -> Option<Vec<String>> {
        let handle = self.handle(gfid);
        let identity = |path: &Path| fs::symlink_metadata(path).map(|at| (at.dev(), at.ino()));
        let file = identity(&handle).ok()?;
        let places = places_of(&self.dir, gfid);
        let names = places
            .iter()
            .filter_map(|(_, name)| name.to_str().map(str::to_owned));
        let are_here = names.filter(|name| identity(&folder.join(name)).is_ok_and(|it| it == file));
        (!places.is_empty()).then(|| are_here.collect())
    }

    /// The gfid of a regular file right in `folder`.
    pub(crate) fn file_in(folder: &Path, name: &str) -> Result<Option<Gfid>, Fault> {
        let path = folder.join(name);
        match fs::symlink_metadata(&path) {
            Ok(about) if about.is_file() => gfid_of(&path),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// Marks a stub as an image.
    pub(crate) fn mark(&self, stub: &Stub, kind: ImageKind) -> Result<(), Fault> {
        let value = ImageMark::Image { kind, size: None }.to_string();
        lsetxattr(
            &stub.path,
            xattr::IMAGE,
            value.as_bytes(),
            XattrFlags::empty(),
        )
        .map_err(io::Error::from)
        .and_then(|()| fs::File::open(&stub.path)?.sync_all())
        .map_err(|error| failed("mark", &stub.path, &error))
    }

    /// Frees the blocks of a stub and leaves its size.
    pub(crate) fn punch(&self, stub: &Stub) -> Result<(), Fault> {
        if !stub.holds_data || stub.size == 0 {
            return Ok(());
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fs::File::options()
            .write(true)
            .open(&stub.path)
            .and_then(|file| Ok(fallocate(file, flags, 0, stub.size)?))
            .map_err(|error| failed("free the blocks of", &stub.path, &error))
    }

    /// Removes a handle that is the only name its file has left.
    pub(crate) fn remove_handle(&self, stub: &Stub) -> Result<(), Fault> {
        fs::remove_file(&stub.path).map_err(|error| failed("remove", &stub.path, &error))
    }

    /// Sets the size of a stub; durable when this returns.
    pub(crate) fn set_size(&self, stub: &Stub, size: Bytes) -> Result<(), Fault> {
        let sized = fs::File::options()
            .write(true)
            .open(&stub.path)
            .and_then(|file| {
                file.set_len(size.0)?;
                file.sync_all()
            });
        sized.map_err(|error| failed("set the size of", &stub.path, &error))
    }

    /// Removes the names of a file, but not its handle; durable when this returns. Walks the whole
    /// brick where the posix translator has not noted all of them, so it is for repairs only.
    pub(crate) fn remove_names(&self, gfid: Gfid) -> Result<(), Fault> {
        let identity = |about: &Metadata| (about.dev(), about.ino());
        let handle = self.handle(gfid);
        let file = fs::symlink_metadata(&handle).ok().map(|it| identity(&it));
        let remove = |path: &Path| {
            let removed = fs::remove_file(path).and_then(|()| match path.parent() {
                Some(folder) => fs::File::open(folder)?.sync_all(),
                None => Ok(()),
            });
            removed.map_err(|error| failed("remove", path, &error))
        };
        for (parent, name) in places_of(&self.dir, gfid) {
            let path = self.handle(parent).join(name);
            if fs::symlink_metadata(&path).ok().map(|it| identity(&it)) == file {
                remove(&path)?;
            }
        }
        if fs::symlink_metadata(&handle).is_ok_and(|about| about.nlink() == 1) {
            return Ok(());
        }
        self.each_file(|path, about| {
            match file == Some(identity(about)) || gfid_of(path)? == Some(gfid) {
                true => remove(path),
                false => Ok(()),
            }
        })
    }

    /// Gives a file without handle its handle again.
    pub(crate) fn link_handle(&self, gfid: Gfid, file: &Path) -> Result<(), Fault> {
        let handle = self.handle(gfid);
        let folders = handle.parent().map_or(Ok(()), fs::create_dir_all);
        folders
            .and_then(|()| fs::hard_link(file, &handle))
            .map_err(|error| failed("link", &handle, &error))
    }

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

    /// Gives a directory a policy; durable when this returns.
    pub(crate) fn set_policy(&self, folder: &Path, policy: DirPolicy) -> Result<(), Fault> {
        let value = policy.to_string();
        lsetxattr(folder, xattr::DIR, value.as_bytes(), XattrFlags::empty())
            .map_err(io::Error::from)
            .and_then(|()| fs::File::open(folder)?.sync_all())
            .map_err(|error| failed("set the policy of", folder, &error))
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

pub(crate) fn has_data(path: &Path) -> Result<bool, Fault> {
    let file = fs::File::open(path).map_err(|error| failed("open", path, &error))?;
    match rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(0)) {
        Ok(_) => Ok(true),
        Err(Errno::NXIO) => Ok(false),
        Err(errno) => Err(failed("look for data in", path, &errno)),
    }
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

/// The gfid of the file or directory at `path`.
pub(crate) fn gfid_of(path: &Path) -> Result<Option<Gfid>, Fault> {
    let mut bytes = [0; 16];
    match lgetxattr(path, TRUSTED_GFID, &mut bytes[..]) {
        Ok(16) => Ok(Some(Gfid::from_bytes(bytes))),
        Ok(_) | Err(Errno::NODATA | Errno::NOENT | Errno::RANGE) => Ok(None),
        Err(errno) => Err(failed("read the gfid of", path, &errno)),
    }
}

/// What a directory says of new files in it.
enum Policy {
    /// They are plain.
    None,
    Known(DirPolicy),
    Unknown,
}

/// The policy of the directory at `path`.
fn policy_of(path: &Path) -> Result<Policy, Fault> {
    let mut value = [0_u8; 256];
    match lgetxattr(path, xattr::DIR, &mut value[..]) {
        Ok(len) => Ok(DirPolicy::read(&value[..len]).map_or(Policy::Unknown, Policy::Known)),
        Err(Errno::NODATA) => Ok(Policy::None),
        Err(Errno::RANGE) => Ok(Policy::Unknown),
        Err(errno) => Err(failed("read the policy of", path, &errno)),
    }
}

/// The mark of the file at `path`.
pub(crate) fn mark_of(path: &Path) -> Result<Mark, Fault> {
    let mut value = [0_u8; 128];
    let text = match lgetxattr(path, xattr::IMAGE, &mut value[..]) {
        Ok(len) => String::from_utf8_lossy(&value[..len]),
        Err(Errno::NODATA) => return Ok(Mark::Plain),
        Err(Errno::RANGE) => return Ok(Mark::Unknown("something very long".into())),
        Err(errno) => return Err(failed("read the mark of", path, &errno)),
    };
    Ok(match text.trim_end_matches('\0').parse() {
        Ok(ImageMark::Image { kind, .. }) => Mark::Image(kind),
        Ok(ImageMark::Pending { .. }) => Mark::Pending,
        Err(_) => Mark::Unknown(text.into_owned()),
    })
}

/// What could not be done to a file or directory, and why.
pub(crate) fn failed(verb: &str, path: &Path, error: &dyn std::fmt::Display) -> Fault {
    let kind = FaultKind::Failed;
    Fault::new(kind, format!("cannot {verb} {}: {error}", path.display()))
}
