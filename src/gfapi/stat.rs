use std::time::{Duration, SystemTime};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, socket or pipe.
    Other,
}

/// Attributes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: FileKind,
    /// Its number, the same for all names of one file.
    pub inode: u64,
    /// Number of names.
    pub names: u64,
    /// Size in bytes.
    pub size: u64,
    /// Bytes that are allocated to it.
    pub allocated: u64,
    /// Time of the last write.
    pub modified: SystemTime,
}

impl Stat {
    pub(crate) fn from_c(stat: &gfapi_sys::stat) -> Stat {
        let kind = match stat.st_mode & libc::S_IFMT {
            libc::S_IFREG => FileKind::Regular,
            libc::S_IFDIR => FileKind::Directory,
            libc::S_IFLNK => FileKind::Symlink,
            _ => FileKind::Other,
        };
        // Gluster's own times are seconds since 1970 and never before.
        let seconds = u64::try_from(stat.st_mtim.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(stat.st_mtim.tv_nsec).unwrap_or(0);
        Stat {
            kind,
            inode: stat.st_ino,
            names: stat.st_nlink,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            allocated: u64::try_from(stat.st_blocks).unwrap_or(0) * 512,
            modified: SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos),
        }
    }
}
