//! Calls that wait until images are zeroed, and what is done meanwhile. Pieces are zeroed by hand.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use bd_bricks::{BrickConfig, FOLDER};
use bd_engine::Engines;
use bd_engine::{Engine, EngineError};
use bd_engine_lvm::LvmEngine;
use bd_engine_lvm::fake::FakeKernel;
use bd_lvm::Tag;
use bd_lvm::fake::FakeLvm;
use bd_model::{BrickId, Bytes, Extents, Gfid, ImageKind, LvName};
use bd_proto::{EngineSpec, Fault, FaultKind, JobInfo, JobOrder, JobState, Reply, Request};
use tempfile::TempDir;
use uuid::Uuid;

use super::{Caller, Service};

const MIB: u64 = 1 << 20;

fn name(text: &str) -> LvName {
    text.parse().unwrap()
}

/// The one engine that there is.
#[derive(Debug)]
struct Only(Arc<LvmEngine>);

impl Engines for Only {
    fn open(&self, _: &EngineSpec) -> Result<Arc<dyn Engine>, EngineError> {
        Ok(self.0.clone())
    }
}

/// A server with a brick whose calls zero 8 MiB at most.
struct Server {
    folder: Arc<TempDir>,
    lvm: Arc<FakeLvm>,
    kernel: Arc<FakeKernel>,
    id: BrickId,
    service: Arc<Service>,
    caller: Arc<Caller>,
}

/// What a call is answered, when it is.
struct Answered(Receiver<Reply>);

