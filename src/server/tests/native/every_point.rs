//! All fail points, and what a brick does that lives on when the server dies.

use bd_durable::failpoint;
use bd_proto::{FindingKind, Request};

use super::crash::{Before, Ground, survive};
use super::support::findings;

/// Dies at each fail point at least once, and starts again.
pub(crate) fn survive_every_point(ground: &Ground<'_>) {
    for point in failpoint::NAMES {
        survive(ground, point);
        match point {
            "intent.written" | "intent.placed" | "create.intended" | "create.made" => {
                made_by_a_living_brick(ground, point, Before::create);
            }
            "copy.intended" | "copy.made" => made_by_a_living_brick(ground, point, Before::copy),
            _ => {}
        }
    }
}

/// The answer to a create or copy never came, but the brick lives.
fn made_by_a_living_brick(ground: &Ground<'_>, point: &str, request: impl Fn(&Before) -> Request) {
    // It asks again.
    let before = Before::new(ground);
    before.dies(point, &[request(&before)]);
    let commit = Request::Commit {
        brick: before.id,
        gfid: before.new,
    };
    before.bed.stub("new", before.new);
    before.lives(&[request(&before)]);
    before.bed.mark("new");
    before.lives(&[commit]);
    before.starts_clean(point, &[before.old, before.new]).stop();

    // It gives up.
    let before = Before::new(ground);
    before.dies(point, &[request(&before)]);
    before.lives(&[Request::Abort {
        brick: before.id,
        gfid: before.new,
    }]);
    before.starts_clean(point, &[before.old]).stop();
}

/// The brick died after the posix translator had unlinked the handle of the last name, and before
/// the name: the image is kept.
pub(crate) fn survive_a_lost_handle(ground: &Ground<'_>) {
    let before = Before::new(ground);
    let (brick, gfid) = (before.id, before.old);
    before.lives(&[Request::Condemn { brick, gfid }]);
    std::fs::remove_file(before.bed.handle(gfid)).unwrap();
    let server = before.bed.start();
    let found = findings(server.client().call(&before.bed.check()));
    assert!(
        found
            .iter()
            .any(|f| f.kind == FindingKind::NoName && f.gfid == Some(gfid)),
        "{found:?}"
    );
    server.stop();
    before.starts_clean("a lost handle", &[gfid]).stop();
    assert!(before.bed.handle(gfid).exists());
}

/// The brick died after the posix translator had made the name of a new image, and before its
/// handle: the file is an image that can be opened.
pub(crate) fn survive_an_unmade_handle(ground: &Ground<'_>) {
    let before = Before::new(ground);
    let gfid = before.new;
    before.lives(&[before.create()]);
    before.bed.stub("new", gfid);
    std::fs::remove_file(before.bed.handle(gfid)).unwrap();
    before
        .starts_clean("an unmade handle", &[before.old, gfid])
        .stop();
    assert!(before.bed.handle(gfid).exists());
}
