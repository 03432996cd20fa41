use std::ffi::{CStr, CString};

use bd_model::{Bytes, Gfid, ImageMark, xattr};
use glusterfs::fops::{
    Create, CreateArgs, Fsync, FsyncArgs, Getxattr, GetxattrArgs, Inodelk, InodelkArgs, Lookup,
    LookupArgs, Mknod, MknodArgs, Setxattr, SetxattrArgs, Unlink, UnlinkArgs,
};
use glusterfs::{
    Credentials, Dict, Errno, Fd, FileType, Flock, Iatt, Inode, Loc, Node, Stack, gf_error, gf_warn,
};

use crate::walk::Found;

/// [`xattr::ORIGIN`].
pub(crate) const ORIGIN: &CStr = c"glusterfs.bd.origin";

/// What to make of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A full clone.
    Clone,
    /// A snapshot; the bytes of its space, if it is a copy-on-write snapshot.
    Snapshot(Option<Bytes>),
}

impl Wish {
    fn key(self) -> &'static str {
        match self {
            Wish::Clone => xattr::CLONE,
            Wish::Snapshot(_) => xattr::SNAPSHOT,
        }
    }

    /// The value that asks for it in the file `dest`.
    fn value(self, dest: Gfid) -> String {
        match self {
            Wish::Snapshot(Some(Bytes(space))) => format!("{dest}:{space}"),
            Wish::Clone | Wish::Snapshot(None) => dest.to_string(),
        }
    }
}

/// The making of one clone or snapshot.
#[derive(Debug)]
pub(crate) struct Recipe<'a> {
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

