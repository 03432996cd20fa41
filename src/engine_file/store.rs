use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bd_engine::{BackingVolume, EngineError, OpenVolume};
use bd_model::{BrickId, Bytes, Gfid, LvName};
use bd_proto::{FaultKind, Space};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, StatxFlags, fstat, ftruncate, openat,
    renameat_with, statx, unlinkat,
};
use rustix::io::Errno;

use super::attributes::{self, Attributes};
use super::error::failed;

/// Asks statx(2) for the alignment of direct I/O (`STATX_DIOALIGN`, Linux 6.1).
const STATX_DIOALIGN: u32 = 0x2000;
/// Alignment that direct I/O is content with everywhere, where the kernel does not tell.
const SAFE_BLOCK: u32 = 4096;
/// Alignment where the file system takes no direct I/O.
const BUFFERED_BLOCK: u32 = 512;

/// The folder: names, attributes and what is remembered of them.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    folder: OwnedFd,
    /// Where the file of each image was seen last; the attribute on the file has the last word.
    names: Mutex<HashMap<Gfid, LvName>>,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Store, EngineError> {
        let what = || format!("cannot use {} as a store", path.display());
        let path = path
            .canonicalize()
            .map_err(|error| failed(what(), Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder =
            openat(CWD, &path, flags, Mode::empty()).map_err(|errno| failed(what(), errno))?;
        let store = Store {
            path,
            folder,
            names: Mutex::default(),
        };
        store.probe()?;
        store.volumes()?;
        Ok(store)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that the file system can do what the engine needs, without leaving a trace.
    fn probe(&self) -> Result<(), EngineError> {
        let file = self.unnamed()?;
        let gfid = Some(Gfid::ROOT);
        Attributes {
            gfid,
            kind: bd_model::ImageKind::Thin,
            origin: gfid,
            merged: None,
            outgoing: false,
        }
        .write(&file)
        .map_err(|errno| {
            let what = format!(
                "cannot use {self} as a store: its file system takes no user attributes; \
                 use ext4, xfs or btrfs"
            );
            failed(what, errno)
        })
    }

    /// A new file without a name, which vanishes unless it is linked.
    pub(super) fn unnamed(&self) -> Result<File, EngineError> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        openat(&self.folder, ".", flags, Mode::RUSR | Mode::WUSR)
            .map(File::from)
            .map_err(|errno| failed(format!("cannot make an unnamed file in {self}"), errno))
    }

    /// Gives an unnamed file its name; [`Errno::EXIST`] if that is taken.
    pub(super) fn link(&self, file: &File, name: &LvName) -> Result<(), Errno> {
        // See open(2) on O_TMPFILE: this form needs no capability.
        let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
        let flags = AtFlags::SYMLINK_FOLLOW;
        rustix::fs::linkat(CWD, unnamed, &self.folder, name.as_str(), flags)?;
        rustix::fs::fsync(&self.folder)
    }

    /// Renames a file; [`Errno::EXIST`] if the new name is taken.
    pub(super) fn rename(&self, old: &LvName, new: &LvName) -> Result<(), Errno> {
        let (folder, flags) = (&self.folder, RenameFlags::NOREPLACE);
        renameat_with(folder, old.as_str(), folder, new.as_str(), flags)?;
        rustix::fs::fsync(&self.folder)
    }

    /// Lets two files exchange their names.
    pub(super) fn exchange(&self, a: &LvName, b: &LvName) -> Result<(), Errno> {
        let (folder, flags) = (&self.folder, RenameFlags::EXCHANGE);
        renameat_with(folder, a.as_str(), folder, b.as_str(), flags)?;
        rustix::fs::fsync(&self.folder)
    }

    pub(super) fn unlink(&self, gfid: Gfid, name: &LvName) -> Result<(), EngineError> {
        unlinkat(&self.folder, name.as_str(), AtFlags::empty())
            .and_then(|()| rustix::fs::fsync(&self.folder))
            .map_err(|errno| failed(format!("cannot remove {self}/{name}"), errno))?;
        self.names().remove(&gfid);
        Ok(())
    }

    pub(super) fn remember(&self, gfid: Gfid, name: &LvName) {
        self.names().insert(gfid, name.clone());
    }

    fn names(&self) -> MutexGuard<'_, HashMap<Gfid, LvName>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open_file(&self, name: &LvName) -> Result<File, EngineError> {
        self.open_with(name, OFlags::RDWR)
            .map(File::from)
            .map_err(|errno| failed(format!("cannot open {self}/{name}"), errno))
    }

    fn open_with(&self, name: &LvName, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        openat(&self.folder, name.as_str(), flags, Mode::empty())
    }

    /// All files with names that a volume may have, read afresh.
    ///
    /// Where two files say they are of one image (a copy with its attributes), the one that is
    /// remembered keeps it, and the other belongs to nobody.
    pub(super) fn volumes(&self) -> Result<Vec<BackingVolume>, EngineError> {
        let what = || format!("cannot read {self}");
        let mut found = Vec::new();
        for entry in Dir::read_from(&self.folder).map_err(|errno| failed(what(), errno))? {
            let entry = entry.map_err(|errno| failed(what(), errno))?;
            let name = entry.file_name().to_str().ok().and_then(|n| n.parse().ok());
            if let Some(name) = name
                && let Some(seen) = self.look(&name)?
            {
                found.push(seen);
            }
        }
        found.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        read_merges(&mut found);
        let mut found: Vec<BackingVolume> = found.into_iter().map(|(volume, _)| volume).collect();
        let remembered = self.names().clone();
        let mut names: HashMap<Gfid, LvName> = HashMap::new();
        for volume in &found {
            if let Some(gfid) = volume.gfid
                && (remembered.get(&gfid) == Some(&volume.name) || !names.contains_key(&gfid))
            {
                names.insert(gfid, volume.name.clone());
            }
        }
        for volume in &mut found {
            if let Some(gfid) = volume.gfid
                && names.get(&gfid) != Some(&volume.name)
            {
                tracing::warn!("{self}/{} is a second file of image {gfid}", volume.name);
                volume.gfid = None;
            }
        }
        *self.names() = names;
        Ok(found)
    }

    /// Files that a merge has given to an image, where that is not tidied up yet: the name, the
    /// snapshot that was merged, and the image.
    pub(super) fn merged(&self) -> Result<Vec<(LvName, Gfid, Gfid)>, EngineError> {
        let mut merged = Vec::new();
        for volume in self.volumes()? {
            let about = self.attributes(&volume.name)?;
            if let (Some(snapshot), Some(origin)) = (about.gfid, about.merged) {
                merged.push((volume.name, snapshot, origin));
            }
        }
        Ok(merged)
    }

    /// The attributes of a file, as they are written on it.
    pub(super) fn attributes(&self, name: &LvName) -> Result<Attributes, EngineError> {
        let what = || format!("cannot read {self}/{name}");
        self.open_with(name, OFlags::RDONLY)
            .and_then(Attributes::read)
            .map_err(|errno| failed(what(), errno))
    }

    /// The file of an image.
    pub(super) fn find(&self, gfid: Gfid) -> Result<Option<BackingVolume>, EngineError> {
        let Some(name) = self.names().get(&gfid).cloned() else {
            return Ok(None);
        };
        match self.describe(&name)? {
            Some(volume) if volume.gfid == Some(gfid) => Ok(Some(volume)),
            // Somebody renamed or removed it behind our back.
            _ => Ok(self
                .volumes()?
                .into_iter()
                .find(|volume| volume.gfid == Some(gfid))),
        }
    }

    fn describe(&self, name: &LvName) -> Result<Option<BackingVolume>, EngineError> {
        Ok(self.look(name)?.map(|(volume, _)| volume))
    }

    /// What a name stands for, and what the file says of itself; `None` if it is not, or no
    /// longer, a regular file.
    fn look(&self, name: &LvName) -> Result<Option<(BackingVolume, Attributes)>, EngineError> {
        let what = || format!("cannot read {self}/{name}");
        let file = match self.open_with(name, OFlags::RDONLY) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
            Err(errno) => return Err(failed(what(), errno)),
        };
        let stat = fstat(&file).map_err(|errno| failed(what(), errno))?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Ok(None);
        }
        let attributes = Attributes::read(&file).map_err(|errno| failed(what(), errno))?;
        let number = |value: i64| u64::try_from(value).unwrap_or_default();
        let volume = BackingVolume {
            name: name.clone(),
            gfid: attributes.merged.or(attributes.gfid),
            kind: attributes.kind,
            size: Bytes(number(stat.st_size)),
            allocated: Bytes(number(stat.st_blocks) * bd_model::SECTOR),
            pool: None,
            origin: attributes
                .origin
                .and_then(|origin| self.names().get(&origin).cloned()),
            origin_image: attributes
                .origin
                .filter(|origin| self.names().contains_key(origin)),
            outgoing: attributes.outgoing,
        };
        Ok(Some((volume, attributes)))
    }

    /// Gives a file that belongs to nobody to an image and fills up its last extent.
    pub(super) fn adopt(
        &self,
        name: &LvName,
        gfid: Gfid,
        round: impl FnOnce(Bytes) -> Result<Bytes, EngineError>,
    ) -> Result<(), EngineError> {
        let what = || format!("cannot make {self}/{name} the image {gfid}");
        let volume = self
            .volumes()?
            .into_iter()
            .find(|volume| volume.name == *name)
            .ok_or_else(|| failed(what(), Errno::NOENT))?;
        if let Some(other) = volume.gfid {
            let message = format!("{}: it belongs to image {other}", what());
            return Err(EngineError::new(FaultKind::Exists, message));
        }
        let file = self.open_file(name)?;
        let size = round(volume.size)?;
        ftruncate(&file, size.0)
            .and_then(|()| {
                Attributes {
                    gfid: Some(gfid),
                    kind: volume.kind,
                    origin: None,
                    merged: None,
                    outgoing: false,
                }
                .write(&file)
            })
            .and_then(|()| rustix::fs::fsync(&file))
            .map_err(|errno| failed(what(), errno))?;
        self.remember(gfid, name);
        Ok(())
    }

    /// Makes what a merge has left an image again.
    pub(super) fn claim_outgoing(&self, name: &LvName) -> Result<(), EngineError> {
        let about = Attributes {
            outgoing: false,
            ..self.attributes(name)?
        };
        let file = self.open_file(name)?;
        about
            .write(&file)
            .and_then(|()| rustix::fs::fsync(&file))
            .map_err(|errno| failed(format!("cannot adopt {self}/{name}"), errno))
    }

    /// Opens for direct I/O where the file system has it.
    pub(super) fn open_volume(&self, volume: BackingVolume) -> Result<OpenVolume, EngineError> {
        let what = || format!("cannot open {self}/{}", volume.name);
        let (fd, block_size) = match self.open_with(&volume.name, OFlags::RDWR | OFlags::DIRECT) {
            Ok(fd) => {
                let block_size = direct_alignment(&fd);
                (fd, block_size)
            }
            Err(Errno::INVAL) => {
                let fd = self
                    .open_with(&volume.name, OFlags::RDWR)
                    .map_err(|errno| failed(what(), errno))?;
                (fd, BUFFERED_BLOCK)
            }
            Err(errno) => return Err(failed(what(), errno)),
        };
        let system = rustix::fs::fstatvfs(&fd).map_err(|errno| failed(what(), errno))?;
        Ok(OpenVolume {
            volume,
            fd,
            block_size,
            discard_granularity: system.f_bsize,
        })
    }

    pub(super) fn space(&self) -> Result<Space, EngineError> {
        let system = rustix::fs::fstatvfs(&self.folder)
            .map_err(|errno| failed(format!("cannot read the space of {self}"), errno))?;
        let free = Bytes(system.f_bavail.saturating_mul(system.f_frsize));
        Ok(Space {
            total: Bytes(system.f_blocks.saturating_mul(system.f_frsize)),
            free,
            unclaimed: free,
        })
    }

    pub(super) fn claimed_by(&self) -> Result<Option<BrickId>, EngineError> {
        attributes::claim_of(&self.folder)
            .map_err(|errno| failed(format!("cannot read whose store {self} is"), errno))
    }

    pub(super) fn claim(&self, brick: BrickId) -> Result<(), EngineError> {
        let what = || format!("cannot claim {self} for brick {brick}");
        match attributes::set_claim(&self.folder, brick) {
            Ok(()) => rustix::fs::fsync(&self.folder).map_err(|errno| failed(what(), errno)),
            Err(Errno::EXIST) => match self.claimed_by()? {
                Some(owner) if owner == brick => Ok(()),
                owner => {
                    let owner = owner.map_or_else(|| "another brick".into(), |id| id.to_string());
                    Err(EngineError::new(
                        FaultKind::InUse,
                        format!(
                            "{}: it is the store of brick {owner}; choose another store or, if \
                             that brick is gone for good, run: \
                             setfattr -x user.gluster_bd.brick {self}",
                            what()
                        ),
                    ))
                }
            },
            Err(errno) => Err(failed(what(), errno)),
        }
    }

    pub(super) fn release(&self, brick: BrickId) -> Result<(), EngineError> {
        if self.claimed_by()? != Some(brick) {
            return Ok(());
        }
        attributes::remove_claim(&self.folder)
            .and_then(|()| rustix::fs::fsync(&self.folder))
            .map_err(|errno| failed(format!("cannot release {self}"), errno))
    }
}

/// After a merge the file that the origin had before is the snapshot's, whatever it says.
fn read_merges(found: &mut [(BackingVolume, Attributes)]) {
    let merges: Vec<_> = found
        .iter()
        .filter_map(|(volume, about)| Some((volume.name.clone(), about.gfid?, about.merged?)))
        .collect();
    for (new, snapshot, origin) in merges {
        for (volume, _) in found.iter_mut() {
            if volume.name != new && volume.gfid == Some(origin) {
                (volume.gfid, volume.outgoing) = (Some(snapshot), true);
            }
        }
    }
}

/// The alignment of direct I/O in bytes.
fn direct_alignment(fd: impl AsFd) -> u32 {
    let flags = StatxFlags::from_bits_retain(STATX_DIOALIGN);
    match statx(fd, "", AtFlags::EMPTY_PATH, flags) {
        Ok(about) if about.stx_mask & STATX_DIOALIGN != 0 => {
            let align = about.stx_dio_offset_align.max(about.stx_dio_mem_align);
            if align.is_power_of_two() {
                align.max(BUFFERED_BLOCK)
            } else {
                SAFE_BLOCK
            }
        }
        _ => SAFE_BLOCK,
    }
}
