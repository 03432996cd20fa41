//! gluster-bdd dies at each of its fail points; the next start must make all right again.

use super::support::{Bed, Server, brick, create, findings};
use bd_model::{BrickId, Bytes, Gfid};
use bd_proto::{CallError, CopyHow, Foreign, Reply, Request};
use bd_server::failpoint;

/// What is there before the server dies.
struct Before {
    bed: Bed,
    id: BrickId,
    /// A settled image with the stub `old`.
    old: Gfid,
    /// The gfid of the image that the operation is about.
    new: Gfid,
}

impl Before {
    fn new() -> Before {
        let bed = Bed::new();
        let server = bed.start();
        let mut client = server.client();
        let id = brick(client.call(&bed.init())).id;
        client.call(&bed.attach(true)).unwrap();
        let old = Gfid::random();
        client.call(&create(id, old, "old")).unwrap();
        bed.stub("old", old, Some("thin"));
        let commit = Request::Commit {
            brick: id,
            gfid: old,
        };
        client.call(&commit).unwrap();
        server.stop();
        Before {
            bed,
            id,
            old,
            new: Gfid::random(),
        }
    }

    /// Does `requests` on a server that is to die at `point` in the last of them.
    fn dies(&self, point: &str, requests: &[Request]) {
        let server = self.bed.start_to_die_at(point);
        let mut client = server.client();
        client.call(&self.bed.attach(false)).unwrap();
        for (index, request) in requests.iter().enumerate() {
            match client.call(request) {
                Ok(_) => assert!(index + 1 < requests.len(), "{point} was not reached"),
                Err(CallError::Lost(_)) => {
                    assert_eq!(index + 1, requests.len(), "{point} was reached too early");
                }
                Err(other) => panic!("{point}: {other}"),
            }
        }
        server.died();
    }

    /// Does `requests` on a server that lives.
    fn lives(&self, requests: &[Request]) {
        let server = self.bed.start();
        let mut client = server.client();
        client.call(&self.bed.attach(false)).unwrap();
        for request in requests {
            client.call(request).unwrap();
        }
        server.stop();
    }