impl Recipe<'_> {
    /// Makes the copy; `inode` is the fresh inode which then stands for it.
    pub(crate) fn make(&self, wish: Wish, inode: &Inode<'_>) -> Result<Made, Errno> {
        self.settle(&self.source.inode)?;
        let home = self.home()?;
        let gfid = Gfid::random();
        let (preparent, postparent) = self.destination(gfid, &home)?;
        let made = self
            .copy(wish, gfid, &home)
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
    pub(crate) fn copy_into(&self, wish: Wish, dest: Gfid) -> Result<(), Errno> {
        self.settle(&self.source.inode)?;
        let home = self.home()?;
        self.copy(wish, dest, &home)
    }

    /// Lets the source take the content of `snapshot`, which is then gone.
    pub(crate) fn merge(&self, snapshot: &Found) -> Result<(), Errno> {
        self.settle(&self.source.inode)?;
        self.settle(&snapshot.inode)?;
        let home = self.home()?;
        if home.part.find_kind("cluster/disperse").is_some() {
            gf_warn!("images in pieces (disperse) cannot be merged");
            return Err(Errno::EOPNOTSUPP);
        }
        let origin = Gfid::from_bytes(self.source.iatt.gfid()).to_string();
        let replicas = home.part.find_kind("cluster/replicate");
        let replicas = replicas.map(|node| node.children()).unwrap_or_default();
        self.locked(&home, |stack| {
            // Heal knows nothing of a merge that a replica has missed.
            for replica in &replicas {
                self.must_be_whole(stack, *replica, snapshot, &origin)?;
            }
            let merged = self.ask(stack, None, &snapshot.inode, xattr::MERGE, &origin);
            for replica in &replicas {
                let loc = Loc::by_gfid(&snapshot.inode.fresh(), snapshot.iatt.gfid());
                let look = LookupArgs { loc, xdata: None };
                if stack.ask_node::<Lookup>(*replica, look).is_err() {
                    continue;
                }
                // It is there still. Where no replica has merged, this one does not either.
                merged?;
                self.ask(
                    stack,
                    Some(*replica),
                    &snapshot.inode,
                    xattr::MERGE,
                    &origin,
                )
                .inspect_err(|_| {
                    gf_error!(
                        "replica {} of {origin} has not merged what the others have; remove \
                             its copy and heal",
                        replica.name()
                    );
                })?;
            }
            merged
        })
    }

    /// Makes sure that a replica answers, has the snapshot of that origin, and misses nothing of
    /// it. An arbiter has none.
    fn must_be_whole(
        &self,
        stack: &Stack,
        replica: Node,
        snapshot: &Found,
        origin: &str,
    ) -> Result<(), Errno> {
        let ask = |name: Option<&'static CStr>| {
            let loc = Loc::by_gfid(&snapshot.inode.fresh(), snapshot.iatt.gfid());
            let args = GetxattrArgs {
                loc,
                name: name.map(Into::into),
                xdata: None,
            };
            let answer = stack.ask_node::<Getxattr>(replica, args);
            answer
                .map(|reply| reply.dict)
                .map_err(|failure| failure.errno)
        };
        let told = match ask(Some(ORIGIN)) {
            Ok(told) => told.and_then(|dict| dict.get_str(xattr::ORIGIN)),
            Err(Errno::ENODATA) => None,
            Err(errno) => return Err(errno),
        };
        if told.as_deref() != Some(origin) {
            gf_warn!(
                "{:?} is no snapshot of {origin} on {}: not merged",
                snapshot.inode,
                replica.name()
            );
            return Err(Errno::EOPNOTSUPP);
        }
        let notes = ask(None)?;
        let noted = |(name, value): (String, Vec<u8>)| {
            name.starts_with("trusted.afr.") && value.iter().any(|byte| *byte != 0)
        };
        if notes.iter().flat_map(Dict::entries).any(noted) {
            gf_warn!("{:?} is to be healed first: not merged", snapshot.inode);
            return Err(Errno::EBUSY);
        }
        Ok(())
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
        let Some(dht) = self.node.find_kind("cluster/distribute") else {
            let part = self.node.first_child().ok_or(Errno::EIO)?;
            return Ok(Home { dht: None, part });
        };
        let parts = dht.children();
        if let [part] = parts[..] {
            return Ok(Home { dht: None, part });
        }
        let gfid = self.source.iatt.gfid();
        let mut missing = Errno::ESTALE;
        for part in parts {
            let xdata = Dict::new();
            xdata.set_u32(xattr::DHT_LINKTO, 256)?;
            let loc = Loc::by_gfid(&self.source.inode.fresh(), gfid);
            let args = LookupArgs {
                loc,
                xdata: Some(xdata),
            };
            match self.stack.ask_node::<Lookup>(part, args) {
                Ok(reply) => {
                    let elsewhere = reply
                        .xdata
                        .is_some_and(|xdata| xdata.contains(xattr::DHT_LINKTO));
                    if !elsewhere && reply.buf.file_type() == FileType::Regular {
                        return Ok(Home {
                            dht: Some(dht),
                            part,
                        });
                    }
                }
                Err(failure) if matches!(failure.errno, Errno::ENOENT | Errno::ESTALE) => {}
                // A part that is down may be the one; another may have it yet.
                Err(failure) => missing = failure.errno,
            }
        }
        Err(missing)
    }

    /// Makes the file that the copy will be, marked as unfinished, and answers its directory
    /// before and after.
    fn destination(&self, gfid: Gfid, home: &Home) -> Result<(Iatt, Iatt), Errno> {
        let xdata = Dict::new();
        xdata.set_gfid("gfid-req", *gfid.as_bytes())?;
        xdata.set_str(xattr::IMAGE, &ImageMark::Pending.to_string())?;
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

    fn copy(&self, wish: Wish, gfid: Gfid, home: &Home) -> Result<(), Errno> {
        self.locked(home, |stack| {
            self.ask(
                stack,
                None,
                &self.source.inode,
                wish.key(),
                &wish.value(gfid),
            )
        })
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

    /// Lets the server, or one replica, copy or merge.
    fn ask(
        &self,
        stack: &Stack,
        replica: Option<Node>,
        file: &Inode<'_>,
        key: &str,
        value: &str,
    ) -> Result<(), Errno> {
        let dict = Dict::new();
        dict.set_str(key, value)?;
        let args = SetxattrArgs {
            loc: Loc::by_gfid(file, file.gfid()),
            dict,
            flags: 0,
            xdata: None,
        };
        let answer = match replica {
            Some(replica) => stack.ask_node::<Setxattr>(replica, args),
            None => stack.ask::<Setxattr>(args),
        };
        answer.map(|_| ()).map_err(|failure| {
            let file = Gfid::from_bytes(file.gfid());
            gf_warn!("{key} of {file}, {value} failed: {}", failure.errno);
            failure.errno
        })
    }

    /// Looks the copy up, by gfid: md-cache remembers the empty file that was made first, and
    /// other caches that there was no such name.
    fn read_back(&self, gfid: Gfid, inode: &Inode<'_>) -> Result<Iatt, Errno> {
        let loc = Loc::by_gfid(inode, *gfid.as_bytes());
        Ok(self
            .stack
            .ask::<Lookup>(LookupArgs { loc, xdata: None })?
            .buf)
    }

    /// Removes the destination of a copy that failed.
    fn undo(&self, gfid: Gfid) {
        let stack = Stack::new(self.node, &Credentials::root());
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

/// Where the source is.
#[derive(Debug)]
struct Home {
    /// The translator that distributes, if there is a choice.
    dht: Option<Node>,
    /// The part of the volume.
    part: Node,
}

/// AFR's lock for data over the whole source, given back when dropped.
struct DataLock<'a> {
    stack: &'a Stack,
    source: &'a Inode<'a>,
    domain: CString,
}

impl<'a> DataLock<'a> {
    fn take(
        stack: &'a Stack,
        source: &'a Inode<'a>,
        replicas: Node,
    ) -> Result<DataLock<'a>, Errno> {
        let domain = CString::new(replicas.name()).map_err(|_| Errno::EINVAL)?;
        let lock = DataLock {
            stack,
            source,
            domain,
        };
        match lock.set(libc::F_SETLKW, Flock::write_all()) {
            Ok(()) => Ok(lock),
            Err(errno) => {
                // Nothing is held: AFR gives back what it got of a lock that failed.
                std::mem::forget(lock);
                Err(errno)
            }
        }
    }

    fn set(&self, cmd: i32, flock: Flock) -> Result<(), Errno> {
        let loc = Loc::by_gfid(self.source, self.source.gfid());
        let volume = self.domain.as_c_str().into();
        self.stack.ask::<Inodelk>(InodelkArgs {
            volume,
            loc,
            cmd,
            flock,
            xdata: None,
        })?;
        Ok(())
    }
}

impl Drop for DataLock<'_> {
    fn drop(&mut self) {
        if let Err(errno) = self.set(libc::F_SETLK, Flock::unlock_all()) {
            gf_error!(
                "the lock over {:?} could not be given back: {errno}",
                self.source
            );
        }
    }
}
