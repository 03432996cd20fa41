//! A gluster-bdd of a test's own. Its volumes are files in memory.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use bd_model::{Bytes, Gfid, ImageKind};
use bd_proto::{CallError, Fault, FaultKind};
use blockdev::{Geometry, Span};
use rustix::fs::{MemfdFlags, Mode, OFlags};

use crate::image::{Image, lock};
use crate::{Server, ServerError};

/// Of what volumes are multiples.
pub(super) const EXTENT: u64 = 16 << 10;
/// What the end of a volume holds, behind the end of its file, after a crash.
const LEFTOVER: u8 = 0xEE;

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Open,
    Resize(u64),
    Sync,
    Allocated,
    Mapped,
}

/// What happens while a question is answered, and how it fails. Not called by what it asks itself.
type Hook = Box<dyn FnMut(&Fake, Ask) -> Option<FaultKind> + Send>;

/// The server, with one volume.
pub(super) struct Fake {
    pub(super) gfid: Gfid,
    volume: Mutex<Volume>,
    hook: Mutex<Option<Hook>>,
    asked: Mutex<Vec<Ask>>,
    /// What it tells of the mapping and of allocated bytes.
    pub(super) mapped: Mutex<Option<Vec<Span>>>,
    pub(super) allocated: Mutex<Option<Bytes>>,
}

struct Volume {
    file: File,
    bytes: u64,
    read_only: bool,
}

/// An image of `size` bytes, all zero, its server, and what holds its size.
pub(super) fn image(kind: ImageKind, size: u64) -> (Arc<Image<()>>, Arc<Fake>, Stub) {
    let server = Fake::new(size);
    let image = Arc::new(Image::new(server.gfid, kind, size));
    (image, Arc::new(server), Stub(Mutex::new((size, false))))
}

/// The size of a stub, and whether it cannot be changed.
pub(super) struct Stub(Mutex<(u64, bool)>);

impl Stub {
    pub(super) fn size(&self) -> u64 {
        lock(&self.0).0
    }

    /// From now on posix refuses, or not.
    pub(super) fn refuse(&self, does: bool) {
        lock(&self.0).1 = does;
    }

    pub(super) fn setter(&self) -> impl FnMut(u64) -> Result<(), i32> {
        |size| {
            let mut stub = lock(&self.0);
            if stub.1 {
                return Err(libc::EDQUOT);
            }
            stub.0 = size;
            Ok(())
        }
    }
}

fn volume(bytes: u64) -> File {
    let file = File::from(rustix::fs::memfd_create("volume", MemfdFlags::CLOEXEC).unwrap());
    file.set_len(bytes).unwrap();
    file
}

fn whole_extents(size: u64) -> u64 {
    size.max(1).next_multiple_of(EXTENT)
}

impl Fake {
    fn new(size: u64) -> Fake {
        use std::os::unix::fs::FileExt;
        let bytes = whole_extents(size) + EXTENT;
        let file = volume(bytes);
        let rest = vec![LEFTOVER; usize::try_from(bytes - size).unwrap()];
        file.write_all_at(&rest, size).unwrap();
        Fake {
            gfid: Gfid::random(),
            volume: Mutex::new(Volume {
                file,
                bytes,
                read_only: false,
            }),
            hook: Mutex::default(),
            asked: Mutex::default(),
            mapped: Mutex::default(),
            allocated: Mutex::default(),
        }
    }

    /// Does this while it is asked from now on.
    pub(super) fn on_ask(
        &self,
        hook: impl FnMut(&Fake, Ask) -> Option<FaultKind> + Send + 'static,
    ) {
        *lock(&self.hook) = Some(Box::new(hook));
    }

    /// Fails from now on.
    pub(super) fn fail(&self, kind: FaultKind) {
        self.on_ask(move |_, _| Some(kind));
    }

    /// Does as it is asked from now on.
    pub(super) fn obey(&self) {
        *lock(&self.hook) = None;
    }

    /// What was asked since the last call.
    pub(super) fn take_asked(&self) -> Vec<Ask> {
        std::mem::take(&mut *lock(&self.asked))
    }

    /// The bytes of the volume, past which nobody has written.
    pub(super) fn bytes(&self) -> u64 {
        let volume = lock(&self.volume);
        volume.check();
        volume.bytes
    }

    /// A merge gives the image another volume, full of `byte`.
    pub(super) fn exchange(&self, bytes: u64, byte: u8) {
        use std::os::unix::fs::FileExt;
        let file = volume(bytes);
        file.write_all_at(&vec![byte; usize::try_from(bytes).unwrap()], 0)
            .unwrap();
        let mut volume = lock(&self.volume);
        (volume.file, volume.bytes) = (file, bytes);
    }

    /// Its device, when it is opened again, refuses all changes, or not.
    pub(super) fn set_read_only(&self, is_so: bool) {
        lock(&self.volume).read_only = is_so;
    }

    fn ask(&self, ask: Ask) -> Result<(), ServerError> {
        lock(&self.asked).push(ask);
        let Some(mut hook) = lock(&self.hook).take() else {
            return Ok(());
        };
        let fault = hook(self, ask);
        lock(&self.hook).get_or_insert(hook);
        let Some(kind) = fault else { return Ok(()) };
        let message = "told to".to_owned();
        Err(CallError::Fault(Fault { kind, message }).into())
    }
}

impl Volume {
    fn check(&self) {
        let len = self.file.metadata().unwrap().len();
        assert_eq!(len, self.bytes, "somebody wrote past the volume's end");
    }
}

impl Server for Fake {
    fn extent_size(&self) -> Bytes {
        Bytes(EXTENT)
    }

    fn open(&self, _: Gfid) -> Result<(OwnedFd, Geometry), ServerError> {
        // One that is opened while the volume is exchanged is the old one.
        let (file, read_only) = {
            let volume = lock(&self.volume);
            (volume.file.try_clone().unwrap(), volume.read_only)
        };
        self.ask(Ask::Open)?;
        let geometry = Geometry {
            block_size: 512,
            zeroing_discard: 0,
        };
        if read_only {
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
            let fd = rustix::fs::open(path, OFlags::RDONLY, Mode::empty()).unwrap();
            return Ok((fd, geometry));
        }
        Ok((file.into(), geometry))
    }

    fn resize(&self, _: Gfid, size: Bytes) -> Result<Bytes, ServerError> {
        self.ask(Ask::Resize(size.0))?;
        let mut volume = lock(&self.volume);
        volume.check();
        volume.bytes = whole_extents(size.0);
        volume.file.set_len(volume.bytes).unwrap();
        Ok(Bytes(volume.bytes))
    }

    fn sync(&self, _: Gfid) -> Result<(), ServerError> {
        self.ask(Ask::Sync)
    }

    fn allocated(&self, _: Gfid) -> Result<Option<Bytes>, ServerError> {
        let told = *lock(&self.allocated);
        self.ask(Ask::Allocated)?;
        Ok(told)
    }

    fn mapped(&self, _: Gfid) -> Result<Option<Vec<Span>>, ServerError> {
        // What happens meanwhile is not in it.
        let told = lock(&self.mapped).clone();
        self.ask(Ask::Mapped)?;
        Ok(told)
    }
}
