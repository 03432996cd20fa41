//! What a start of the brick makes of what a crash has left.

use super::*;

#[test]
fn a_fresh_start_settles_creates() {
    let bed = Bed::new();
    let brick = bed.attach(true);
    let [finished, unmarked, with_data, without_stub] = [0; 4].map(|_| Gfid::random());
    for gfid in [finished, unmarked, with_data, without_stub] {
        create(&brick, gfid, false);
    }
    // Made, but the server died before the volume was.
    let no_volume = Gfid::random();
    let intent = Intent::Create { import: false };
    brick.intents.put(no_volume, intent).unwrap();
    bed.stub("finished", finished, Some("thin"));
    let stub = bed.stub("unmarked", unmarked, None);
    File::create(bed.stub("with_data", with_data, None))
        .unwrap()
        .write_all(&[1; 4096])
        .unwrap();
    bed.stub("no_volume", no_volume, None);
    drop(brick);

    let brick = bed.attach(true);
    assert_eq!(brick.intents.all(), []);
    let left: Vec<Gfid> = brick.images().unwrap().iter().map(|i| i.gfid).collect();
    assert_eq!(left.len(), 2);
    assert!(left.contains(&finished) && left.contains(&unmarked));
    let mark = mark_of(&stub).unwrap();
    assert_eq!(mark, Mark::Image(ImageKind::Thin));
    drop(brick);
    assert_eq!(bed.check(), []);
}

#[test]
fn a_fresh_start_settles_imports() {
    let bed = Bed::new();
    let brick = bed.attach(true);
    let [copied, cut, gone] = [0; 3].map(|_| Gfid::random());
    for gfid in [copied, cut, gone] {
        create(&brick, gfid, true);
    }
    for (name, gfid, mark) in [("copied", copied, Some("thin")), ("cut", cut, None)] {
        let path = bed.stub(name, gfid, mark);
        fs::write(path, vec![7; 64 << 10]).unwrap();
    }
    drop(brick);

    let brick = bed.attach(true);
    assert_eq!(brick.intents.all(), []);
    let stub = fs::metadata(bed.dir().join("copied")).unwrap();
    assert_eq!((stub.len(), stub.blocks()), (64 << 10, 0));
    let plain = fs::read(bed.dir().join("cut")).unwrap();
    assert_eq!(plain, vec![7; 64 << 10]);
    let left: Vec<Gfid> = brick.images().unwrap().iter().map(|i| i.gfid).collect();
    assert_eq!(left, [copied]);
}

#[test]
fn a_fresh_start_settles_copies() {
    let bed = Bed::new();
    let brick = bed.attach(true);
    let source = settled(&bed, &brick, "source");
    let [finished, pending, gone] = [0; 3].map(|_| Gfid::random());
    for gfid in [finished, pending, gone] {
        brick
            .copy(source, gfid, None, CopyHow::Snapshot, None)
            .unwrap();
    }
    bed.stub("finished", finished, Some("thin"));
    let pending_stub = bed.stub("pending", pending, Some("pending"));
    drop(brick);

    let brick = bed.attach(true);
    assert_eq!(brick.intents.all(), []);
    assert_eq!(brick.images().unwrap().len(), 2);
    drop(brick);
    assert_eq!(bed.check(), [(FindingKind::Pending, pending)]);
    bed.mark(&pending_stub, "thin");
    assert_eq!(bed.check(), [(FindingKind::NoVolume, pending)]);
}

