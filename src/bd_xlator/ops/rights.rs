//! What the brick itself looks at before it does what posix knows nothing of: a client is not trusted,
//! and posix-acl above asks for one file only.

use bd_model::{Gfid, ImageMark, xattr};
use glusterfs::fops::{Lookup, LookupArgs, LookupReply};
use glusterfs::{Dict, Errno, FileType, Fop, Frame, Inode, Loc, gf_warn};

use crate::ops::pieces;
use crate::rights::{Rights, Want};
use crate::stub;

/// `POSIX_ACL_ACCESS_XATTR`.
const ACL: &str = "system.posix_acl_access";

/// Whether heal or rebalance asks, which bring attributes of files as they are elsewhere.
pub(crate) fn is_service<F: Fop>(frame: &Frame<F>) -> bool {
    frame.pid() < 0 && frame.uid() == 0
}

/// A file, as posix has it just now.
pub(crate) struct Seen {
    found: LookupReply<'static>,
    rights: Rights,
}

/// Looks at a file.
pub(crate) fn look<F: Fop>(frame: &Frame<F>, inode: &Inode<'_>, gfid: Gfid) -> Result<Seen, Errno> {
    let request = Dict::new();
    for key in [ACL, xattr::IMAGE, xattr::DHT_LINKTO] {
        request.set_u32(key, 0)?;
    }
    pieces::ask(&request)?;
    let found = frame.ask::<Lookup>(LookupArgs {
        loc: Loc::by_gfid(&inode.fresh(), *gfid.as_bytes()),
        xdata: Some(request),
    })?;
    let acl = found.xdata.as_ref().and_then(|xdata| xdata.get(ACL));
    let rights = Rights::new(&found.buf, acl.as_deref());
    Ok(Seen { found, rights })
}

impl Seen {
    /// EACCES unless the caller may do that to the file's bytes.
    pub(crate) fn must_let<F: Fop>(&self, frame: &Frame<F>, want: Want) -> Result<(), Errno> {
        let who = frame.credentials();
        if self.rights.let_in(&who, want) {
            return Ok(());
        }
        self.refused(frame, &format!("no right to {want:?}"), Errno::EACCES)
    }

    /// EPERM unless the file is the caller's.
    pub(crate) fn must_be_owned<F: Fop>(&self, frame: &Frame<F>) -> Result<(), Errno> {
        if self.rights.is_owned_by(&frame.credentials()) {
            return Ok(());
        }
        self.refused(frame, "it belongs to somebody else", Errno::EPERM)
    }

    fn refused<F: Fop>(&self, frame: &Frame<F>, why: &str, errno: Errno) -> Result<(), Errno> {
        let gfid = Gfid::from_bytes(self.found.buf.gfid());
        gf_warn!(
            "user {} is refused {:?} of <gfid:{gfid}>: {why}",
            frame.uid(),
            F::NAME
        );
        Err(errno)
    }

    /// What came with its attributes.
    pub(crate) fn xdata(&self) -> Option<&Dict<'_>> {
        self.found.xdata.as_ref()
    }

    pub(crate) fn file_type(&self) -> FileType {
        self.found.buf.file_type()
    }

    /// What it says of being an image. EIO if that cannot be read.
    pub(crate) fn mark(&self) -> Result<Option<ImageMark>, Errno> {
        stub::mark_in(&self.found).map_err(|_| Errno::EIO)
    }

    /// Whether it is an empty file without a mark, and no link of DHT's.
    pub(crate) fn is_empty_plain(&self) -> bool {
        self.file_type() == FileType::Regular
            && self.found.buf.size() == 0
            && !self.has(xattr::IMAGE)
            && !self.is_link_file()
    }

    /// Whether it is a link of DHT's to a file elsewhere.
    pub(crate) fn is_link_file(&self) -> bool {
        self.has(xattr::DHT_LINKTO)
    }

    fn has(&self, key: &str) -> bool {
        let xdata = self.found.xdata.as_ref();
        xdata.is_some_and(|xdata| xdata.contains(key))
    }
}
