use std::ffi::{CStr, CString};

use bd_model::{Bytes, Gfid, ImageMark, xattr};
use glusterfs::fops::{
    Create, CreateArgs, Fsync, FsyncArgs, Lookup, LookupArgs, Mknod, MknodArgs, Setxattr,
    SetxattrArgs, Unlink, UnlinkArgs,
};
use glusterfs::{Credentials, Dict, Errno, Fd, Iatt, Inode, Loc, Node, Stack, gf_error, gf_warn};

use crate::data_lock::DataLock;
use crate::home::{Home, home_of};
use crate::merging::Merging;
use crate::path_resolution::Found;
use crate::replicas::Replicas;
use crate::space::bricks_of;
use crate::{arbiter, copied};

/// The type of the translator that keeps access control lists in a mount (`-o acl`).
const ACL: &str = "system/posix-acl";

/// What to make of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyRequest {
    /// A full clone.
    Clone,
    /// A snapshot; the bytes of its space, if it is a copy-on-write snapshot.
    Snapshot(Option<Bytes>),
}

impl CopyRequest {
    fn key(self) -> &'static str {
        match self {
            CopyRequest::Clone => xattr::CLONE,
            CopyRequest::Snapshot(_) => xattr::SNAPSHOT,
        }
    }

    /// The value that asks for it in the file `dest`.
    fn value(self, dest: Gfid) -> String {
        match self {
            CopyRequest::Snapshot(Some(Bytes(space))) => format!("{dest}:{space}"),
            CopyRequest::Clone | CopyRequest::Snapshot(None) => dest.to_string(),
        }
    }
}

/// The making of one clone or snapshot.
#[derive(Debug)]
pub(crate) struct CopyOperation<'a> {
    /// This translator.
    pub(crate) node: Node,
    /// Fops in the caller's name.
    pub(crate) stack: &'a Stack,
    /// The caller.
    pub(crate) who: &'a Credentials,
    /// The image to copy.
    pub(crate) source: &'a Found,
    /// The directory of the new name.
    pub(crate) parent: &'a Inode<'a>,
    /// The new name.
    pub(crate) name: &'a CStr,
}

/// A clone or snapshot that was made.
#[derive(Debug)]
pub(crate) struct Made {
    /// Its attributes.
    pub(crate) iatt: Iatt,
    /// The directory before.
    pub(crate) preparent: Iatt,
    /// The directory after.
    pub(crate) postparent: Iatt,
}

