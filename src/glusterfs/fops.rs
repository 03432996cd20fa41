//! Every file operation the kit knows: a marker type, its arguments and its reply.
//!
//! The names and the order of the fields are those of the C interface.

mod payload;

use std::borrow::Cow;
use std::ffi::{CStr, c_void};

use glusterfs_sys as sys;

pub use self::payload::*;
use crate::arg::Arg;
use crate::export::serve;
use crate::fop::{Answer, Failure, Fop};
use crate::frame::{deliver, table};
use crate::stack_room::with_room;
use crate::{Dict, Entries, Errno, Fd, Flock, Iatt, Inode, Loc, StatFs, Translator};

/// Extra data of a fop or its answer.
pub type Xdata<'a> = Option<Dict<'a>>;
type Name<'a> = Cow<'a, CStr>;

fop! {
    /// Finds a name, or an inode by its gfid.
    Lookup = lookup, fop_lookup_cbk_t;
    LookupArgs { loc: Loc<'a>, xdata: Xdata<'a> }
    LookupReply { inode: Option<Inode<'a>>, buf: Iatt } [postparent: Iatt]
}

fop! {
    /// Reads the attributes of a file.
    Stat = stat, fop_stat_cbk_t;
    StatArgs { loc: Loc<'a>, xdata: Xdata<'a> }
    StatReply { buf: Iatt }
}

fop! {
    /// Reads the attributes of an open file.
    Fstat = fstat, fop_fstat_cbk_t;
    FstatArgs { fd: Fd<'a>, xdata: Xdata<'a> }
    FstatReply { buf: Iatt }
}

fop! {
    /// Asks whether the caller may do something.
    Access = access, fop_access_cbk_t;
    AccessArgs { loc: Loc<'a>, mask: i32, xdata: Xdata<'a> }
    AccessReply {}
}

fop! {
    /// Reads a symbolic link.
    Readlink = readlink, fop_readlink_cbk_t;
    ReadlinkArgs { loc: Loc<'a>, size: usize, xdata: Xdata<'a> }
    ReadlinkReply value len { path: Option<Name<'a>>, buf: Iatt }
}

fop! {
    /// Makes a device node, a FIFO, or an empty regular file.
    Mknod = mknod, fop_mknod_cbk_t;
    MknodArgs { loc: Loc<'a>, mode: u32, rdev: u64, umask: u32, xdata: Xdata<'a> }
    MknodReply { inode: Option<Inode<'a>>, buf: Iatt, preparent: Iatt, postparent: Iatt }
}

fop! {
    /// Makes a directory.
    Mkdir = mkdir, fop_mkdir_cbk_t;
    MkdirArgs { loc: Loc<'a>, mode: u32, umask: u32, xdata: Xdata<'a> }
    MkdirReply { inode: Option<Inode<'a>>, buf: Iatt, preparent: Iatt, postparent: Iatt }
}

fop! {
    /// Removes a name of a file.
    Unlink = unlink, fop_unlink_cbk_t;
    UnlinkArgs { loc: Loc<'a>, xflags: i32, xdata: Xdata<'a> }
    UnlinkReply { preparent: Iatt, postparent: Iatt }
}

fop! {
    /// Removes a directory.
    Rmdir = rmdir, fop_rmdir_cbk_t;
    RmdirArgs { loc: Loc<'a>, xflags: i32, xdata: Xdata<'a> }
    RmdirReply { preparent: Iatt, postparent: Iatt }
}

fop! {
    /// Makes a symbolic link.
    Symlink = symlink, fop_symlink_cbk_t;
    SymlinkArgs { linkname: Name<'a>, loc: Loc<'a>, umask: u32, xdata: Xdata<'a> }
    SymlinkReply { inode: Option<Inode<'a>>, buf: Iatt, preparent: Iatt, postparent: Iatt }
}

fop! {
    /// Renames a file or directory, over an existing one if there is one.
    Rename = rename, fop_rename_cbk_t;
    RenameArgs { oldloc: Loc<'a>, newloc: Loc<'a>, xdata: Xdata<'a> }
    RenameReply {
        buf: Iatt, preoldparent: Iatt, postoldparent: Iatt, prenewparent: Iatt, postnewparent: Iatt
    }
}

fop! {
    /// Gives a file another name.
    Link = link, fop_link_cbk_t;
    LinkArgs { oldloc: Loc<'a>, newloc: Loc<'a>, xdata: Xdata<'a> }
    LinkReply { inode: Option<Inode<'a>>, buf: Iatt, preparent: Iatt, postparent: Iatt }
}

fop! {
    /// Makes a file and opens it.
    Create = create, fop_create_cbk_t;
    CreateArgs {
        loc: Loc<'a>, flags: i32, mode: u32, umask: u32, fd: Fd<'a>, xdata: Xdata<'a>
    }
    CreateReply {
        fd: Option<Fd<'a>>, inode: Option<Inode<'a>>, buf: Iatt, preparent: Iatt, postparent: Iatt
    }
}

fop! {
    /// Opens a file.
    Open = open, fop_open_cbk_t;
    OpenArgs { loc: Loc<'a>, flags: i32, fd: Fd<'a>, xdata: Xdata<'a> }
    OpenReply { fd: Option<Fd<'a>> }
}

fop! {
    /// Tells that one of a file's descriptors is closed.
    Flush = flush, fop_flush_cbk_t;
    FlushArgs { fd: Fd<'a>, xdata: Xdata<'a> }
    FlushReply {}
}

fop! {
    /// Brings a file's data (and with `datasync` 0 its attributes) to stable storage.
    Fsync = fsync, fop_fsync_cbk_t;
    FsyncArgs { fd: Fd<'a>, datasync: i32, xdata: Xdata<'a> }
    FsyncReply { prebuf: Iatt, postbuf: Iatt }
}

fop! {
    /// Opens a directory.
    Opendir = opendir, fop_opendir_cbk_t;
    OpendirArgs { loc: Loc<'a>, fd: Fd<'a>, xdata: Xdata<'a> }
    OpendirReply { fd: Option<Fd<'a>> }
}

fop! {
    /// Brings a directory to stable storage.
    Fsyncdir = fsyncdir, fop_fsyncdir_cbk_t;
    FsyncdirArgs { fd: Fd<'a>, datasync: i32, xdata: Xdata<'a> }
    FsyncdirReply {}
}

fop! {
    /// Asks for the space of the file system.
    Statfs = statfs, fop_statfs_cbk_t;
    StatfsArgs { loc: Loc<'a>, xdata: Xdata<'a> }
    StatfsReply { buf: StatFs }
}

fop! {
    /// Sets the size of a file.
    Truncate = truncate, fop_truncate_cbk_t;
    TruncateArgs { loc: Loc<'a>, offset: i64, xdata: Xdata<'a> }
    TruncateReply { prebuf: Iatt, postbuf: Iatt }
}

fop! {
    /// Sets the size of an open file.
    Ftruncate = ftruncate, fop_ftruncate_cbk_t;
    FtruncateArgs { fd: Fd<'a>, offset: i64, xdata: Xdata<'a> }
    FtruncateReply { prebuf: Iatt, postbuf: Iatt }
}

fop! {
    /// Sets extended attributes.
    Setxattr = setxattr, fop_setxattr_cbk_t;
    SetxattrArgs { loc: Loc<'a>, dict: Dict<'a>, flags: i32, xdata: Xdata<'a> }
    SetxattrReply {}
}

fop! {
    /// Reads one extended attribute, or all.
    Getxattr = getxattr, fop_getxattr_cbk_t;
    GetxattrArgs { loc: Loc<'a>, name: Option<Name<'a>>, xdata: Xdata<'a> }
    GetxattrReply value len { dict: Option<Dict<'a>> }
}

fop! {
    /// Sets extended attributes of an open file.
    Fsetxattr = fsetxattr, fop_fsetxattr_cbk_t;
    FsetxattrArgs { fd: Fd<'a>, dict: Dict<'a>, flags: i32, xdata: Xdata<'a> }
    FsetxattrReply {}
}

fop! {
    /// Reads one extended attribute of an open file, or all.
    Fgetxattr = fgetxattr, fop_fgetxattr_cbk_t;
    FgetxattrArgs { fd: Fd<'a>, name: Option<Name<'a>>, xdata: Xdata<'a> }
    FgetxattrReply value len { dict: Option<Dict<'a>> }
}

fop! {
    /// Removes an extended attribute.
    Removexattr = removexattr, fop_removexattr_cbk_t;
    RemovexattrArgs { loc: Loc<'a>, name: Name<'a>, xdata: Xdata<'a> }
    RemovexattrReply {}
}

fop! {
    /// Removes an extended attribute of an open file.
    Fremovexattr = fremovexattr, fop_fremovexattr_cbk_t;
    FremovexattrArgs { fd: Fd<'a>, name: Name<'a>, xdata: Xdata<'a> }
    FremovexattrReply {}
}

fop! {
    /// Reads a directory's names.
    Readdir = readdir, fop_readdir_cbk_t;
    ReaddirArgs { fd: Fd<'a>, size: usize, offset: i64, xdata: Xdata<'a> }
    ReaddirReply value count eof eof { entries: Entries<'a> }
}

fop! {
    /// Reads a directory's names with attributes. `count` is the number of entries.
    Readdirp = readdirp, fop_readdirp_cbk_t;
    ReaddirpArgs { fd: Fd<'a>, size: usize, offset: i64, xdata: Xdata<'a> }
    ReaddirpReply value count eof eof { entries: Entries<'a> }
}

fop! {
    /// Changes numbers inside extended attributes in one step.
    Xattrop = xattrop, fop_xattrop_cbk_t;
    XattropArgs { loc: Loc<'a>, optype: u32, xattr: Dict<'a>, xdata: Xdata<'a> }
    XattropReply { xattr: Option<Dict<'a>> }
}

fop! {
    /// Changes numbers inside extended attributes of an open file in one step.
    Fxattrop = fxattrop, fop_fxattrop_cbk_t;
    FxattropArgs { fd: Fd<'a>, optype: u32, xattr: Dict<'a>, xdata: Xdata<'a> }
    FxattropReply { xattr: Option<Dict<'a>> }
}

fop! {
    /// Sets attributes; `valid` says which ([`crate::set_attr`]).
    Setattr = setattr, fop_setattr_cbk_t;
    SetattrArgs { loc: Loc<'a>, stbuf: Iatt, valid: i32, xdata: Xdata<'a> }
    SetattrReply { preop: Iatt, postop: Iatt }
}

fop! {
    /// Sets attributes of an open file; `valid` says which ([`crate::set_attr`]).
    Fsetattr = fsetattr, fop_fsetattr_cbk_t;
    FsetattrArgs { fd: Fd<'a>, stbuf: Iatt, valid: i32, xdata: Xdata<'a> }
    FsetattrReply { preop: Iatt, postop: Iatt }
}

fop! {
    /// Allocates a range.
    Fallocate = fallocate, fop_fallocate_cbk_t;
    FallocateArgs { fd: Fd<'a>, keep_size: i32, offset: i64, len: usize, xdata: Xdata<'a> }
    FallocateReply { preop: Iatt, postop: Iatt }
}

fop! {
    /// Frees a range, which then reads as zeros.
    Discard = discard, fop_discard_cbk_t;
    DiscardArgs { fd: Fd<'a>, offset: i64, len: usize, xdata: Xdata<'a> }
    DiscardReply { preop: Iatt, postop: Iatt }
}

fop! {
    /// Fills a range with zeros.
    Zerofill = zerofill, fop_zerofill_cbk_t;
    ZerofillArgs { fd: Fd<'a>, offset: i64, len: i64, xdata: Xdata<'a> }
    ZerofillReply { preop: Iatt, postop: Iatt }
}

fop! {
    /// Finds the next data (`what` 0) or hole (`what` 1).
    Seek = seek, fop_seek_cbk_t;
    SeekArgs { fd: Fd<'a>, offset: i64, what: u32, xdata: Xdata<'a> }
    SeekReply { offset: i64 }
}

fop! {
    /// Sums a block of a file, for heal.
    Rchecksum = rchecksum, fop_rchecksum_cbk_t;
    RchecksumArgs { fd: Fd<'a>, offset: i64, len: i32, xdata: Xdata<'a> }
    RchecksumReply { weak: u32, strong: [u8; 32] }
}

fop! {
    /// Makes an inode without a name.
    Icreate = icreate, fop_icreate_cbk_t;
    IcreateArgs { loc: Loc<'a>, mode: u32, xdata: Xdata<'a> }
    IcreateReply { inode: Option<Inode<'a>>, buf: Iatt }
}

fop! {
    /// Gives a name to an inode made by icreate.
    Namelink = namelink, fop_namelink_cbk_t;
    NamelinkArgs { loc: Loc<'a>, xdata: Xdata<'a> }
    NamelinkReply { prebuf: Iatt, postbuf: Iatt }
}

fop! {
    /// Copies a range from one open file to another.
    CopyFileRange = copy_file_range, fop_copy_file_range_cbk_t;
    CopyFileRangeArgs {
        fd_in: Fd<'a>, off_in: i64, fd_out: Fd<'a>, off_out: i64, len: usize, flags: u32,
        xdata: Xdata<'a>
    }
    CopyFileRangeReply value copied { stbuf: Iatt, prebuf_dst: Iatt, postbuf_dst: Iatt }
}

fop! {
    /// Locks a range of a file, for translators.
    Inodelk = inodelk, fop_inodelk_cbk_t;
    InodelkArgs {
        volume: Name<'a>, loc: Loc<'a>, cmd: i32, flock: Flock, xdata: Xdata<'a>
    }
    InodelkReply {}
}
