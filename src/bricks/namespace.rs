use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bd_durable::SharedSync;
use bd_model::{Bytes, DirPolicy, Gfid, ImageKind, ImageMark, SECTOR, xattr};
use bd_proto::Fault;
use bd_proto::places::{paths_of, places_of};
use rustix::fs::{FallocateFlags, XattrFlags, fallocate, lsetxattr};

use super::attributes::{Mark, failed, gfid_of, has_data, mark_of};
use super::config::BrickConfig;

/// The posix translator's own folder in a brick directory.
pub(super) const HIDDEN: &str = ".glusterfs";

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
    pub(super) dir: PathBuf,
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

    pub(super) fn stub_at(&self, path: PathBuf) -> Result<Option<Stub>, Fault> {
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

    /// Gives a directory a policy; durable when this returns.
    pub(crate) fn set_policy(&self, folder: &Path, policy: DirPolicy) -> Result<(), Fault> {
        let value = policy.to_string();
        lsetxattr(folder, xattr::DIR, value.as_bytes(), XattrFlags::empty())
            .map_err(io::Error::from)
            .and_then(|()| fs::File::open(folder)?.sync_all())
            .map_err(|error| failed("set the policy of", folder, &error))
    }
}
