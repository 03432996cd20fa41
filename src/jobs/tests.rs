use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bd_dm_thin::Inherited;
use bd_engine::thin_pool::PolicyFile;
use bd_model::Bytes;
use bd_proto::{Fault, FaultKind, JobOrder, Work, WorkReport, WorkStop};

use super::*;

const CHUNK: u64 = 65536;

/// A brick with one image, of which some chunks are shared.
#[derive(Debug)]
struct Fake {
    id: BrickId,
    shared: Mutex<Option<u64>>,
    full: Mutex<bool>,
}

impl Fake {
    fn new(chunks: u64) -> Fake {
        Fake {
            id: BrickId::random(),
            shared: Mutex::new(Some(chunks)),
            full: Mutex::default(),
        }
    }

    /// Does a piece of work: chunks become the image's own.
    fn does(&self, work: &Work, chunks: u64) -> WorkReport {
        if let Some(shared) = self.shared.lock().unwrap().as_mut() {
            *shared -= chunks;
        }
        WorkReport {
            job: work.job,
            done: Bytes(chunks * CHUNK),
            stopped: None,
        }
    }
}

impl JobTarget for Fake {
    fn id(&self) -> BrickId {
        self.id
    }

    fn dir(&self) -> PathBuf {
        "/brick".into()
    }

    fn vg(&self) -> Option<VgName> {
        Some("vg0".parse().unwrap())
    }

    fn name(&self, _: Gfid) -> String {
        "/vg0/clone".into()
    }

    fn inherited(&self, _: Gfid, before: Option<u64>) -> Result<Option<Inherited>, Fault> {
        let gone = || Fault::new(FaultKind::NotFound, "no such image");
        let chunks = self.shared.lock().unwrap().ok_or_else(gone)?;
        let span = (Bytes(0), Bytes(chunks * CHUNK));
        Ok(Some(Inherited {
            spans: Some(span).filter(|_| chunks > 0).into_iter().collect(),
            bytes: span.1,
            chunk: Bytes(CHUNK),
            before: before.unwrap_or(7),
        }))
    }

    fn no_room(&self, _: Bytes, _: Bytes) -> Result<Option<String>, Fault> {
        Ok(self.full.lock().unwrap().then(|| "it is full".to_owned()))
    }
}

fn jobs(policy: &str) -> Jobs {
    let file = PolicyFile::parse(Path::new("/policy.toml"), policy).unwrap();
    Jobs::new(Arc::new(Policies::new(file)))
}

