use std::fs;
use std::path::PathBuf;

use bd_bricks::{BrickConfig, FOLDER};
use bd_model::Gfid;
use bd_proto::{EngineSpec, Reply, Request};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::engines::Installed;

/// Folders with a brick as `gluster-bd brick init` leaves it; the init itself needs root.
struct Bed {
    folder: TempDir,
    id: BrickId,
}

impl Bed {
    fn new() -> Bed {
        let folder = tempfile::tempdir().unwrap();
        let bed = Bed {
            id: BrickId::random(),
            folder,
        };
        fs::create_dir(bed.path("store")).unwrap();
        bed.make_brick("brick", bed.id);
        bed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn make_brick(&self, name: &str, id: BrickId) {
        let dir = self.path(name);
        fs::create_dir_all(dir.join(FOLDER).join("intents")).unwrap();
        let store = self.path("store").canonicalize().unwrap();
        let config = BrickConfig {
            version: BrickConfig::VERSION,
            id,
            top: "store".into(),
            adopt: true,
            volume: None,
            vg_uuid: None,
            engine: EngineSpec::File { store },
        };
        config.prepare(&dir).unwrap();
        BrickConfig::place(&dir).unwrap();
    }

    fn attach(&self, name: &str) -> Request {
        Request::AttachBrick {
            dir: self.path(name),
            volume: Uuid::from_u128(1),
            fresh: true,
            heals: false,
        }
    }

    fn space(&self) -> Request {
        Request::Space { brick: self.id }
    }
}

fn service() -> Service {
    Service::new(Box::new(Installed::default()))
}

fn kind(answer: &Answer) -> FaultKind {
    match &answer.reply {
        Reply::Fault(fault) => fault.kind,
        other => panic!("{other:?}"),
    }
}

fn is_brick(answer: &Answer) -> bool {
    matches!(answer.reply, Reply::Brick(_))
}

#[test]
fn a_copy_of_a_brick_is_not_that_brick() {
    let bed = Bed::new();
    let service = service();
    let caller = service.caller();
    assert!(is_brick(&service.answer(&caller, bed.attach("brick"))));
    bed.make_brick("copy", bed.id);
    let answer = service.answer(&caller, bed.attach("copy"));
    assert_eq!(kind(&answer), FaultKind::InUse);
    assert!(is_brick(&service.answer(&caller, bed.attach("brick"))));
}

#[test]
fn a_brick_may_move() {
    let bed = Bed::new();
    let service = service();
    let caller = service.caller();
    assert!(is_brick(&service.answer(&caller, bed.attach("brick"))));
    fs::rename(bed.path("brick"), bed.path("moved")).unwrap();
    assert!(is_brick(&service.answer(&caller, bed.attach("moved"))));
    let answer = service.answer(&caller, bed.space());
    assert!(matches!(answer.reply, Reply::Space(_)), "{answer:?}");
}

#[test]
fn queued_requests_of_a_dead_brick_process_are_refused() {
    let bed = Bed::new();
    let service = service();
    let (old, new) = (service.caller(), service.caller());
    assert!(is_brick(&service.answer(&old, bed.attach("brick"))));
    assert!(is_brick(&service.answer(&new, bed.attach("brick"))));
    let create = Request::Create {
        brick: bed.id,
        gfid: Gfid::random(),
        name: None,
        kind: bd_model::ImageKind::Thin,
        size: bd_model::Bytes(1),
        import: false,
    };
    let answer = service.answer(&old, create.clone());
    assert_eq!(kind(&answer), FaultKind::NotAttached);
    let later = service.caller();
    for caller in [&new, &later] {
        let answer = service.answer(caller, bed.space());
        assert!(matches!(answer.reply, Reply::Space(_)), "{answer:?}");
    }
    // A serving brick attaches again on the connection that was refused.
    let again = match bed.attach("brick") {
        Request::AttachBrick { dir, volume, .. } => Request::AttachBrick {
            dir,
            volume,
            fresh: false,
            heals: false,
        },
        other => panic!("{other:?}"),
    };
    assert!(is_brick(&service.answer(&old, again)));
    let answer = service.answer(&old, create);
    assert!(matches!(answer.reply, Reply::Image(_)), "{answer:?}");
}

/// What was closed for new volumes must be opened again, and that takes the brick's group.
#[test]
fn an_evacuation_is_cancelled_where_its_brick_runs() {
    let bed = Bed::new();
    let jobs = bed.path("jobs");
    fs::create_dir(&jobs).unwrap();
    let record = serde_json::json!({
        "id": 1, "kind": "evacuate", "state": "running", "held": false, "brick": bed.id,
        "dir": bed.path("brick"), "vg": "vg0", "gfid": null, "name": "/dev/sdb", "done": 0,
        "total": 4_194_304, "before": null, "created": 1, "started": 1, "ended": null,
        "reason": null,
    });
    fs::write(jobs.join("1.json"), record.to_string()).unwrap();
    let service = service();
    service.keep_jobs_in(&jobs).unwrap();
    let caller = service.caller();
    let cancel = || {
        let order = Request::OrderJob {
            id: 1,
            order: JobOrder::Cancel,
        };
        service.answer(&caller, order)
    };
    assert_eq!(kind(&cancel()), FaultKind::NotAttached);
    assert!(service.move_piece().is_none());
    assert!(is_brick(&service.answer(&caller, bed.attach("brick"))));
    let is_cancelled = |answer: &Answer| match &answer.reply {
        Reply::Job(job) => job.state == bd_proto::JobState::Cancelled,
        other => panic!("{other:?}"),
    };
    assert!(is_cancelled(&cancel()));
    assert!(is_cancelled(&cancel()), "asking twice is no error");
    assert!(service.move_piece().is_none());
}
