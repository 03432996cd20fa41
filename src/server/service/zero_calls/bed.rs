//! A server with a brick whose images are zeroed by hand, and calls to it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use bd_bricks::{BrickConfig, FOLDER};
use bd_engine::Engines;
use bd_engine::{Engine, EngineError};
use bd_engine_lvm::LvmEngine;
use bd_engine_lvm::fake::FakeKernel;
use bd_lvm::Tag;
use bd_lvm::fake::FakeLvm;
use bd_model::{BrickId, Bytes, Extents, Gfid, ImageKind, LvName};
use bd_proto::{EngineSpec, Fault, JobInfo, JobOrder, Reply, Request};
use tempfile::TempDir;
use uuid::Uuid;

use super::super::{Caller, Service};
use super::{MIB, is_done, wait};

pub(super) fn name(text: &str) -> LvName {
    text.parse().unwrap()
}

/// The one engine that there is.
#[derive(Debug)]
pub(super) struct Only(Arc<LvmEngine>);

impl Engines for Only {
    fn open(&self, _: &EngineSpec) -> Result<Arc<dyn Engine>, EngineError> {
        Ok(self.0.clone())
    }
}

/// A server with a brick whose calls zero 8 MiB at most.
pub(super) struct Server {
    pub(super) folder: Arc<TempDir>,
    pub(super) lvm: Arc<FakeLvm>,
    pub(super) kernel: Arc<FakeKernel>,
    pub(super) id: BrickId,
    pub(super) service: Arc<Service>,
    pub(super) caller: Arc<Caller>,
}

/// What a call is answered, when it is.
pub(super) struct Answered(pub(super) Receiver<Reply>);

impl Server {
    pub(super) fn new() -> Server {
        let lvm = Arc::new(FakeLvm::new(&"vg0".parse().unwrap(), Extents(100), None));
        let kernel = Arc::new(FakeKernel::new(&lvm));
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let id = BrickId::random();
        let dir = folder.path().join("brick");
        std::fs::create_dir_all(dir.join(FOLDER).join("intents")).unwrap();
        let config = BrickConfig {
            version: BrickConfig::VERSION,
            id,
            top: "vg0".into(),
            adopt: true,
            volume: None,
            vg_uuid: None,
            engine: kernel.engine(None).unwrap().spec(),
        };
        config.prepare(&dir).unwrap();
        BrickConfig::place(&dir).unwrap();
        Server::start(folder, lvm, kernel, id)
    }

    pub(super) fn start(
        folder: Arc<TempDir>,
        lvm: Arc<FakeLvm>,
        kernel: Arc<FakeKernel>,
        id: BrickId,
    ) -> Server {
        let engine = kernel.engine(None).unwrap().zeroing_at_once(Bytes(8 * MIB));
        let service = Service::new(Box::new(Only(Arc::new(engine))));
        service.keep_jobs_in(&folder.path().join("jobs")).unwrap();
        let server = Server {
            caller: Arc::new(service.caller()),
            service: Arc::new(service),
            folder,
            lvm,
            kernel,
            id,
        };
        let attach = Request::AttachBrick {
            dir: server.dir(),
            volume: Uuid::from_u128(1),
            fresh: false,
            heals: false,
        };
        let attached = server.service.answer(&server.caller, attach).reply;
        assert!(matches!(attached, Reply::Brick(_)), "{attached:?}");
        server
    }

    /// As after a kill: the next one finds what is on disk.
    pub(super) fn restart(self) -> Server {
        let (folder, lvm, kernel) = (self.folder.clone(), self.lvm.clone(), self.kernel.clone());
        let id = self.id;
        drop(self);
        Server::start(folder, lvm, kernel, id)
    }

    pub(super) fn dir(&self) -> PathBuf {
        self.folder.path().join("brick")
    }

    pub(super) fn ask(&self, request: Request) -> Reply {
        self.service.answer(&self.caller, request).reply
    }

    /// Asks on a thread of its own.
    pub(super) fn call(&self, request: Request) -> Answered {
        self.call_as(&self.caller, request)
    }

    pub(super) fn call_as(&self, caller: &Arc<Caller>, request: Request) -> Answered {
        let (tell, told) = channel();
        let (service, caller) = (Arc::clone(&self.service), Arc::clone(caller));
        thread::spawn(move || {
            let reply = service.answer(&caller, request).reply;
            // Before anybody goes on: a server that is started again must be the only one.
            drop(service);
            tell.send(reply).unwrap();
        });
        Answered(told)
    }

    pub(super) fn create(&self, gfid: Gfid, mib: u64) -> Request {
        Request::Create {
            brick: self.id,
            gfid,
            name: Some("image".to_owned()),
            kind: ImageKind::Thick,
            size: Bytes(mib * MIB),
            import: false,
        }
    }

    pub(super) fn resize(&self, gfid: Gfid, mib: u64) -> Request {
        Request::Resize {
            brick: self.id,
            gfid,
            size: Bytes(mib * MIB),
        }
    }

    pub(super) fn open(&self, gfid: Gfid) -> Request {
        Request::Open {
            brick: self.id,
            gfid,
        }
    }

    /// A committed image of 8 MiB.
    pub(super) fn image(&self) -> Gfid {
        let gfid = Gfid::random();
        is_done(self.ask(self.create(gfid, 8)));
        let commit = Request::Commit {
            brick: self.id,
            gfid,
        };
        is_done(self.ask(commit));
        self.zeroed();
        gfid
    }

    /// The last job, when there are so many and so many calls wait for it.
    pub(super) fn waited_for(&self, jobs: usize, calls: u32) -> JobInfo {
        let job = self.job(jobs);
        wait("calls", || self.service.waiting(job.id) == calls);
        job
    }

    /// The last job, when there are so many.
    pub(super) fn job(&self, jobs: usize) -> JobInfo {
        wait("a job", || self.service.jobs().len() >= jobs);
        let mut all = self.service.jobs();
        assert_eq!(all.len(), jobs, "{all:?}");
        all.pop().unwrap()
    }

    pub(super) fn order(&self, id: u64, order: JobOrder) -> JobInfo {
        match self.ask(Request::OrderJob { id, order }) {
            Reply::Job(job) => job,
            other => panic!("{other:?}"),
        }
    }

    /// Zeroes so many pieces of 8 MiB.
    pub(super) fn pieces(&self, pieces: usize) {
        for _ in 0..pieces {
            assert!(self.service.zero_piece(self.id).is_some());
        }
    }

    pub(super) fn zeroed(&self) -> Vec<(u64, u64)> {
        let zeroed = self.kernel.take_zeroed();
        let mib = |(from, len): (u64, u64)| (from / MIB, len / MIB);
        zeroed.into_iter().map(mib).collect()
    }

    pub(super) fn size(&self) -> Option<u64> {
        let mut state = self.lvm.state();
        state.lv(&name("image")).map(|lv| lv.size.0 / MIB)
    }

    pub(super) fn is_dirty(&self) -> bool {
        let tags = self.lvm.state().lv(&name("image")).unwrap().tags.clone();
        tags.iter().any(|tag| matches!(tag, Tag::Zeroing(_)))
    }
}

impl Answered {
    #[track_caller]
    pub(super) fn not_yet(&self) {
        let told = self.0.try_recv();
        assert!(matches!(told, Err(TryRecvError::Empty)), "{told:?}");
    }

    pub(super) fn reply(self) -> Reply {
        self.0.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    #[track_caller]
    pub(super) fn fault(self) -> Fault {
        match self.reply() {
            Reply::Fault(fault) => fault,
            other => panic!("{other:?}"),
        }
    }
}