#[test]
fn merges_are_checked_and_settled() {
    let bed = Bed::new();
    let brick = bed.attach(true);
    let origin = settled(&bed, &brick, "origin");
    let other = settled(&bed, &brick, "other");
    let [snapshot, second] = ["snapshot", "second"].map(|name| {
        let gfid = Gfid::random();
        let how = CopyHow::Snapshot;
        brick.copy(origin, gfid, Some(name), how, None).unwrap();
        bed.stub(name, gfid, Some("thin"));
        brick.commit(gfid).unwrap();
        gfid
    });
    let size = Bytes(12_345);
    for (from, into, size, kind) in [
        (snapshot, snapshot, size, FaultKind::Invalid),
        (snapshot, other, size, FaultKind::Invalid),
        (snapshot, origin, Bytes(5 << 20), FaultKind::Invalid),
        (Gfid::random(), origin, size, FaultKind::NotFound),
    ] {
        assert_eq!(kind_of(brick.merge(from, into, size)), kind);
    }
    brick.mark_for_removal(origin).unwrap();
    assert_eq!(
        kind_of(brick.merge(snapshot, origin, size)),
        FaultKind::Busy
    );
    brick.cancel_removal(origin).unwrap();
    assert!(!brick.settle_merge(snapshot).unwrap());
    assert_eq!(brick.intents.all(), []);

    let merged = brick.merge(snapshot, origin, size).unwrap();
    assert_eq!((merged.gfid, merged.lv.as_str()), (origin, "origin"));
    assert_eq!(brick.merge(snapshot, origin, size).unwrap(), merged);
    assert!(brick.settle_merge(snapshot).unwrap());
    // Nobody can use what the origin was, or take the snapshot's name for one of an image.
    assert_eq!(kind_of(brick.open(snapshot)), FaultKind::NotFound);
    assert_eq!(kind_of(brick.mark_for_removal(snapshot)), FaultKind::Busy);
    assert_eq!(kind_of(brick.remove(snapshot)), FaultKind::Invalid);
    let copied = brick.copy(snapshot, Gfid::random(), None, CopyHow::Clone, None);
    assert_eq!(kind_of(copied), FaultKind::NotFound);
    drop(brick);

    let brick = bed.attach(true);
    assert_eq!(brick.intents.all(), []);
    assert!(!bed.dir().join("snapshot").exists() && !bed.handle(snapshot).exists());
    assert_eq!(bed.dir().join("origin").metadata().unwrap().len(), size.0);

    // A merge that was told done, up to the removal of the volume: what was written since stays.
    let late = Gfid::random();
    let how = CopyHow::Snapshot;
    brick.copy(origin, late, Some("late"), how, None).unwrap();
    bed.stub("late", late, Some("thin"));
    brick.commit(late).unwrap();
    brick.merge(late, origin, size).unwrap();
    fs::remove_file(bed.handle(late)).unwrap();
    fs::remove_file(bed.dir().join("late")).unwrap();
    let written = fs::File::options()
        .write(true)
        .open(bed.dir().join("origin"));
    written.unwrap().set_len(size.0 + 1).unwrap();
    drop(brick);
    let brick = bed.attach(true);
    assert_eq!(brick.intents.all(), []);
    let len = bed.dir().join("origin").metadata().unwrap().len();
    assert_eq!(len, size.0 + 1);

    let left: Vec<_> = brick.images().unwrap().iter().map(|i| i.gfid).collect();
    let mut expected = vec![origin, other, second];
    expected.sort_by_key(|gfid| brick.image(*gfid).unwrap().lv.to_string());
    assert_eq!(left, expected);
    assert_eq!(brick.image(second).unwrap().origin_image, Some(origin));
    drop(brick);
    assert_eq!(bed.check(), []);
}

#[test]
fn a_fresh_start_settles_removals() {
    let bed = Bed::new();
    let brick = bed.attach(true);
    let [named, gone, only_handle, back] =
        ["named", "gone", "only_handle", "back"].map(|name| settled(&bed, &brick, name));
    for gfid in [named, gone, only_handle, back] {
        brick.mark_for_removal(gfid).unwrap();
    }
    // The volume went, and its name came back with a power cut.
    fs::remove_file(bed.store().join("back")).unwrap();
    fs::remove_file(bed.dir().join("gone")).unwrap();
    fs::remove_file(bed.handle(gone)).unwrap();
    fs::remove_file(bed.dir().join("only_handle")).unwrap();
    drop(brick);
    let found = bed.check();
    assert!(
        found.contains(&(FindingKind::NoName, only_handle)),
        "{found:?}"
    );

    let brick = bed.attach(true);
    assert_eq!(brick.intents.all(), []);
    let left: Vec<Gfid> = brick.images().unwrap().iter().map(|i| i.gfid).collect();
    assert_eq!(left, [named]);
    assert!(!bed.handle(only_handle).exists());
    assert!(!bed.handle(back).exists() && !bed.dir().join("back").exists());
    drop(brick);
    assert_eq!(bed.check(), []);
}

#[test]
fn a_fresh_start_settles_what_the_brick_has_noted() {
    let bed = Bed::new();
    let brick = bed.attach(true);
    let gfid = settled(&bed, &brick, "vm1");
    // The brick's process found no server, and this one was there when it wrote the intent.
    fs::write(bd_proto::intent_path(&bed.dir(), gfid), bd_proto::CONDEMNED).unwrap();
    fs::remove_file(bed.dir().join("vm1")).unwrap();
    fs::remove_file(bed.handle(gfid)).unwrap();
    let how = Attach {
        volume: VOLUME,
        fresh: true,
        heals: false,
        epoch: 2,
    };
    brick.attach_again(how, &|_, _| ()).unwrap();
    assert!(!bed.store().join("vm1").exists());
    drop(brick);
    assert_eq!(bed.check(), []);
}