fn only(jobs: &Jobs) -> JobInfo {
    let mut all = jobs.all(|_, _| true);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn resume(jobs: &Jobs) {
    jobs.order(1, JobOrder::Resume, |_, _| true).unwrap();
}

#[test]
fn a_clone_is_hydrated_piece_by_piece() {
    let (fake, gfid) = (Fake::new(2000), Gfid::random());
    let jobs = jobs("");
    jobs.hydrate(&fake, gfid).unwrap();
    jobs.hydrate(&fake, gfid).unwrap();
    let job = only(&jobs);
    assert_eq!((job.state, job.total), (JobState::Queued, None));
    let work = jobs.work(&fake, None).unwrap();
    assert_eq!((work.job, work.gfid, work.rate), (1, gfid, None));
    assert_eq!(work.spans, [(Bytes(0), Bytes(64 << 20))]);
    assert!(jobs.work(&Fake::new(1), None).is_none(), "of another brick");
    // Only a part of it was done when the time was over.
    let work = jobs.work(&fake, Some(fake.does(&work, 24))).unwrap();
    assert_eq!(work.spans[0].0, Bytes(24 * CHUNK));
    let job = only(&jobs);
    assert_eq!(job.state, JobState::Running);
    assert_eq!(
        (job.done, job.total),
        (Bytes(24 * CHUNK), Some(Bytes(2000 * CHUNK)))
    );
    let work = jobs.work(&fake, Some(fake.does(&work, 1024))).unwrap();
    assert!(jobs.work(&fake, Some(fake.does(&work, 952))).is_none());
    let job = only(&jobs);
    assert_eq!((job.state, job.reason), (JobState::Done, None));
    assert_eq!(
        (job.done, job.total),
        (Bytes(2000 * CHUNK), Some(Bytes(2000 * CHUNK)))
    );
    assert!(job.started.is_some() && job.ended.is_some());
    assert!(jobs.order(1, JobOrder::Pause, |_, _| true).is_err());
    assert_eq!(
        jobs.order(2, JobOrder::Pause, |_, _| true)
            .unwrap_err()
            .kind,
        FaultKind::NotFound
    );
}

#[test]
fn the_policy_says_whether_and_how_fast() {
    let policy = "[vg.vg0]\nhydrate = false\n";
    let off = jobs(policy);
    off.hydrate(&Fake::new(1), Gfid::random()).unwrap();
    assert!(off.all(|_, _| true).is_empty());
    let slow = jobs("[vg.vg0]\nhydrate_rate = \"1M\"\n");
    let fake = Fake::new(100);
    slow.hydrate(&fake, Gfid::random()).unwrap();
    let work = slow.work(&fake, None).unwrap();
    assert_eq!(work.rate, Some(Bytes(1 << 20)));
    assert_eq!(work.spans, [(Bytes(0), Bytes(1 << 20))]);
}

#[test]
fn it_waits_for_space_and_for_whoever_paused_it() {
    let fake = Fake::new(100);
    let jobs = jobs("");
    jobs.hydrate(&fake, Gfid::random()).unwrap();
    *fake.full.lock().unwrap() = true;
    assert!(jobs.work(&fake, None).is_none());
    let job = only(&jobs);
    assert_eq!(job.state, JobState::Paused);
    assert_eq!(job.reason.as_deref(), Some("it is full"));
    *fake.full.lock().unwrap() = false;
    assert!(jobs.work(&fake, None).is_none(), "not at once");
    resume(&jobs);
    let work = jobs.work(&fake, None).unwrap();
    assert_eq!(only(&jobs).state, JobState::Running);
    // Paused in the middle of a piece.
    let job = jobs.order(1, JobOrder::Pause, |_, _| true).unwrap();
    assert_eq!(job.state, JobState::Paused);
    assert!(jobs.work(&fake, Some(fake.does(&work, 60))).is_none());
    assert_eq!(only(&jobs).state, JobState::Paused);
    resume(&jobs);
    let work = jobs.work(&fake, None).unwrap();
    assert_eq!(work.spans, [(Bytes(0), Bytes(40 * CHUNK))]);
    assert_eq!(only(&jobs).done, Bytes(60 * CHUNK));
    let later = WorkReport {
        stopped: Some(WorkStop::Later("it is being merged".into())),
        ..fake.does(&work, 1)
    };
    assert!(jobs.work(&fake, Some(later)).is_none());
    assert_eq!(only(&jobs).reason.as_deref(), Some("it is being merged"));
    assert_eq!(only(&jobs).done, Bytes(61 * CHUNK));
}

#[test]
fn it_ends_with_its_image() {
    let fake = Fake::new(100);
    let jobs = jobs("");
    let images: Vec<Gfid> = (0..4).map(|_| Gfid::random()).collect();
    for gfid in &images {
        jobs.hydrate(&fake, *gfid).unwrap();
    }
    let work = jobs.work(&fake, None).unwrap();
    jobs.image_is_gone(fake.id, images[0]);
    // Its last report comes too late; the next image has its turn.
    let work = jobs.work(&fake, Some(fake.does(&work, 1))).unwrap();
    assert_eq!(work.gfid, images[1]);
    let gone = WorkReport {
        stopped: Some(WorkStop::Gone),
        ..fake.does(&work, 1)
    };
    let work = jobs.work(&fake, Some(gone)).unwrap();
    assert_eq!(work.gfid, images[2]);
    *fake.shared.lock().unwrap() = None;
    assert!(jobs.work(&fake, None).is_none());
    let states: Vec<JobState> = jobs.all(|_, _| true).iter().map(|job| job.state).collect();
    assert_eq!(states, [JobState::Cancelled; 4]);
    let again = jobs.order(1, JobOrder::Cancel, |_, _| true).unwrap();
    assert_eq!(again.reason.as_deref(), Some("the image was removed"));
}

#[test]
fn what_stays_shared_is_no_endless_loop() {
    let fake = Fake::new(10);
    let jobs = jobs("");
    jobs.hydrate(&fake, Gfid::random()).unwrap();
    let mut work = jobs.work(&fake, None);
    for _ in 0..3 {
        let report = WorkReport {
            job: 1,
            done: Bytes(10 * CHUNK),
            stopped: None,
        };
        assert!(work.is_some());
        work = jobs.work(&fake, Some(report));
    }
    assert!(work.is_none());
    let job = only(&jobs);
    assert_eq!(job.state, JobState::Failed);
    assert!(job.reason.unwrap().starts_with("640 KiB stay shared"));
}

#[test]
fn jobs_outlive_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs");
    let fake = Fake::new(100);
    let first = jobs("");
    first.keep_in(&path).unwrap();
    let images: Vec<Gfid> = (0..3).map(|_| Gfid::random()).collect();
    for gfid in &images {
        first.hydrate(&fake, *gfid).unwrap();
    }
    let work = first.work(&fake, None).unwrap();
    first.order(2, JobOrder::Pause, |_, _| true).unwrap();
    first.order(3, JobOrder::Cancel, |_, _| true).unwrap();
    fake.does(&work, 30);
    fs::write(path.join("9.json.new"), "{").unwrap();
    fs::write(path.join("7.json"), "{").unwrap();

    let second = jobs("");
    second.keep_in(&path).unwrap();
    let states: Vec<JobState> = second
        .all(|_, _| true)
        .iter()
        .map(|job| job.state)
        .collect();
    assert_eq!(
        states,
        [JobState::Queued, JobState::Paused, JobState::Cancelled]
    );
    assert!(!path.join("9.json.new").exists() && path.join("7.json").exists());
    // What the brick did without the server is not done again.
    let late = fake.does(&work, 20);
    let work = second.work(&fake, Some(late)).unwrap();
    assert_eq!(work.spans, [(Bytes(0), Bytes(50 * CHUNK))]);
    let job = &second.all(|_, _| true)[0];
    assert_eq!(
        (job.done, job.total),
        (Bytes(50 * CHUNK), Some(Bytes(100 * CHUNK)))
    );
    assert_eq!(second.list().jobs[&1].record.before, Some(7));
    // A number is not used twice.
    second.hydrate(&fake, Gfid::random()).unwrap();
    assert_eq!(second.all(|_, _| true).last().unwrap().id, 8);
    let waits = &second.all(|_, _| false)[0];
    assert_eq!(waits.state, JobState::Queued);
    assert!(
        waits
            .reason
            .as_ref()
            .unwrap()
            .contains("brick /brick is not running")
    );
}

