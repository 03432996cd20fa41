use std::fmt;

use glusterfs_sys as sys;

/// The type of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// Not known (an inode that has not been looked up).
    Unknown,
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A block device node.
    Block,
    /// A character device node.
    Char,
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
}

impl FileType {
    pub(crate) fn from_raw(raw: sys::ia_type_t) -> FileType {
        match raw {
            sys::IA_IFREG => FileType::Regular,
            sys::IA_IFDIR => FileType::Directory,
            sys::IA_IFLNK => FileType::Symlink,
            sys::IA_IFBLK => FileType::Block,
            sys::IA_IFCHR => FileType::Char,
            sys::IA_IFIFO => FileType::Fifo,
            sys::IA_IFSOCK => FileType::Socket,
            _ => FileType::Unknown,
        }
    }

    fn raw(self) -> sys::ia_type_t {
        match self {
            FileType::Unknown => sys::IA_INVAL,
            FileType::Regular => sys::IA_IFREG,
            FileType::Directory => sys::IA_IFDIR,
            FileType::Symlink => sys::IA_IFLNK,
            FileType::Block => sys::IA_IFBLK,
            FileType::Char => sys::IA_IFCHR,
            FileType::Fifo => sys::IA_IFIFO,
            FileType::Socket => sys::IA_IFSOCK,
        }
    }
}

/// A moment, in seconds and nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds, below 1 000 000 000.
    pub nsec: u32,
}

impl Moment {
    /// The present moment, by the system's clock.
    pub fn now() -> Moment {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Moment {
            sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nsec: since.subsec_nanos(),
        }
    }
}

/// The attributes of a file, as fops carry them (`struct iatt`).
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Iatt(pub(crate) sys::iatt);

