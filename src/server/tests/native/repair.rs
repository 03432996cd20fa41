//! `check` with and without repair, on a brick that is served and on one that is not.

use std::fs::{self, File};

use bd_model::{Gfid, ImageKind};
use bd_proto::{Client, Finding, FindingKind, Reply, Request};

use super::bed;
use super::support::{Bed, brick, findings};

fn check(bed: &Bed, client: &mut Client, repair: bool) -> Vec<Finding> {
    let dir = bed.path("brick");
    findings(client.call(&Request::Check { dir, repair }))
}

fn kinds(findings: &[Finding]) -> Vec<(FindingKind, bool)> {
    findings.iter().map(|f| (f.kind, f.repaired)).collect()
}

/// Makes an image whose file is `path` and whose volume is `name`.
fn image(bed: &Bed, client: &mut Client, path: &str, name: &str) -> Gfid {
    let info = brick(client.call(&bed.attach(false)));
    let gfid = Gfid::random();
    client.call(&bed.create(info.id, gfid, name)).unwrap();
    bed.image(path, gfid);
    client
        .call(&Request::Commit {
            brick: info.id,
            gfid,
        })
        .unwrap();
    gfid
}

#[test]
fn only_what_is_safe_is_repaired() {
    let bed = bed();
    let server = bed.start();
    let mut client = server.client();
    brick(client.call(&bed.init()));
    brick(client.call(&bed.attach(true)));
    fs::create_dir(bed.path("brick").join("store")).unwrap();

    image(&bed, &mut client, "small", "small");
    let store = bed.path("store");
    let small = File::options()
        .write(true)
        .open(bed.path("brick").join("small"))
        .unwrap();
    small.set_len(9 << 20).unwrap();
    image(&bed, &mut client, "kind", "kind");
    bed.mark_as("kind", ImageKind::Thick);
    let lost = image(&bed, &mut client, "lost", "lost");
    fs::remove_file(bed.handle(lost)).unwrap();
    let named = image(&bed, &mut client, "store/named", "other");
    let none = Gfid::random();
    bed.image("none", none);

    use FindingKind::{Kind, Name, NoName, NoStub, NoVolume, TooSmall};
    let wrong = |found: &[Finding]| {
        let mut kinds = kinds(found);
        kinds.sort_by_key(|(kind, _)| format!("{kind:?}"));
        kinds
    };
    let found = check(&bed, &mut client, false);
    let all = [Kind, Name, NoName, NoStub, NoVolume, TooSmall].map(|kind| (kind, false));
    assert_eq!(wrong(&found), all, "{found:#?}");
    for finding in &found {
        let can = matches!(finding.kind, Kind | Name | NoName | TooSmall);
        assert_eq!(finding.message.contains("--repair"), can, "{finding:?}");
        assert_eq!(finding.is_advice(), finding.kind == Name);
    }
    assert_eq!(
        check(&bed, &mut client, false),
        found,
        "a check changes nothing"
    );

    // The lost handle comes back, so that its volume has a stub again.
    let repaired = check(&bed, &mut client, true);
    let mended = [
        (Kind, true),
        (Name, true),
        (NoName, true),
        (NoStub, false),
        (NoVolume, false),
        (TooSmall, true),
    ];
    assert_eq!(wrong(&repaired), mended, "{repaired:#?}");
    assert_eq!(kinds(&check(&bed, &mut client, false)), [(NoVolume, false)]);
    assert_eq!(fs::metadata(store.join("small")).unwrap().len(), 12 << 20);
    assert!(store.join("named").exists() && !store.join("other").exists());
    assert!(bed.handle(lost).exists());
    let info = brick(client.call(&bed.attach(false)));
    let request = Request::Info {
        brick: info.id,
        gfid: named,
    };
    assert!(
        matches!(client.call(&request), Ok(Reply::Image(image)) if image.lv.as_str() == "named")
    );
    server.stop();

    // The same while nobody serves the brick.
    fs::remove_file(bed.handle(lost)).unwrap();
    let server = bed.start();
    let mut client = server.client();
    let found = check(&bed, &mut client, true);
    assert!(
        found.iter().any(|f| f.kind == NoName && f.repaired),
        "{found:#?}"
    );
    assert_eq!(kinds(&check(&bed, &mut client, true)), [(NoVolume, false)]);
    server.stop();
}
