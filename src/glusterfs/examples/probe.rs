//! A translator that uses every way through the kit, for the test `one_process`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use glusterfs::fops::{
    Create, Fsync, Ftruncate, Getxattr, Lookup, LookupArgs, Readdirp, Readv, ReadvReply, Setxattr,
    StatArgs, Unlink, Writev, WritevReply,
};
use glusterfs::{
    Call, Credentials, Dict, Errno, Fd, Frame, GfidText, InitError, Inode, Iobuf, Loc, Moment,
    Node, Stack, Translator, Xlator, fops, gf_info,
};

/// Files whose name starts with `mem-` are kept in memory; what posix has of them is a stub.
#[derive(Debug)]
pub struct Probe {
    xl: Xlator<Probe>,
    forgotten: Mutex<HashMap<&'static str, u64>>,
}

/// The bytes of a file in memory.
#[derive(Debug, Default)]
pub struct Bytes(Mutex<Vec<u8>>);

impl Bytes {
    fn get(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Probe {
    fn bytes(&self, inode: &Inode<'_>) -> Option<Arc<Bytes>> {
        inode.ctx(self.xl)
    }

    fn count(&self, what: &'static str) {
        let mut counts = self
            .forgotten
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *counts.entry(what).or_default() += 1;
    }

    fn patch(&self, inode: Option<&Inode<'_>>, iatt: &mut glusterfs::Iatt) {
        if let Some(bytes) = inode.and_then(|inode| self.bytes(inode)) {
            iatt.set_size(bytes.get().len() as u64);
        }
    }

    /// A lookup from a thread of our own, to see that stacks work.
    fn own_lookup(node: Node, parent: &Inode<'_>, name: &str) -> Result<u64, Errno> {
        let name = std::ffi::CString::new(name).map_err(|_| Errno::EINVAL)?;
        let stack = Stack::new(node, &Credentials::root());
        let loc = Loc::by_name(parent, &name, &parent.fresh());
        let xdata = Dict::new();
        xdata.set_u64("user.probe", 0)?;
        let reply = stack.ask::<Lookup>(LookupArgs {
            loc,
            xdata: Some(xdata),
        })?;
        let inode = reply.inode.ok_or(Errno::EIO)?;
        let loc = Loc::by_gfid(&inode, reply.buf.gfid());
        let reply = stack.ask::<fops::Stat>(StatArgs { loc, xdata: None })?;
        Ok(reply.buf.size())
    }
}

impl Translator for Probe {
    type InodeCtx = Bytes;
    type FdCtx = String;

    fn init(xl: Xlator<Probe>) -> Result<Arc<Probe>, InitError> {
        if xl.option("refuse").is_some() {
            return Err(InitError(
                "refused as asked; remove the option refuse".to_owned(),
            ));
        }
        gf_info!("probe starts on {:?}", xl.first_child());
        Ok(Arc::new(Probe {
            xl,
            forgotten: Mutex::default(),
        }))
    }

    fn forget(self: &Arc<Probe>, _: &Inode<'_>, ctx: Option<Arc<Bytes>>) {
        if ctx.is_some() {
            self.count("forget");
        }
    }

    fn release(self: &Arc<Probe>, _: &Fd<'_>, ctx: Option<Arc<String>>) {
        if ctx.is_some() {
            self.count("release");
        }
    }

    fn create(self: &Arc<Probe>, call: Call<'_, Create>) {
        let memory = call
            .args
            .loc
            .name()
            .is_some_and(|n| n.to_bytes().starts_with(b"mem-"));
        let fd = call.args.fd.share();
        let this = self.clone();
        call.wind(move |frame, answer| {
            if let (true, Ok(reply)) = (memory, &answer) {
                if let Some(inode) = &reply.inode {
                    inode.ctx_or_insert(this.xl, Bytes::default());
                }
                fd.set_ctx(this.xl, Some(Arc::new(String::from("open"))));
            }
            frame.answer(answer);
        });
    }

    fn lookup(self: &Arc<Probe>, call: Call<'_, Lookup>) {
        let this = self.clone();
        call.wind(move |frame, answer| {
            frame.answer(answer.map(|mut reply| {
                let inode = reply.inode.as_ref().map(Inode::share);
                this.patch(inode.as_ref(), &mut reply.buf);
                reply
            }));
        });
    }

    fn stat(self: &Arc<Probe>, call: Call<'_, fops::Stat>) {
        let inode = call.args.loc.inode().map(|inode| inode.share());
        let this = self.clone();
        call.wind(move |frame, answer| {
            frame.answer(answer.map(|mut reply| {
                this.patch(inode.as_ref(), &mut reply.buf);
                reply
            }));
        });
    }

    fn fstat(self: &Arc<Probe>, call: Call<'_, fops::Fstat>) {
        let inode = call.args.fd.inode().share();
        let this = self.clone();
        call.wind(move |frame, answer| {
            frame.answer(answer.map(|mut reply| {
                this.patch(Some(&inode), &mut reply.buf);
                reply
            }));
        });
    }

    fn readdirp(self: &Arc<Probe>, call: Call<'_, Readdirp>) {
        let this = self.clone();
        call.wind(move |frame, answer| {
            frame.answer(answer.map(|mut reply| {
                reply
                    .entries
                    .retain(|entry| entry.name().to_bytes() != b"hidden");
                for mut entry in reply.entries.iter() {
                    let mut iatt = entry.iatt();
                    this.patch(entry.inode().as_ref(), &mut iatt);
                    entry.set_iatt(&iatt);
                }
                reply.count = u32::try_from(reply.entries.len()).unwrap_or(0);
                reply
            }));
        });
    }

    fn writev(self: &Arc<Probe>, call: Call<'_, Writev>) {
        let Some(bytes) = self.bytes(&call.args.fd.inode()) else {
            return call.pass();
        };
        // On another thread, with the payload kept by reference.
        let Call { frame, args } = call.detach();
        std::thread::spawn(move || {
            let asked = frame.ask::<fops::Fstat>(fops::FstatArgs {
                fd: args.fd,
                xdata: None,
            });
            let Ok(stat) = asked else {
                return frame.fail(Errno::EIO);
            };
            let mut bytes = bytes.get();
            let start = usize::try_from(args.offset).unwrap_or(0);
            let end = start + args.data.len();
            let (old, new) = (bytes.len(), bytes.len().max(end));
            bytes.resize(new, 0);
            let mut at = start;
            for piece in args.data.slices() {
                bytes[at..at + piece.len()].copy_from_slice(piece);
                at += piece.len();
            }
            let (mut prebuf, mut postbuf) = (stat.buf, stat.buf);
            prebuf.set_size(old as u64);
            postbuf.set_size(new as u64);
            postbuf.set_mtime(frame.ctime().unwrap_or_else(Moment::now));
            let written = u32::try_from(end - start).unwrap_or(0);
            frame.unwind(WritevReply {
                written,
                prebuf,
                postbuf,
                xdata: None,
            });
        });
    }

    fn readv(self: &Arc<Probe>, call: Call<'_, Readv>) {
        let Some(bytes) = self.bytes(&call.args.fd.inode()) else {
            return call.pass();
        };
        let Call { frame, args } = call.detach();
        let node = self.xl.node();
        std::thread::spawn(move || {
            let bytes = bytes.get();
            let start = usize::try_from(args.offset).unwrap_or(0).min(bytes.len());
            let end = (start + args.size).min(bytes.len());
            let mut buffer = match Iobuf::aligned(node, end - start, 4096) {
                Ok(buffer) => buffer,
                Err(errno) => return frame.fail(errno),
            };
            buffer.copy_from_slice(&bytes[start..end]);
            let mut stbuf = glusterfs::Iatt::default();
            stbuf.set_size(bytes.len() as u64);
            stbuf.set_gfid(args.fd.inode().gfid());
            let eof = end == bytes.len();
            frame.unwind(ReadvReply {
                eof,
                data: buffer.into(),
                stbuf,
                xdata: None,
            });
        });
    }

    fn fsync(self: &Arc<Probe>, call: Call<'_, Fsync>) {
        let (frame, answer) = call.ask();
        frame.answer(answer);
    }

    fn ftruncate(self: &Arc<Probe>, _: Call<'_, Ftruncate>) {
        panic!("a bug, to see that the caller gets EIO and the process lives");
    }

    fn unlink(self: &Arc<Probe>, call: Call<'_, Unlink>) {
        // Dropping the frame answers EIO.
        if call
            .args
            .loc
            .name()
            .is_some_and(|name| name.to_bytes() == b"keep")
        {
            return drop(call);
        }
        call.pass();
    }

    fn setxattr(self: &Arc<Probe>, call: Call<'_, Setxattr>) {
        if call.args.dict.contains("user.refused") {
            return call.fail(Errno::ENOSPC);
        }
        if let Some(value) = call.args.dict.get_str("user.twice") {
            let dict = call.args.dict.duplicate();
            let set = dict.set("user.twice", format!("{value}{value}").as_bytes());
            let mut call = call;
            match set {
                Ok(()) => call.args.dict = dict,
                Err(errno) => return call.fail(errno),
            }
            return call.pass();
        }
        call.pass();
    }

    fn getxattr(self: &Arc<Probe>, call: Call<'_, Getxattr>) {
        let name = call
            .args
            .name
            .as_ref()
            .map(|name| name.to_string_lossy().into_owned());
        match name.as_deref() {
            Some("user.probe.who") => {
                let who = call.frame.credentials();
                answer(
                    call.frame,
                    "user.probe.who",
                    &format!("{}:{}", who.uid, who.gid),
                );
            }
            Some("user.probe.gfid") => {
                let gfid = GfidText(call.args.loc.gfid()).to_string();
                answer(call.frame, "user.probe.gfid", &gfid);
            }
            Some("user.probe.counts") => {
                let counts = self
                    .forgotten
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                let text = format!(
                    "release={} forget={}",
                    counts.get("release").unwrap_or(&0),
                    counts.get("forget").unwrap_or(&0)
                );
                answer(call.frame, "user.probe.counts", &text);
            }
            Some("user.probe.hello") => {
                let node = self.xl.node();
                let Call { frame, args } = call.detach();
                std::thread::spawn(move || {
                    let Some(inode) = args.loc.inode() else {
                        return frame.fail(Errno::EINVAL);
                    };
                    match node.enter(|| Probe::own_lookup(node, &inode.root(), "hello")) {
                        Ok(size) => answer(frame, "user.probe.hello", &size.to_string()),
                        Err(errno) => frame.fail(errno),
                    }
                });
            }
            _ => call.pass(),
        }
    }
}

fn answer(frame: Frame<Getxattr>, name: &str, value: &str) {
    let dict = Dict::new();
    match dict.set(name, value.as_bytes()) {
        Ok(()) => {
            let len = u32::try_from(value.len()).unwrap_or(0);
            frame.unwind(fops::GetxattrReply {
                len,
                dict: Some(dict),
                xdata: None,
            });
        }
        Err(errno) => frame.fail(errno),
    }
}

glusterfs::export!(Probe, c"probe", options: [
    (c"refuse", None, c"refuse to start"),
]);