impl Server {
    fn new() -> Server {
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

    fn start(
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
    fn restart(self) -> Server {
        let (folder, lvm, kernel) = (self.folder.clone(), self.lvm.clone(), self.kernel.clone());
        let id = self.id;
        drop(self);
        Server::start(folder, lvm, kernel, id)
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("brick")
    }

    fn ask(&self, request: Request) -> Reply {
        self.service.answer(&self.caller, request).reply
    }

    /// Asks on a thread of its own.
    fn call(&self, request: Request) -> Answered {
        self.call_as(&self.caller, request)
    }

    fn call_as(&self, caller: &Arc<Caller>, request: Request) -> Answered {
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

    fn create(&self, gfid: Gfid, mib: u64) -> Request {
        Request::Create {
            brick: self.id,
            gfid,
            name: Some("image".to_owned()),
            kind: ImageKind::Thick,
            size: Bytes(mib * MIB),
            import: false,
        }
    }

    fn resize(&self, gfid: Gfid, mib: u64) -> Request {
        Request::Resize {
            brick: self.id,
            gfid,
            size: Bytes(mib * MIB),
        }
    }

    fn open(&self, gfid: Gfid) -> Request {
        Request::Open {
            brick: self.id,
            gfid,
        }
    }

    /// A committed image of 8 MiB.
    fn image(&self) -> Gfid {
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
    fn waited_for(&self, jobs: usize, calls: u32) -> JobInfo {
        let job = self.job(jobs);
        wait("calls", || self.service.waiting(job.id) == calls);
        job
    }

    /// The last job, when there are so many.
    fn job(&self, jobs: usize) -> JobInfo {
        wait("a job", || self.service.jobs().len() >= jobs);
        let mut all = self.service.jobs();
        assert_eq!(all.len(), jobs, "{all:?}");
        all.pop().unwrap()
    }

    fn order(&self, id: u64, order: JobOrder) -> JobInfo {
        match self.ask(Request::OrderJob { id, order }) {
            Reply::Job(job) => job,
            other => panic!("{other:?}"),
        }
    }

    /// Zeroes so many pieces of 8 MiB.
    fn pieces(&self, pieces: usize) {
        for _ in 0..pieces {
            assert!(self.service.zero_piece(self.id).is_some());
        }
    }

    fn zeroed(&self) -> Vec<(u64, u64)> {
        let zeroed = self.kernel.take_zeroed();
        let mib = |(from, len): (u64, u64)| (from / MIB, len / MIB);
        zeroed.into_iter().map(mib).collect()
    }

    fn size(&self) -> Option<u64> {
        let mut state = self.lvm.state();
        state.lv(&name("image")).map(|lv| lv.size.0 / MIB)
    }

    fn is_dirty(&self) -> bool {
        let tags = self.lvm.state().lv(&name("image")).unwrap().tags.clone();
        tags.iter().any(|tag| matches!(tag, Tag::Zeroing(_)))
    }
}

impl Answered {
    #[track_caller]
    fn not_yet(&self) {
        let told = self.0.try_recv();
        assert!(matches!(told, Err(TryRecvError::Empty)), "{told:?}");
    }

    fn reply(self) -> Reply {
        self.0.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    #[track_caller]
    fn fault(self) -> Fault {
        match self.reply() {
            Reply::Fault(fault) => fault,
            other => panic!("{other:?}"),
        }
    }
}

#[track_caller]
fn is_done(reply: Reply) {
    assert!(!matches!(reply, Reply::Fault(_)), "{reply:?}");
}

fn wait(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        thread::yield_now();
    }
}

#[test]
fn a_call_waits_for_the_job() {
    let server = Server::new();
    let gfid = Gfid::random();
    let created = server.call(server.create(gfid, 40));
    let job = server.waited_for(1, 1);
    assert_eq!(
        (job.kind.to_string(), job.gfid),
        ("zero".to_owned(), Some(gfid))
    );
    assert_eq!((job.done, job.total), (Bytes(0), Some(Bytes(40 * MIB))));
    server.pieces(2);
    let job = server.job(1);
    assert_eq!((job.state, job.done), (JobState::Running, Bytes(16 * MIB)));
    // Others go on meanwhile; a second call joins.
    is_done(server.ask(Request::Info {
        brick: server.id,
        gfid,
    }));
    let other = Gfid::random();
    is_done(server.ask(server.create(other, 4)));
    let again = server.call(server.create(gfid, 40));
    server.waited_for(1, 2);
    assert_eq!(server.order(1, JobOrder::Pause).state, JobState::Paused);
    assert!(server.service.zero_piece(server.id).is_none());
    let tags = server.lvm.state().lv(&name("image")).unwrap().tags.clone();
    assert!(tags.contains(&Tag::Zeroing(Bytes(16 * MIB))), "{tags:?}");
    created.not_yet();
    server.order(1, JobOrder::Resume);
    server.pieces(3);
    is_done(created.reply());
    is_done(again.reply());
    let job = server.job(1);
    assert_eq!((job.state, job.done), (JobState::Done, Bytes(40 * MIB)));
    assert!(!server.is_dirty());
    let of_image = [(0, 8), (8, 8), (0, 4), (16, 8), (24, 8), (32, 8)];
    assert_eq!(server.zeroed(), of_image);
    assert!(server.service.zero_piece(server.id).is_none());
    is_done(server.ask(server.open(gfid)));
}

#[test]
fn what_is_cancelled_is_undone() {
    let server = Server::new();
    let gfid = Gfid::random();
    let created = server.call(server.create(gfid, 40));
    server.waited_for(1, 1);
    server.pieces(1);
    server.order(1, JobOrder::Cancel);
    let fault = created.fault();
    assert_eq!(fault.kind, FaultKind::Busy);
    assert!(
        fault
            .message
            .contains("was cancelled: by gluster-bd job cancel"),
        "{fault}"
    );
    assert_eq!(server.size(), None);

    let gfid = server.image();
    let grown = server.call(server.resize(gfid, 48));
    server.waited_for(2, 1);
    server.pieces(2);
    assert_eq!(server.size(), Some(48));
    server.order(2, JobOrder::Cancel);
    let fault = grown.fault();
    assert_eq!(fault.kind, FaultKind::Busy, "{fault}");
    assert_eq!((server.size(), server.is_dirty()), (Some(8), false));
    is_done(server.ask(server.open(gfid)));
    server.order(2, JobOrder::Cancel);
    // From the beginning when it grows once more.
    server.zeroed();
    let grown = server.call(server.resize(gfid, 32));
    server.waited_for(3, 1);
    server.pieces(3);
    is_done(grown.reply());
    assert_eq!(server.zeroed(), [(8, 8), (16, 8), (24, 8)]);

    server.kernel.break_disks();
    let grown = server.call(server.resize(gfid, 64));
    server.waited_for(4, 1);
    server.pieces(1);
    let fault = grown.fault();
    assert_eq!(fault.kind, FaultKind::Failed);
    assert!(fault.message.contains("the disk is broken"), "{fault}");
    assert_eq!(server.job(4).state, JobState::Failed);
    assert_eq!((server.size(), server.is_dirty()), (Some(32), false));
}

#[test]
fn it_goes_on_after_a_restart() {
    let server = Server::new();
    let gfid = server.image();
    let grown = server.call(server.resize(gfid, 64));
    server.waited_for(1, 1);
    server.pieces(2);
    server.service.keep_zeroed(server.id);
    server.pieces(1);
    server.service.stop();
    let fault = grown.fault();
    assert_eq!(fault.kind, FaultKind::Busy);
    assert!(
        fault
            .message
            .ends_with("is stopping; zeroing goes on after its start"),
        "{fault}"
    );
    assert_eq!((server.size(), server.is_dirty()), (Some(64), true));

    let server = server.restart();
    let job = server.job(1);
    assert_eq!((job.state, job.done), (JobState::Queued, Bytes(16 * MIB)));
    server.zeroed();
    let opened = server.call(server.open(gfid));
    server.waited_for(1, 1);
    server.pieces(2);
    opened.not_yet();
    let job = server.order(1, JobOrder::Pause);
    assert_eq!(
        (job.done, job.total),
        (Bytes(32 * MIB), Some(Bytes(56 * MIB)))
    );
    server.service.stop();
    opened.fault();

    // Whoever has paused it resumes it.
    let server = server.restart();
    assert!(server.service.bricks_to_zero().is_empty());
    server.order(1, JobOrder::Resume);
    assert_eq!(server.service.bricks_to_zero(), [server.id]);
    server.pieces(3);
    let pieces = [(24, 8), (32, 8), (40, 8), (48, 8), (56, 8)];
    assert_eq!(server.zeroed(), pieces);
    assert_eq!(server.job(1).state, JobState::Done);
    is_done(server.ask(server.open(gfid)));
    assert_eq!(server.size(), Some(64));
    // What was being made is undone: nobody has it.
    let new = Gfid::random();
    let server = server.restart();
    let request = match server.create(new, 40) {
        Request::Create {
            brick,
            gfid,
            kind,
            size,
            import,
            ..
        } => Request::Create {
            brick,
            gfid,
            name: Some("new".to_owned()),
            kind,
            size,
            import,
        },
        other => panic!("{other:?}"),
    };
    let created = server.call(request);
    server.waited_for(2, 1);
    server.service.stop();
    created.fault();
    assert!(server.lvm.state().lv(&name("new")).is_none());
    assert_eq!(server.job(2).state, JobState::Cancelled);
}

#[test]
fn an_image_may_go_meanwhile() {
    let server = Server::new();
    let gfid = server.image();
    let grown = server.call(server.resize(gfid, 64));
    server.waited_for(1, 1);
    server.pieces(1);
    server.order(1, JobOrder::Pause);
    let brick = server.id;
    is_done(server.ask(Request::Condemn { brick, gfid }));
    // Its brick waits for the call before it has the image removed.
    let fault = grown.fault();
    assert!(fault.message.ends_with("the image was removed"), "{fault}");
    is_done(server.ask(Request::Remove { brick, gfid }));
    assert_eq!(server.size(), None);
    assert_eq!(server.job(1).state, JobState::Cancelled);

    // And where nobody waits.
    let gfid = server.image();
    let caller = Arc::new(server.service.caller());
    let grown = server.call_as(&caller, server.resize(gfid, 64));
    server.waited_for(2, 1);
    server.order(2, JobOrder::Pause);
    server.service.left(&caller);
    grown.fault();
    is_done(server.ask(Request::Condemn { brick, gfid }));
    is_done(server.ask(Request::Remove { brick, gfid }));
    assert_eq!(server.size(), None);
    assert_eq!(server.job(2).state, JobState::Cancelled);
}

#[test]
fn it_goes_on_without_its_caller() {
    let server = Server::new();
    let gfid = server.image();
    let caller = Arc::new(server.service.caller());
    let grown = server.call_as(&caller, server.resize(gfid, 40));
    server.waited_for(1, 1);
    server.service.left(&caller);
    grown.fault();
    assert_eq!((server.size(), server.is_dirty()), (Some(40), true));
    // The next one finds it done, wholly or in part, or wants less.
    server.pieces(1);
    let grown = server.call(server.resize(gfid, 40));
    server.waited_for(1, 1);
    server.pieces(3);
    is_done(grown.reply());
    assert_eq!((server.size(), server.is_dirty()), (Some(40), false));
    let caller = Arc::new(server.service.caller());
    let grown = server.call_as(&caller, server.resize(gfid, 80));
    server.waited_for(2, 1);
    server.service.left(&caller);
    grown.fault();
    is_done(server.ask(server.resize(gfid, 44)));
    assert_eq!((server.size(), server.is_dirty()), (Some(44), false));
    server.pieces(1);
    assert_eq!(server.job(2).state, JobState::Done);
}
