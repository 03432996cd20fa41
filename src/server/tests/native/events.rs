//! Events, as a notifier gets them.

use std::net::UdpSocket;
use std::time::Duration;

use bd_model::{Bytes, Gfid};
use bd_proto::{JobState, Reply, Request, WorkReport, WorkStop};

use super::bed;
use super::logged::Logged;
use super::refused::refused;
use super::support::brick;

#[test]
fn a_failed_job_is_told() {
    let bed = bed();
    let server = Logged::start(&bed, &["--events", "off"]);
    let id = brick(server.client().call(&bed.init())).id;
    server.stop();
    // The file engine makes no jobs: this one is of an earlier server.
    let record = serde_json::json!({
        "id": 1, "kind": "hydrate", "state": "queued", "held": false, "brick": id,
        "dir": bed.path("brick"), "vg": "vg0", "gfid": Gfid::random(), "name": "/vg0/clone",
        "done": 0, "total": null, "before": null, "created": 1, "started": null, "ended": null,
        "reason": null,
    });
    std::fs::write(bed.path("state").join("jobs/1.json"), record.to_string()).unwrap();

    let notifier = UdpSocket::bind("127.0.0.1:0").unwrap();
    notifier
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let address = notifier.local_addr().unwrap().to_string();
    let server = Logged::start(&bed, &["--events", &address]);
    let mut client = server.client();
    brick(client.call(&bed.attach(true)));
    let report = WorkReport {
        job: 1,
        done: Bytes(0),
        stopped: Some(WorkStop::Failed("the disk has gone; key=value".to_owned())),
    };
    let request = Request::Work {
        brick: id,
        report: Some(report),
    };
    client.call(&request).unwrap();
    let mut bytes = [0; 1000];
    let len = notifier.recv(&mut bytes).unwrap();
    let text = std::str::from_utf8(&bytes[..len]).unwrap();
    let (at, rest) = text.split_once(' ').unwrap();
    assert!(at.parse::<u64>().unwrap() > 1_700_000_000, "{text}");
    let expected = format!(
        "140 source=gluster-bdd;kind=job_failed;vg=vg0;job=1;job_kind=hydrate;brick={};\
         name=/vg0/clone;reason=the disk has gone, key:value",
        bed.path("brick").display()
    );
    assert_eq!(rest, expected);
    let Reply::Jobs(jobs) = client.call(&Request::Jobs).unwrap() else {
        panic!("no jobs")
    };
    assert_eq!(jobs[0].state, JobState::Failed);
    // Nobody listens any more, and nobody minds.
    drop(notifier);
    client.call(&bed.check()).unwrap();
    server.stop();
}

#[test]
fn a_target_that_is_none_is_refused() {
    let bed = bed();
    refused(
        &bed,
        &["--events", "nowhere"],
        "as in 127.0.0.1:55555, or off",
    );
}