macro_rules! fields {
    ($($(#[$doc:meta])* $get:ident, $set:ident, $field:ident : $t:ty;)*) => {$(
        $(#[$doc])*
        pub fn $get(&self) -> $t {
            self.0.$field
        }

        #[doc = concat!("Sets [`Iatt::", stringify!($get), "`].")]
        pub fn $set(&mut self, value: $t) {
            self.0.$field = value;
        }
    )*};
}

macro_rules! moments {
    ($($(#[$doc:meta])* $get:ident, $set:ident, $sec:ident, $nsec:ident;)*) => {$(
        $(#[$doc])*
        pub fn $get(&self) -> Moment {
            Moment { sec: self.0.$sec, nsec: self.0.$nsec }
        }

        #[doc = concat!("Sets [`Iatt::", stringify!($get), "`].")]
        pub fn $set(&mut self, moment: Moment) {
            self.0.$sec = moment.sec;
            self.0.$nsec = moment.nsec;
        }
    )*};
}

impl Iatt {
    fields! {
        /// Size in bytes.
        size, set_size, ia_size: u64;
        /// Allocated space in units of 512 bytes.
        blocks, set_blocks, ia_blocks: u64;
        /// Preferred size of I/O in bytes.
        block_size, set_block_size, ia_blksize: u32;
        /// Number of names.
        nlink, set_nlink, ia_nlink: u32;
        /// Owner.
        uid, set_uid, ia_uid: u32;
        /// Group.
        gid, set_gid, ia_gid: u32;
        /// Inode number; on a Gluster volume it is derived from the gfid.
        ino, set_ino, ia_ino: u64;
        /// Number of the device a device node stands for.
        rdev, set_rdev, ia_rdev: u64;
        /// The 16 bytes of the gfid.
        gfid, set_gfid, ia_gfid: [u8; 16];
    }

    moments! {
        /// Time of last access.
        atime, set_atime, ia_atime, ia_atime_nsec;
        /// Time of last modification of the data.
        mtime, set_mtime, ia_mtime, ia_mtime_nsec;
        /// Time of last change of data or attributes.
        ctime, set_ctime, ia_ctime, ia_ctime_nsec;
    }

    /// The type of the file.
    pub fn file_type(&self) -> FileType {
        FileType::from_raw(self.0.ia_type)
    }

    /// Sets [`Iatt::file_type`].
    pub fn set_file_type(&mut self, kind: FileType) {
        self.0.ia_type = kind.raw();
    }

    /// The permission bits, with set-uid, set-gid and sticky: a number up to 0o7777.
    pub fn permissions(&self) -> u32 {
        let p = &self.0.ia_prot;
        let triple = |r: u8, w: u8, x: u8| u32::from(r) << 2 | u32::from(w) << 1 | u32::from(x);
        triple(p.suid(), p.sgid(), p.sticky()) << 9
            | triple(p.owner.read(), p.owner.write(), p.owner.exec()) << 6
            | triple(p.group.read(), p.group.write(), p.group.exec()) << 3
            | triple(p.other.read(), p.other.write(), p.other.exec())
    }

    /// Sets [`Iatt::permissions`].
    pub fn set_permissions(&mut self, mode: u32) {
        let bit = |n: u32| u8::from(mode & (1 << n) != 0);
        let p = &mut self.0.ia_prot;
        p.set_suid(bit(11));
        p.set_sgid(bit(10));
        p.set_sticky(bit(9));
        for (triple, at) in [(&mut p.owner, 6), (&mut p.group, 3), (&mut p.other, 0)] {
            triple.set_read(bit(at + 2));
            triple.set_write(bit(at + 1));
            triple.set_exec(bit(at));
        }
    }

    /// True if no attribute was filled in (posix leaves some of a failed answer zero).
    pub fn is_empty(&self) -> bool {
        self.0.ia_gfid == [0; 16] && self.0.ia_ino == 0 && self.0.ia_type == sys::IA_INVAL
    }
}

impl Default for Iatt {
    fn default() -> Iatt {
        // SAFETY: a structure of integers, for which zero is a value.
        Iatt(unsafe { std::mem::zeroed() })
    }
}

impl fmt::Debug for Iatt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iatt")
            .field("type", &self.file_type())
            .field("size", &self.size())
            .field("blocks", &self.blocks())
            .field("permissions", &format_args!("{:o}", self.permissions()))
            .field("uid", &self.uid())
            .field("gid", &self.gid())
            .finish_non_exhaustive()
    }
}

/// Which attributes a setattr sets: the bits of its `valid` argument.
pub mod set_attr {
    #![expect(clippy::cast_possible_wrap, reason = "the bits are below the sign")]
    use glusterfs_sys as sys;

    /// The permissions.
    pub const MODE: i32 = sys::GF_SET_ATTR_MODE as i32;
    /// The owner.
    pub const UID: i32 = sys::GF_SET_ATTR_UID as i32;
    /// The group.
    pub const GID: i32 = sys::GF_SET_ATTR_GID as i32;
    /// The size.
    pub const SIZE: i32 = sys::GF_SET_ATTR_SIZE as i32;
    /// The time of last access.
    pub const ATIME: i32 = sys::GF_SET_ATTR_ATIME as i32;
    /// The time of last modification.
    pub const MTIME: i32 = sys::GF_SET_ATTR_MTIME as i32;
    /// The time of last change.
    pub const CTIME: i32 = sys::GF_SET_ATTR_CTIME as i32;
}

/// Space of a file system, as statfs answers it (`struct statvfs`).
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct StatFs(sys::statvfs);

macro_rules! counts {
    ($($(#[$doc:meta])* $get:ident, $set:ident, $field:ident;)*) => {$(
        $(#[$doc])*
        pub fn $get(&self) -> u64 {
            self.0.$field
        }

        #[doc = concat!("Sets [`StatFs::", stringify!($get), "`].")]
        pub fn $set(&mut self, value: u64) {
            self.0.$field = value;
        }
    )*};
}

impl StatFs {
    counts! {
        /// Preferred size of I/O in bytes.
        block_size, set_block_size, f_bsize;
        /// Unit of the block counts, in bytes.
        unit, set_unit, f_frsize;
        /// All blocks.
        blocks, set_blocks, f_blocks;
        /// Free blocks.
        free, set_free, f_bfree;
        /// Free blocks for users other than root.
        available, set_available, f_bavail;
        /// All inodes.
        files, set_files, f_files;
        /// Free inodes.
        files_free, set_files_free, f_ffree;
        /// Free inodes for users other than root.
        files_available, set_files_available, f_favail;
        /// Longest name in bytes.
        name_max, set_name_max, f_namemax;
    }
}

impl Default for StatFs {
    fn default() -> StatFs {
        // SAFETY: a structure of integers, for which zero is a value.
        StatFs(unsafe { std::mem::zeroed() })
    }
}

impl fmt::Debug for StatFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatFs")
            .field("unit", &self.unit())
            .field("blocks", &self.blocks())
            .field("free", &self.free())
            .finish_non_exhaustive()
    }
}

/// A lock over a range of a file (`struct gf_flock`).
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Flock(sys::gf_flock);

impl Flock {
    /// An exclusive lock over the whole file.
    pub fn write_all() -> Flock {
        Flock::whole(libc::F_WRLCK)
    }

    /// Takes the lock over the whole file back.
    pub fn unlock_all() -> Flock {
        Flock::whole(libc::F_UNLCK)
    }

    fn whole(kind: i32) -> Flock {
        let mut lock = Flock::default();
        lock.0.l_type = i16::try_from(kind).unwrap_or_default();
        lock
    }
}

impl Default for Flock {
    fn default() -> Flock {
        // SAFETY: a structure of integers, for which zero is a value.
        Flock(unsafe { std::mem::zeroed() })
    }
}

impl fmt::Debug for Flock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flock")
            .field("type", &self.0.l_type)
            .field("start", &self.0.l_start)
            .field("len", &self.0.l_len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_round_trip() {
        let mut iatt = Iatt::default();
        for mode in [0, 0o644, 0o7777, 0o1000, 0o4755, 0o2010, 0o421] {
            iatt.set_permissions(mode);
            assert_eq!(iatt.permissions(), mode);
        }
    }

    #[test]
    fn types_round_trip() {
        let mut iatt = Iatt::default();
        assert!(iatt.is_empty());
        for kind in [
            FileType::Regular,
            FileType::Directory,
            FileType::Symlink,
            FileType::Unknown,
        ] {
            iatt.set_file_type(kind);
            assert_eq!(iatt.file_type(), kind);
        }
    }
}
