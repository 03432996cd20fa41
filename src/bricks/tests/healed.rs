//! A brick whose files other bricks have too.

use super::*;

/// Attaches a brick that heal brings back to what it was.
fn attach(bed: &Bed) -> Brick {
    let how = Attach {
        volume: VOLUME,
        fresh: true,
        heals: true,
        epoch: 1,
    };
    Brick::attach(&bed.dir(), how, &FileEngines::default()).unwrap()
}

#[test]
fn what_has_lost_its_name_waits_and_is_taken_again() {
    let bed = Bed::new();
    let brick = attach(&bed);
    let lost = settled(&bed, &brick, "lost");
    fs::remove_file(bed.handle(lost)).unwrap();
    fs::remove_file(bed.dir().join("lost")).unwrap();
    File::create(bed.store().join("admin")).unwrap();
    assert_eq!(brick.foreign().unwrap(), []);
    let found = brick.check(false).unwrap();
    let found: Vec<_> = found.iter().map(|f| (f.kind, f.is_advice())).collect();
    assert_eq!(
        found,
        [(FindingKind::NotShown, true), (FindingKind::NoStub, false)]
    );

    let taken = brick.retake(lost, Some("found")).unwrap();
    assert_eq!(
        (taken.lv.as_str(), taken.lv_size),
        ("found", Bytes(4 << 20))
    );
    // A crash now, with a stub or without, leaves the volume alone.
    drop(brick);
    let brick = attach(&bed);
    assert!(bed.store().join("found").exists());
    bed.stub("found", lost, Some("thin"));
    assert_eq!(kind_of(brick.abort(lost)), FaultKind::Invalid);
    brick.retake(lost, Some("found")).unwrap();
    // One that was never there, and one that is just being made.
    let new = Gfid::random();
    assert_eq!(kind_of(brick.retake(new, None)), FaultKind::NotFound);
    create(&brick, new, false);
    assert_eq!(kind_of(brick.retake(new, None)), FaultKind::NotFound);
}

#[test]
fn an_image_whose_name_is_gone_can_be_made_anew() {
    let bed = Bed::new();
    let brick = attach(&bed);
    let gfid = settled(&bed, &brick, "vm");
    brick.mark_for_removal(gfid).unwrap();
    // Not as long as it has its name.
    let kind = ImageKind::Thin;
    let early = brick.create(gfid, Some("vm"), kind, Bytes(0), false);
    assert_eq!(kind_of(early), FaultKind::Busy);
    assert_eq!(kind_of(brick.retake(gfid, None)), FaultKind::Busy);
    fs::write(bed.store().join("vm"), "old").unwrap();
    fs::remove_file(bed.handle(gfid)).unwrap();
    fs::remove_file(bed.dir().join("vm")).unwrap();
    brick
        .create(gfid, Some("vm"), kind, Bytes(0), false)
        .unwrap();
    assert!(
        !fs::read(bed.store().join("vm"))
            .unwrap()
            .starts_with(b"old")
    );
    bed.stub("vm", gfid, Some("thin"));
    brick.commit(gfid).unwrap();
    // The removal that was begun comes too late.
    assert_eq!(kind_of(brick.remove(gfid)), FaultKind::Invalid);
    assert_eq!(brick.check(false).unwrap(), []);
}

#[test]
fn a_copy_that_was_cut_short_waits_for_heal_where_there_is_some() {
    let bed = Bed::new();
    let brick = attach(&bed);
    let source = settled(&bed, &brick, "a");
    let [copy, image] = [Gfid::random(), Gfid::random()];
    let stub = bed.stub("b", copy, Some(&format!("pending:{source}")));
    bed.stub("c", image, Some("thin"));
    let words = [copy, image].map(|gfid| bd_proto::pending_path(&bed.dir(), gfid));
    for word in &words {
        File::create(word).unwrap();
    }
    drop(brick);
    drop(attach(&bed));
    assert!(stub.exists(), "heal may make it an image");
    assert!(words[0].exists() && !words[1].exists());
    // No other brick has the files any more.
    drop(bed.attach(true));
    assert!(!stub.exists() && !bed.handle(copy).exists());
    assert!(bed.dir().join("c").exists() && !words[0].exists());
}
