//! gluster-bdd dies at each of its fail points; the next start must make all right again.

use std::cell::RefCell;

use bd_model::{BrickId, Bytes, Gfid};
use bd_proto::{CallError, CopyHow, Reply, Request};

use super::support::{Bed, Server, brick, findings};

/// What bricks are made on.
pub(crate) struct Ground<'a> {
    /// Makes a brick's folders on an engine without images.
    pub(crate) bed: &'a dyn Fn() -> Bed,
    /// Makes a volume of 8 MiB behind the server's back.
    pub(crate) admin: &'a dyn Fn(&Bed, &str),
    /// What the last test has left as it was before, where it takes long to make.
    pub(crate) kept: Option<&'a RefCell<Option<Before>>>,
}

/// What is there before the server dies.
pub(crate) struct Before {
    pub(crate) bed: Bed,
    pub(crate) id: BrickId,
    /// A settled image with the stub `old`.
    pub(crate) old: Gfid,
    /// The gfid of the image that the operation is about.
    pub(crate) new: Gfid,
}

impl Before {
    pub(crate) fn new(ground: &Ground<'_>) -> Before {
        let kept = ground.kept.and_then(RefCell::take);
        if let Some(kept) = kept {
            let new = Gfid::random();
            return Before { new, ..kept };
        }
        let bed = (ground.bed)();
        let server = bed.start();
        let mut client = server.client();
        let id = brick(client.call(&bed.init())).id;
        client.call(&bed.attach(true)).unwrap();
        let old = Gfid::random();
        client.call(&bed.create(id, old, "old")).unwrap();
        bed.image("old", old);
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

    /// It is as it was.
    fn keep(self, ground: &Ground<'_>) {
        if let Some(kept) = ground.kept {
            kept.replace(Some(self));
        }
    }

    /// Does `requests` on a server that is to die at `point` in the last of them.
    pub(crate) fn dies(&self, point: &str, requests: &[Request]) {
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
    pub(crate) fn lives(&self, requests: &[Request]) {
        let server = self.bed.start();
        let mut client = server.client();
        client.call(&self.bed.attach(false)).unwrap();
        for request in requests {
            client.call(request).unwrap();
        }
        server.stop();
    }

    /// Starts the brick again and compares what is there.
    pub(crate) fn starts_clean(&self, point: &str, images: &[Gfid]) -> Server {
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

    pub(crate) fn create(&self) -> Request {
        self.bed.create(self.id, self.new, "new")
    }

    pub(crate) fn copy(&self) -> Request {
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

/// Dies at a fail point, and starts again.
pub(crate) fn survive(ground: &Ground<'_>, point: &str) {
    match point {
        "init.configured" | "init.claimed" => init(ground, point),
        "intent.written" | "intent.placed" | "create.intended" | "create.made" => {
            made(ground, point, Before::create);
        }
        "copy.intended" | "copy.made" => made(ground, point, Before::copy),
        "merge.intended" | "merge.committed" | "merge.swapped" => merge(ground, point),
        "abort.removed" => abort(ground, point),
        "intent.dropping" | "intent.dropped" => commit(ground, point),
        "remove.begun" | "remove.removed" => remove(ground, point),
        "resize.done" | "rename.done" => change(ground, point),
        "adopt.done" => adopt(ground, point),
        "release.released" => release(ground, point),
        "old.tagged" | "old.sized" => take_over(ground, point),
        other => panic!("no test reaches {other}"),
    }
}

fn init(ground: &Ground<'_>, point: &str) {
    let bed = (ground.bed)();
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

/// The answer to a create or copy never came, and the brick died as well: nothing is left.
fn made(ground: &Ground<'_>, point: &str, request: impl Fn(&Before) -> Request) {
    let before = Before::new(ground);
    before.dies(point, &[request(&before)]);
    let server = before.starts_clean(point, &[before.old]);
    let mut client = server.client();
    client.call(&request(&before)).unwrap();
    let abort = Request::Abort {
        brick: before.id,
        gfid: before.new,
    };
    client.call(&abort).unwrap();
    server.stop();
    before.keep(ground);
}

/// The server died in a merge, and so did the brick, or not: both images are what they were, or
/// the origin has the snapshot's size and volume, and the snapshot is gone.
fn merge(ground: &Ground<'_>, point: &str) {
    let size = Bytes(3_000_000);
    let begun = || {
        let before = Before::new(ground);
        before.lives(&[before.copy()]);
        before.bed.image("new", before.new);
        let (brick, snapshot) = (before.id, before.new);
        let commit = Request::Commit {
            brick,
            gfid: snapshot,
        };
        before.lives(&[commit]);
        let merge = Request::Merge {
            brick,
            snapshot,
            origin: before.old,
            size,
        };
        before.dies(point, &[merge]);
        before
    };
    let merged = point != "merge.intended";
    let length = |before: &Before| {
        std::fs::metadata(before.bed.path("brick/old"))
            .unwrap()
            .len()
    };

    let before = begun();
    let left = left_of(&before, merged);
    before.starts_clean(point, &left).stop();
    assert_eq!(before.bed.path("brick/new").exists(), !merged, "{point}");
    assert_eq!(before.bed.handle(before.new).exists(), !merged, "{point}");
    assert_eq!(length(&before), if merged { size.0 } else { 0 }, "{point}");
    if merged {
        before.keep(ground);
    }

    let before = begun();
    let (brick, snapshot) = (before.id, before.new);
    let server = before.bed.start();
    let mut client = server.client();
    client.call(&before.bed.attach(false)).unwrap();
    let settle = Request::SettleMerge { brick, snapshot };
    for _ in 0..2 {
        assert_eq!(
            client.call(&settle).unwrap(),
            Reply::Merged(merged),
            "{point}"
        );
    }
    if merged {
        before.bed.unlink("new", snapshot);
        let remove = Request::Remove {
            brick,
            gfid: snapshot,
        };
        client.call(&remove).unwrap();
    }
    server.stop();
    before.starts_clean(point, &left_of(&before, merged)).stop();
    if merged {
        before.keep(ground);
    }
}

fn left_of(before: &Before, merged: bool) -> Vec<Gfid> {
    match merged {
        true => vec![before.old],
        false => vec![before.old, before.new],
    }
}

fn abort(ground: &Ground<'_>, point: &str) {
    let before = Before::new(ground);
    let abort = Request::Abort {
        brick: before.id,
        gfid: before.new,
    };
    before.dies(point, &[before.create(), abort]);
    before.starts_clean(point, &[before.old]).stop();
    before.keep(ground);
}

fn commit(ground: &Ground<'_>, point: &str) {
    let before = Before::new(ground);
    before.lives(&[before.create()]);
    before.bed.image("new", before.new);
    let commit = Request::Commit {
        brick: before.id,
        gfid: before.new,
    };
    before.dies(point, &[commit]);
    before.starts_clean(point, &[before.old, before.new]).stop();
}

fn remove(ground: &Ground<'_>, point: &str) {
    let before = Before::new(ground);
    let (brick, gfid) = (before.id, before.old);
    before.lives(&[Request::Condemn { brick, gfid }]);
    before.bed.unlink("old", gfid);
    before.dies(point, &[Request::Remove { brick, gfid }]);
    before.starts_clean(point, &[]).stop();
}

fn change(ground: &Ground<'_>, point: &str) {
    let before = Before::new(ground);
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

/// A brick that was not quite released is still one.
fn release(ground: &Ground<'_>, point: &str) {
    let before = Before::new(ground);
    let release = |keep| Request::ReleaseBrick {
        dir: before.bed.path("brick"),
        keep,
    };
    let server = before.bed.start_to_die_at(point);
    let lost = server.client().call(&release(true));
    assert!(matches!(lost, Err(CallError::Lost(_))), "{lost:?}");
    server.died();
    before.starts_clean(point, &[before.old]).stop();

    let server = before.bed.start();
    let mut client = server.client();
    match client.call(&release(false)) {
        Err(CallError::Fault(fault)) => assert!(fault.message.contains("old"), "{fault}"),
        other => panic!("{other:?}"),
    }
    match client.call(&release(true)).unwrap() {
        Reply::Released(released) => assert_eq!(released.kept.len(), 1),
        other => panic!("{other:?}"),
    }
    assert!(client.call(&before.bed.attach(true)).is_err());
    // The image is shown again by the brick that comes next.
    let id = brick(client.call(&before.bed.init())).id;
    assert_ne!(id, before.id);
    client.call(&before.bed.attach(true)).unwrap();
    let info = Request::Info {
        brick: id,
        gfid: before.old,
    };
    client.call(&info).unwrap();
    server.stop();
}

fn adopt(ground: &Ground<'_>, point: &str) {
    let before = Before::new(ground);
    (ground.admin)(&before.bed, "admin");
    let adopt = Request::Adopt {
        brick: before.id,
        lv: "admin".parse().unwrap(),
        gfid: before.new,
    };
    before.dies(point, std::slice::from_ref(&adopt));
    let server = before.bed.start();
    let mut client = server.client();
    client.call(&before.bed.attach(true)).unwrap();
    let foreign = match client.call(&Request::Foreign { brick: before.id }).unwrap() {
        Reply::Foreign(foreign) => foreign,
        other => panic!("{other:?}"),
    };
    assert_eq!(foreign.len(), 1, "{foreign:?}");
    assert_eq!(foreign[0].gfid, Some(before.new));
    before.bed.stub("admin", before.new);
    before.bed.mark_as("admin", foreign[0].kind);
    client.call(&adopt).unwrap();
    assert_eq!(findings(client.call(&before.bed.check())), []);
    server.stop();
}

/// A brick of GlusterFS 5 is taken over by two servers, of which the first one dies after the first image.
fn take_over(ground: &Ground<'_>, point: &str) {
    let bed = (ground.bed)();
    let images = [Gfid::random(), Gfid::random()];
    for (name, gfid) in ["a", "b"].iter().zip(images) {
        (ground.admin)(&bed, &gfid.to_string());
        bed.stub(name, gfid);
        bed.mark_with(name, "lv:8388608");
    }
    let server = bed.start_to_die_at(point);
    let lost = server.client().call(&bed.take_over());
    assert!(matches!(lost, Err(CallError::Lost(_))), "{lost:?}");
    server.died();
    let server = bed.start();
    let mut client = server.client();
    assert!(
        client.call(&bed.attach(true)).is_err(),
        "{point}: served half"
    );
    assert!(
        client.call(&bed.init()).is_err(),
        "{point}: made without its images"
    );
    let taken = match client.call(&bed.take_over()).unwrap() {
        Reply::Adoption(taken) => taken,
        other => panic!("{other:?}"),
    };
    let brick = taken.brick.unwrap_or_else(|| panic!("{:?}", taken.refused));
    client.call(&bed.attach(true)).unwrap();
    assert_eq!(findings(client.call(&bed.check())), [], "{point}");
    let held = match client.call(&Request::List { brick: brick.id }).unwrap() {
        Reply::Images(images) => images,
        other => panic!("{other:?}"),
    };
    for gfid in images {
        let image = held.iter().find(|image| image.gfid == gfid).unwrap();
        assert_eq!(
            (image.lv.to_string(), image.lv_size),
            (gfid.to_string(), Bytes(8 << 20))
        );
        let stub = std::fs::metadata(bed.handle(gfid)).unwrap();
        assert_eq!(stub.len(), 8 << 20);
    }
    server.stop();
}