#[test]
fn history_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::new(1);
    let jobs = jobs("");
    jobs.keep_in(folder.path()).unwrap();
    for _ in 0..HISTORY + 10 {
        let gfid = Gfid::random();
        jobs.hydrate(&fake, gfid).unwrap();
        jobs.image_is_gone(fake.id, gfid);
    }
    let all = jobs.all(|_, _| true);
    assert_eq!((all.len(), all[0].id), (HISTORY, 11));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), HISTORY);
}

#[test]
fn a_disk_is_emptied() {
    let fake = Fake::new(0);
    let jobs = jobs("");
    let pv = |used: u64| bd_lvm::PvReport {
        name: "/dev/sdb".parse().unwrap(),
        vg: "vg0".parse().unwrap(),
        extent_size: Bytes(4 << 20),
        used: bd_model::Extents(used),
        free_elsewhere: bd_model::Extents(50),
        first: None,
    };
    let fault = jobs.evacuate(&fake, &pv(51)).unwrap_err();
    assert_eq!(fault.kind, FaultKind::NoSpace);
    assert!(fault.message.contains("204 MiB lie on it"), "{fault}");
    assert_eq!(jobs.evacuate(&fake, &pv(50)).unwrap(), 1);
    assert_eq!(jobs.evacuate(&fake, &pv(50)).unwrap(), 1, "the same job");
    assert!(jobs.work(&fake, None).is_none(), "no work of a brick's");
    assert!(jobs.next_evacuation(|_, _| false).is_none());
    let next = || jobs.next_evacuation(|_, _| true);
    assert!(next().unwrap().is_new);
    jobs.moved(1, Ok(200 << 20));
    assert!(!next().unwrap().is_new);
    jobs.moved(1, Ok(136 << 20));
    let job = only(&jobs);
    assert_eq!((job.state, job.done), (JobState::Running, Bytes(64 << 20)));
    assert_eq!((job.kind, job.gfid), (JobKind::Evacuate, None));
    jobs.order(1, JobOrder::Pause, |_, _| true).unwrap();
    assert!(next().is_none());
    assert_eq!(
        jobs.disk(1).unwrap(),
        (fake.id, "/dev/sdb".parse().unwrap())
    );
    jobs.moved(1, Ok(72 << 20));
    assert_eq!(only(&jobs).state, JobState::Paused, "the piece it was at");
    resume(&jobs);
    jobs.moved(1, Err(Fault::new(FaultKind::Failed, "no target mirror")));
    assert_eq!(only(&jobs).reason.as_deref(), Some("no target mirror"));
    resume(&jobs);
    jobs.moved(1, Ok(0));
    let job = only(&jobs);
    assert_eq!(job.state, JobState::Done);
    assert_eq!(jobs.disk(1), None);
    assert!(job.reason.unwrap().ends_with("vgreduce vg0 /dev/sdb"));
    assert_eq!(jobs.evacuate(&fake, &pv(0)).unwrap(), 2, "once more");
    let any = next().unwrap();
    assert_eq!(any.most(), Bytes(u64::MAX));
    let seconds = Duration::from_secs;
    assert_eq!(any.rest(64 << 20, seconds(3)), seconds(3));
    let slow = self::jobs("[vg.vg0]\nevacuate_rate = \"2M\"\n");
    slow.evacuate(&fake, &pv(50)).unwrap();
    let slow = slow.next_evacuation(|_, _| true).unwrap();
    assert_eq!(slow.most(), Bytes(8 << 20));
    for (moved, took, rest) in [(8, 1, 3), (8, 3, 3), (64, 2, 30), (0, 1, 1)] {
        assert_eq!(slow.rest(moved << 20, seconds(took)), seconds(rest));
    }
}