impl CopyOperation<'_> {
    /// Makes the copy; `inode` is the fresh inode which then stands for it.
    pub(crate) fn make(&self, request: CopyRequest, inode: &Inode<'_>) -> Result<Made, Errno> {
        self.settle(&self.source.inode)?;
        let home = self.home()?;
        let gfid = Gfid::random();
        let (preparent, postparent) = self.destination(gfid, &home)?;
        let made = self
            .copy(request, gfid, &home)
            .and_then(|()| self.read_back(gfid, inode));
        match made {
            Ok(iatt) => Ok(Made {
                iatt,
                preparent,
                postparent,
            }),
            Err(errno) => {
                self.undo(gfid);
                Err(errno)
            }
        }
    }

    /// Copies into a file that exists, empty, in the same part of the volume.
    pub(crate) fn copy_into(&self, request: CopyRequest, dest: Gfid) -> Result<(), Errno> {
        self.settle(&self.source.inode)?;
        let home = self.home()?;
        self.consent(dest, &home)?;
        self.copy(request, dest, &home)
    }

    /// Tells each brick, in the caller's name, that the file `dest` may become a copy of the source: the
    /// copy itself is asked for in root's name.
    fn consent(&self, dest: Gfid, home: &Home) -> Result<(), Errno> {
        let source = Gfid::from_bytes(self.source.iatt.gfid()).to_string();
        for brick in bricks_of(home.part).0 {
            let dict = Dict::new();
            dict.set_str(xattr::COPY_OF, &source)?;
            let args = SetxattrArgs {
                loc: Loc::by_gfid(&self.source.inode.fresh(), *dest.as_bytes()),
                dict,
                flags: 0,
                xdata: None,
            };
            match self.stack.ask_node::<Setxattr>(brick, args) {
                Ok(_) => {}
                // One that is away does not copy, and an arbiter never does.
                Err(failure) if matches!(failure.errno, Errno::ENOTCONN | Errno::EOPNOTSUPP) => {}
                Err(failure) => return Err(failure.errno),
            }
        }
        Ok(())
    }

    /// The image that the source is a snapshot of.
    pub(crate) fn origin(&self) -> Result<Gfid, Errno> {
        Replicas::of(self.home()?.part)?.origin(self.stack, self.source)
    }

    /// Lets the source take the content of `snapshot`, whose name this is; it is then gone.
    pub(crate) fn merge(&self, snapshot: &Found) -> Result<(), Errno> {
        self.settle(&self.source.inode)?;
        self.settle(&snapshot.inode)?;
        let home = self.home()?;
        let replicas = Replicas::of(home.part)
            .inspect_err(|_| gf_warn!("images in pieces (disperse) cannot be merged"))?;
        self.locked(&home, |stack| {
            Merging {
                node: self.node,
                stack,
                replicas: &replicas,
                origin: self.source,
                snapshot,
                parent: self.parent,
                name: self.name,
            }
            .run()
        })
    }

    /// Waits until the server has what this client wrote to the source: write-behind answers
    /// writes, and even closes, before they arrive, and does not order them with setxattr.
    ///
    /// `last-fsync` lets AFR give its own lock back at once, and not a second later: ours would
    /// have to wait for it.
    fn settle(&self, file: &Inode<'_>) -> Result<(), Errno> {
        let root = Stack::new(self.node, &Credentials::root());
        let fd = Fd::anonymous(file);
        let xdata = Dict::new();
        xdata.set_i32("last-fsync", 1)?;
        root.ask::<Fsync>(FsyncArgs {
            fd,
            datasync: 1,
            xdata: Some(xdata),
        })?;
        Ok(())
    }

    /// The part of a distributed volume in which the source is: the copy must be in the same.
    fn home(&self) -> Result<Home, Errno> {
        home_of(self.node, self.stack, self.source)
    }

    /// Makes the file that the copy will be, marked as unfinished, and answers its directory
    /// before and after.
    fn destination(&self, gfid: Gfid, home: &Home) -> Result<(Iatt, Iatt), Errno> {
        let xdata = Dict::new();
        xdata.set_gfid("gfid-req", *gfid.as_bytes())?;
        // In the caller's name: the brick makes sure that the caller may read the source, and lets
        // the file become a copy of nothing else.
        let of = Some(Gfid::from_bytes(self.source.iatt.gfid()));
        xdata.set_str(xattr::IMAGE, &ImageMark::Pending { of }.to_string())?;
        // No set-id bits, as the owner is another one; no sticky bit, which marks DHT's links.
        let mode = libc::S_IFREG | self.source.iatt.permissions() & 0o777;
        let scratch = self.parent.fresh();
        let Home {
            dht: Some(dht),
            part,
        } = home
        else {
            let loc = Loc::by_name(self.parent, self.name, &scratch);
            let args = MknodArgs {
                loc,
                mode,
                rdev: 0,
                umask: 0,
                xdata: Some(xdata),
            };
            let reply = self.stack.ask::<Mknod>(args)?;
            return Ok((reply.preparent, reply.postparent));
        };
        // DHT's own way of saying where a file shall be; it makes the link file, too.
        let mut name = self.name.to_bytes().to_vec();
        name.extend_from_slice(format!("@{}:{}", dht.name(), part.name()).as_bytes());
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        let args = CreateArgs {
            loc: Loc::by_name(self.parent, &name, &scratch),
            flags: libc::O_CREAT | libc::O_EXCL | libc::O_RDWR,
            mode,
            umask: 0,
            fd: Fd::new(&scratch, self.who.pid),
            xdata: Some(xdata),
        };
        let reply = self.stack.ask::<Create>(args)?;
        Ok((reply.preparent, reply.postparent))
    }

    fn copy(&self, request: CopyRequest, gfid: Gfid, home: &Home) -> Result<(), Errno> {
        let replicas = Replicas::of(home.part).ok();
        let arbitrated = replicas.filter(|replicas| replicas.arbiter().is_some());
        let copy = |stack: &Stack| match &arbitrated {
            Some(replicas) => self.copy_beside_arbiter(stack, replicas, request, gfid),
            None => self.copy_on_all(stack, request, gfid, home),
        };
        // Root is somebody else where bricks squash it. The caller may do it who may write the source,
        // too, as posix-acl wants of a request that sets an attribute.
        self.locked(home, |root| match copy(root) {
            Err(Errno::EACCES) => copy(self.stack),
            copied => copied,
        })
    }

    fn copy_on_all(
        &self,
        stack: &Stack,
        request: CopyRequest,
        gfid: Gfid,
        home: &Home,
    ) -> Result<(), Errno> {
        let (file, key, value) = (&self.source.inode, request.key(), request.value(gfid));
        let dict = Dict::new();
        dict.set_str(key, &value)?;
        let args = SetxattrArgs {
            loc: Loc::by_gfid(file, file.gfid()),
            dict,
            flags: 0,
            xdata: None,
        };
        stack.ask::<Setxattr>(args).map_err(|failure| {
            let file = Gfid::from_bytes(file.gfid());
            gf_warn!("{key} of {file}, {value} failed: {}", failure.errno);
            failure.errno
        })?;
        copied::note_missing(stack, home.part, file, gfid)
    }

    /// Has each brick copy that holds bytes: an arbiter could not, and AFR would take it for one that
    /// has failed. As with AFR, most of all must have done it.
    fn copy_beside_arbiter(
        &self,
        stack: &Stack,
        replicas: &Replicas,
        request: CopyRequest,
        gfid: Gfid,
    ) -> Result<(), Errno> {
        let source = Loc::by_gfid(&self.source.inode, self.source.iatt.gfid());
        let fresh = self.source.inode.fresh();
        let dest = Loc::by_gfid(&fresh, *gfid.as_bytes());
        let mut missed = Vec::new();
        let mut done = Vec::new();
        let mut failed = Errno::EIO;
        for (number, node) in replicas.with_bytes().iter().enumerate() {
            let dict = Dict::new();
            dict.set_str(request.key(), &request.value(gfid))?;
            let args = SetxattrArgs {
                loc: source.duplicate(),
                dict,
                flags: 0,
                xdata: None,
            };
            match stack.ask_node::<Setxattr>(*node, args) {
                Ok(_) => done.push(*node),
                Err(failure) => {
                    gf_warn!("{node:?} has not copied {source:?}: {}", failure.errno);
                    failed = failure.errno;
                    missed.push(number);
                }
            }
        }
        let Some(first) = done.first() else {
            return Err(failed);
        };
        let xdata = Dict::new();
        xdata.set_u64(xattr::IMAGE, 0)?;
        let look = LookupArgs {
            loc: dest.duplicate(),
            xdata: Some(xdata),
        };
        let made = stack.ask_node::<Lookup>(*first, look)?.xdata;
        let mark = made.and_then(|xdata| xdata.get_str(xattr::IMAGE));
        let mark = mark.ok_or(Errno::EIO)?;
        let arbiter = replicas.arbiter();
        let witness = arbiter.and_then(|arbiter| {
            arbiter::copied(stack, arbiter, &source, &dest, &mark)
                .inspect_err(|errno| gf_warn!("{arbiter:?} does not know of the copy: {errno}"))
                .ok()
                .map(|()| arbiter)
        });
        match witness {
            Some(arbiter) => done.push(arbiter),
            None => missed.extend(arbiter.map(|_| replicas.nodes().len() - 1)),
        }
        if done.len() * 2 <= replicas.nodes().len() {
            return Err(failed);
        }
        if !missed.is_empty() {
            for node in done {
                replicas.blame(stack, node, &dest, &missed)?;
            }
        }
        Ok(())
    }

    /// Works in root's name, and with AFR's own lock for the source's data: all replicas must do
    /// the same with the same bytes, so no writer may be between them.
    fn locked<T>(
        &self,
        home: &Home,
        work: impl FnOnce(&Stack) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut who = Credentials::root();
        who.pid = self.who.pid;
        let stack = Stack::new(self.node, &who);
        let replicas = home.part.find_kind("cluster/replicate");
        let _lock = match replicas {
            Some(replicas) => Some(DataLock::take(&stack, &self.source.inode, replicas)?),
            None => None,
        };
        work(&stack)
    }

    /// Looks the copy up, by gfid: md-cache remembers the empty file that was made first, and
    /// other caches that there was no such name. A mount with access control lists knows only what it
    /// has seen looked up, and lets nobody but root use anything else.
    fn read_back(&self, gfid: Gfid, inode: &Inode<'_>) -> Result<Iatt, Errno> {
        let loc = Loc::by_gfid(inode, *gfid.as_bytes());
        let args = LookupArgs { loc, xdata: None };
        let found = match self.node.find_above(ACL) {
            Some(acl) => self.stack.ask_node::<Lookup>(acl, args)?,
            None => self.stack.ask::<Lookup>(args)?,
        };
        Ok(found.buf)
    }

    /// Removes the destination of a copy that failed, in the name of the caller, who has made it.
    fn undo(&self, gfid: Gfid) {
        let stack = self.stack;
        // A lookup first, so that DHT knows where the file is.
        let fresh = self.parent.fresh();
        let looked = stack.ask::<Lookup>(LookupArgs {
            loc: Loc::by_name(self.parent, self.name, &fresh),
            xdata: None,
        });
        let result = match looked {
            Ok(reply) if reply.buf.gfid() == *gfid.as_bytes() => {
                let loc = Loc::by_name(self.parent, self.name, &fresh);
                stack
                    .ask::<Unlink>(UnlinkArgs {
                        loc,
                        xflags: 0,
                        xdata: None,
                    })
                    .map(|_| ())
            }
            Ok(_) => Ok(()),
            Err(failure) => Err(failure),
        };
        match result {
            Ok(()) => {}
            Err(failure) if failure.errno == Errno::ENOENT => {}
            Err(failure) => gf_error!(
                "the unfinished copy {:?} ({gfid}) could not be removed: {}; the brick removes it \
                 later",
                self.name,
                failure.errno
            ),
        }
    }
}
