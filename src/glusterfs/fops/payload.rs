//! Reads and writes: three C parameters make one payload.

use std::ffi::{CStr, c_void};

use glusterfs_sys as sys;

use super::Xdata;
use crate::arg::Arg;
use crate::export::serve;
use crate::fop::{Answer, Failure, Fop};
use crate::frame::{deliver, table};
use crate::stack_room::with_room;
use crate::{Dict, Errno, Fd, Iatt, Inode, Loc, Payload, Translator};

fop! { @arguments Readv readv ReadvArgs
{ fd: Fd<'a>, size: usize, offset: i64, flags: u32, xdata: Xdata<'a> } }
fop! { @reply Readv readv ReadvReply eof eof { data: Payload<'a>, stbuf: Iatt } [] }
fop! { @implement
    /// Reads. The reply's `data` may be shorter than asked at the end of the file.
    Readv = readv, fop_readv_cbk_t;
    ReadvArgs (
        fd: *mut sys::fd_t, size: usize, offset: i64, flags: u32, xdata: *mut sys::dict_t
    )
        from { Some(ReadvArgs {
            fd: <Fd<'a> as Arg>::from_raw(fd)?, size, offset, flags,
            xdata: <Xdata<'a> as Arg>::from_raw(xdata)?,
        }) }
        to args (args.fd.raw(), args.size, args.offset, args.flags, args.xdata.raw())
        own args { ReadvArgs {
            fd: args.fd.own(), size: args.size, offset: args.offset, flags: args.flags,
            xdata: args.xdata.own(),
        } }
    ReadvReply (
        vector: *mut sys::iovec, count: i32, stbuf: *mut sys::iatt, iobref: *mut sys::iobref,
        xdata: *mut sys::dict_t
    )
        from op_ret op_errno { {
            let _ = op_ret;
            Some(ReadvReply {
                eof: op_errno == libc::ENOENT,
                data: Payload::borrow(vector, count, iobref),
                stbuf: Iatt::from_raw(stbuf)?,
                xdata: <Xdata<'a> as Arg>::from_raw(xdata)?,
            })
        } }
        value reply { i32::try_from(reply.data.len()).unwrap_or(i32::MAX) }
        errno reply { if reply.eof { libc::ENOENT } else { 0 } }
        to reply (
            reply.data.vector(), reply.data.count(), reply.stbuf.raw(), reply.data.iobref(),
            reply.xdata.raw()
        )
        absent failure xdata (std::ptr::null_mut(), 0, Iatt::absent(), std::ptr::null_mut(), xdata)
        own reply { ReadvReply {
            eof: reply.eof, data: reply.data.into_owned(), stbuf: reply.stbuf,
            xdata: reply.xdata.own(),
        } }
}

fop! { @arguments Writev writev WritevArgs
{ fd: Fd<'a>, data: Payload<'a>, offset: i64, flags: u32, xdata: Xdata<'a> } }
fop! { @reply Writev writev WritevReply value written { prebuf: Iatt, postbuf: Iatt } [] }
fop! { @implement
    /// Writes.
    Writev = writev, fop_writev_cbk_t;
    WritevArgs (
        fd: *mut sys::fd_t, vector: *mut sys::iovec, count: i32, offset: i64, flags: u32,
        iobref: *mut sys::iobref, xdata: *mut sys::dict_t
    )
        from { Some(WritevArgs {
            fd: <Fd<'a> as Arg>::from_raw(fd)?,
            data: Payload::borrow(vector, count, iobref), offset, flags,
            xdata: <Xdata<'a> as Arg>::from_raw(xdata)?,
        }) }
        to args (
            args.fd.raw(), args.data.vector(), args.data.count(), args.offset, args.flags,
            args.data.iobref(), args.xdata.raw()
        )
        own args { WritevArgs {
            fd: args.fd.own(), data: args.data.into_owned(), offset: args.offset,
            flags: args.flags, xdata: args.xdata.own(),
        } }
    WritevReply (prebuf: *mut sys::iatt, postbuf: *mut sys::iatt, xdata: *mut sys::dict_t)
        from op_ret op_errno { {
            let _ = op_errno;
            Some(WritevReply {
                written: u32::try_from(op_ret).unwrap_or_default(),
                prebuf: Iatt::from_raw(prebuf)?,
                postbuf: Iatt::from_raw(postbuf)?,
                xdata: <Xdata<'a> as Arg>::from_raw(xdata)?,
            })
        } }
        value reply { i32::try_from(reply.written).unwrap_or(i32::MAX) }
        errno reply { { let _ = reply; 0 } }
        to reply (reply.prebuf.raw(), reply.postbuf.raw(), reply.xdata.raw())
        absent failure xdata (Iatt::absent(), Iatt::absent(), xdata)
        own reply { WritevReply {
            written: reply.written, prebuf: reply.prebuf, postbuf: reply.postbuf,
            xdata: reply.xdata.own(),
        } }
}

fop! { @arguments Put put PutArgs {
    loc: Loc<'a>, mode: u32, umask: u32, flags: u32, data: Payload<'a>, offset: i64,
    xattr: Option<Dict<'a>>, xdata: Xdata<'a>
} }
fop! { @reply Put put PutReply
{ inode: Option<Inode<'a>>, buf: Iatt, preparent: Iatt, postparent: Iatt } [] }
fop! { @implement
    /// Makes a file with contents and extended attributes in one step.
    Put = put, fop_put_cbk_t;
    PutArgs (
        loc: *mut sys::loc_t, mode: u32, umask: u32, flags: u32, vector: *mut sys::iovec,
        count: i32, offset: i64, iobref: *mut sys::iobref, xattr: *mut sys::dict_t,
        xdata: *mut sys::dict_t
    )
        from { Some(PutArgs {
            loc: <Loc<'a> as Arg>::from_raw(loc)?, mode, umask, flags,
            data: Payload::borrow(vector, count, iobref), offset,
            xattr: <Xdata<'a> as Arg>::from_raw(xattr)?,
            xdata: <Xdata<'a> as Arg>::from_raw(xdata)?,
        }) }
        to args (
            args.loc.raw(), args.mode, args.umask, args.flags, args.data.vector(),
            args.data.count(), args.offset, args.data.iobref(), args.xattr.raw(),
            args.xdata.raw()
        )
        own args { PutArgs {
            loc: args.loc.own(), mode: args.mode, umask: args.umask, flags: args.flags,
            data: args.data.into_owned(), offset: args.offset, xattr: args.xattr.own(),
            xdata: args.xdata.own(),
        } }
    PutReply (
        inode: *mut sys::inode_t, buf: *mut sys::iatt, preparent: *mut sys::iatt,
        postparent: *mut sys::iatt, xdata: *mut sys::dict_t
    )
        from op_ret op_errno { {
            let _ = (op_ret, op_errno);
            Some(PutReply {
                inode: <Option<Inode<'a>> as Arg>::from_raw(inode)?,
                buf: Iatt::from_raw(buf)?,
                preparent: Iatt::from_raw(preparent)?,
                postparent: Iatt::from_raw(postparent)?,
                xdata: <Xdata<'a> as Arg>::from_raw(xdata)?,
            })
        } }
        value reply { { let _ = reply; 0 } }
        errno reply { { let _ = reply; 0 } }
        to reply (
            reply.inode.raw(), reply.buf.raw(), reply.preparent.raw(), reply.postparent.raw(),
            reply.xdata.raw()
        )
        absent failure xdata (
            std::ptr::null_mut(), Iatt::absent(), Iatt::absent(), Iatt::absent(), xdata
        )
        own reply { PutReply {
            inode: reply.inode.own(), buf: reply.buf, preparent: reply.preparent,
            postparent: reply.postparent, xdata: reply.xdata.own(),
        } }
}