#[test]
fn images_are_zeroed_in_turns() {
    let jobs = jobs("[vg.vg0]\nzero_rate = \"1M\"\n");
    let (fake, other) = (Fake::new(0), Fake::new(0));
    let images: Vec<Gfid> = (0..3).map(|_| Gfid::random()).collect();
    let mib = |number: u64| Bytes(number << 20);
    for gfid in &images {
        jobs.zero(&fake, *gfid, mib(10)).unwrap();
    }
    assert_eq!(jobs.zero(&fake, images[0], mib(10)).unwrap(), 1, "the same");
    assert!(jobs.work(&fake, None).is_none(), "no work of a brick's");
    assert_eq!(jobs.images_to_zero(fake.id), images);
    assert_eq!(jobs.bricks_to_zero(|_, _| true), [fake.id]);
    assert!(jobs.bricks_to_zero(|_, _| false).is_empty());
    assert!(jobs.next_to_zero(other.id).is_none());
    let next = || jobs.next_to_zero(fake.id).map(|next| next.id);
    assert_eq!([next(), next(), next(), next()], [1, 2, 3, 1].map(Some));
    // Those that somebody waits for come first.
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| while !jobs.wait_for(2, || None).unwrap() {});
        while jobs.waiting(2) == 0 {
            std::thread::yield_now();
        }
        assert_eq!([next(), next()], [2, 2].map(Some));
        assert_eq!(jobs.zeroed(2, Ok(mib(9))), 1 << 20);
        assert_eq!(jobs.zeroed(2, Ok(Bytes(0))), 9 << 20);
        waits.join().unwrap();
    });
    assert_eq!([next(), next()], [3, 1].map(Some));
    jobs.order(3, JobOrder::Pause, |_, _| true).unwrap();
    assert_eq!([next(), next()], [1, 1].map(Some));
    let gone = Fault::new(FaultKind::NotFound, "no such image");
    jobs.zeroed(1, Err(gone));
    jobs.zeroed(3, Err(Fault::new(FaultKind::Failed, "it is broken")));
    assert_eq!(next(), None);
    let ends: Vec<_> = jobs.all(|_, _| true).into_iter().collect();
    let ends: Vec<_> = ends
        .iter()
        .map(|j| (j.state, j.reason.as_deref()))
        .collect();
    let wanted = [
        (JobState::Cancelled, Some("the image was removed")),
        (JobState::Done, None),
        (JobState::Failed, Some("it is broken")),
    ];
    assert_eq!(ends, wanted);
    let why = |id| jobs.wait_for(id, || None).unwrap_err();
    assert_eq!(
        (why(1).kind, why(3).kind),
        (FaultKind::Busy, FaultKind::Failed)
    );
}

#[test]
fn zeroing_rests_for_clients_and_its_rate() {
    let zeroing = |policy: &str| {
        let (jobs, fake) = (jobs(policy), Fake::new(0));
        jobs.zero(&fake, Gfid::random(), Bytes(1 << 40)).unwrap();
        jobs.next_to_zero(fake.id).unwrap()
    };
    let any = zeroing("");
    assert_eq!(any.most(), Bytes(8 << 20));
    let begun = Instant::now() - Duration::from_secs(10);
    assert_eq!(any.rest(8 << 20, begun, false), Duration::ZERO);
    assert_eq!(any.rest(8 << 20, begun, true), Duration::from_millis(500));
    // A second's worth, in whole blocks.
    let slow = zeroing("[default]\nzero_rate = \"1000000\"\n");
    assert_eq!(slow.most(), Bytes(15 << 16));
    assert_eq!(slow.rest(1_000_000, begun, false), Duration::ZERO);
    let rest = slow.rest(1_000_000, Instant::now(), false);
    assert!(rest <= Duration::from_secs(1));
}