    /// Starts the brick again and compares what is there.
    fn starts_clean(&self, point: &str, images: &[Gfid]) -> Server {
        let server = self.bed.start();
        let mut client = server.client();
        client.call(&self.bed.attach(true)).unwrap();
        assert_eq!(findings(client.call(&self.bed.check())), [], "{point}");
        let mut found = match client.call(&Request::List { brick: self.id }).unwrap() {
            Reply::Images(images) => images.iter().map(|image| image.gfid).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        let mut images = images.to_vec();
        found.sort();
        images.sort();
        assert_eq!(found, images, "{point}");
        server
    }

    fn create(&self) -> Request {
        create(self.id, self.new, "new")
    }

    fn copy(&self) -> Request {
        Request::Copy {
            brick: self.id,
            source: self.old,
            dest: self.new,
            name: Some("new".into()),
            how: CopyHow::Snapshot,
            cow_size: None,
        }
    }
}

#[test]
fn every_point_is_survived() {
    for point in failpoint::NAMES {
        match point {
            "init.configured" | "init.claimed" => init(point),
            "intent.written" | "intent.placed" | "create.intended" | "create.made" => {
                made(point, Before::create);
            }
            "copy.intended" | "copy.made" => made(point, Before::copy),
            "abort.removed" => abort(point),
            "intent.dropping" | "intent.dropped" => commit(point),
            "remove.begun" | "remove.removed" => remove(point),
            "resize.done" | "rename.done" => change(point),
            "adopt.done" => adopt(point),
            other => panic!("no test reaches {other}"),
        }
    }
}

fn init(point: &str) {
    let bed = Bed::new();
    let server = bed.start_to_die_at(point);
    let lost = server.client().call(&bed.init());
    assert!(matches!(lost, Err(CallError::Lost(_))), "{lost:?}");
    server.died();
    let server = bed.start();
    let mut client = server.client();
    brick(client.call(&bed.init()));
    client.call(&bed.attach(true)).unwrap();
    assert_eq!(findings(client.call(&bed.check())), []);
    server.stop();
}

/// The answer to a create or copy never came.
fn made(point: &str, request: impl Fn(&Before) -> Request) {
    // The brick died as well: nothing is left of it.
    let before = Before::new();
    before.dies(point, &[request(&before)]);
    let server = before.starts_clean(point, &[before.old]);
    server.client().call(&request(&before)).unwrap();
    server.stop();

    // The brick lives and asks again.
    let before = Before::new();
    before.dies(point, &[request(&before)]);
    let commit = Request::Commit {
        brick: before.id,
        gfid: before.new,
    };
    before.bed.stub("new", before.new, None);
    before.lives(&[request(&before)]);
    let mark = "thin";
    let path = before.bed.path("brick").join("new");
    rustix::fs::lsetxattr(
        path,
        bd_model::xattr::IMAGE,
        mark.as_bytes(),
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    before.lives(&[commit]);
    before.starts_clean(point, &[before.old, before.new]).stop();

    // The brick lives and gives up.
    let before = Before::new();
    before.dies(point, &[request(&before)]);
    before.lives(&[Request::Abort {
        brick: before.id,
        gfid: before.new,
    }]);
    before.starts_clean(point, &[before.old]).stop();
}

fn abort(point: &str) {
    let before = Before::new();
    let abort = Request::Abort {
        brick: before.id,
        gfid: before.new,
    };
    before.dies(point, &[before.create(), abort]);
    before.starts_clean(point, &[before.old]).stop();
}

fn commit(point: &str) {
    let before = Before::new();
    before.lives(&[before.create()]);
    before.bed.stub("new", before.new, Some("thin"));
    let commit = Request::Commit {
        brick: before.id,
        gfid: before.new,
    };
    before.dies(point, &[commit]);
    before.starts_clean(point, &[before.old, before.new]).stop();
}

fn remove(point: &str) {
    let before = Before::new();
    let (brick, gfid) = (before.id, before.old);
    before.lives(&[Request::Condemn { brick, gfid }]);
    before.bed.unlink("old", gfid);
    before.dies(point, &[Request::Remove { brick, gfid }]);
    before.starts_clean(point, &[]).stop();
}

fn change(point: &str) {
    let before = Before::new();
    let (brick, gfid) = (before.id, before.old);
    let request = match point {
        "resize.done" => Request::Resize {
            brick,
            gfid,
            size: Bytes(9 << 20),
        },
        _ => Request::Rename {
            brick,
            gfid,
            name: Some("other".into()),
        },
    };
    before.dies(point, std::slice::from_ref(&request));
    let server = before.starts_clean(point, &[gfid]);
    let mut client = server.client();
    client.call(&before.bed.attach(false)).unwrap();
    client.call(&request).unwrap();
    server.stop();
}

fn adopt(point: &str) {
    let before = Before::new();
    std::fs::write(before.bed.path("store").join("admin"), "bytes").unwrap();
    let adopt = Request::Adopt {
        brick: before.id,
        lv: "admin".parse().unwrap(),
        gfid: before.new,
    };
    before.dies(point, std::slice::from_ref(&adopt));
    let server = before.bed.start();
    let mut client = server.client();
    client.call(&before.bed.attach(true)).unwrap();
    match client.call(&Request::Foreign { brick: before.id }).unwrap() {
        Reply::Foreign(foreign) => assert!(
            matches!(foreign.as_slice(), [Foreign { gfid, .. }] if *gfid == Some(before.new)),
            "{foreign:?}"
        ),
        other => panic!("{other:?}"),
    }
    before.bed.stub("admin", before.new, Some("thin"));
    client.call(&adopt).unwrap();
    assert_eq!(findings(client.call(&before.bed.check())), []);
    server.stop();
}
