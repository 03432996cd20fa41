use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;

use bd_engine_file::FileEngines;
use bd_model::{Bytes, ImageKind, ImageMark, xattr};
use bd_proto::{CopyHow, FindingKind};
use rustix::fs::{XattrFlags, lsetxattr};
use tempfile::TempDir;

use super::intent::Intent;
use super::namespace::{Mark, mark_of};
use super::*;

mod healed;

const VOLUME: Uuid = Uuid::from_u128(0x1234);

/// A brick directory and a store, without a posix translator.
struct Bed {
    folder: TempDir,
}

impl Bed {
    fn new() -> Bed {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("brick")).unwrap();
        fs::create_dir(folder.path().join("store")).unwrap();
        let bed = Bed { folder };
        // As an init leaves it; the init itself needs root.
        fs::create_dir_all(Intents::folder(&bed.dir())).unwrap();
        let config = BrickConfig {
            version: BrickConfig::VERSION,
            id: BrickId::random(),
            top: "store".into(),
            adopt: true,
            volume: None,
            vg_uuid: None,
            engine: EngineSpec::File { store: bed.store() },
        };
        config.prepare(&bed.dir()).unwrap();
        BrickConfig::place(&bed.dir()).unwrap();
        bed
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("brick")
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn attach(&self, fresh: bool) -> Brick {
        let how = Attach {
            volume: VOLUME,
            fresh,
            heals: false,
            epoch: 1,
        };
        Brick::attach(&self.dir(), how, &FileEngines::default()).unwrap()
    }

    /// Makes a file with its handle, as the posix translator does.
    fn stub(&self, name: &str, gfid: Gfid, mark: Option<&str>) -> PathBuf {
        let path = self.dir().join(name);
        File::create(&path).unwrap();
        let handle = self.handle(gfid);
        fs::create_dir_all(handle.parent().unwrap()).unwrap();
        fs::hard_link(&path, &handle).unwrap();
        if let Some(mark) = mark {
            self.mark(&path, mark);
        }
        path
    }

    fn mark(&self, path: &Path, mark: &str) {
        lsetxattr(path, xattr::IMAGE, mark.as_bytes(), XattrFlags::empty()).unwrap();
    }

    fn handle(&self, gfid: Gfid) -> PathBuf {
        Namespace::new(&self.dir()).handle(gfid)
    }

    fn check(&self) -> Vec<(FindingKind, Gfid)> {
        check(&self.dir(), &FileEngines::default(), false)
            .unwrap()
            .into_iter()
            .map(|finding| (finding.kind, finding.gfid.unwrap()))
            .collect()
    }
}

fn create(brick: &Brick, gfid: Gfid, import: bool) {
    let size = Bytes(1);
    brick
        .create(gfid, Some("vm"), ImageKind::Thin, size, import)
        .unwrap();
}

/// An image as it is when nothing is under way.
fn settled(bed: &Bed, brick: &Brick, name: &str) -> Gfid {
    let gfid = Gfid::random();
    let kind = ImageKind::Thin;
    brick
        .create(gfid, Some(name), kind, Bytes(1), false)
        .unwrap();
    bed.stub(name, gfid, Some("thin"));
    brick.commit(gfid).unwrap();
    gfid
}

fn kind_of<T: std::fmt::Debug>(result: Result<T, Fault>) -> FaultKind {
    result.unwrap_err().kind
}

#[test]
fn an_image_lives_and_goes() {
    let bed = Bed::new();
    let brick = bed.attach(true);
    let gfid = settled(&bed, &brick, "vm1");
    assert!(bed.store().join("vm1").exists());
    assert_eq!(brick.intents.all(), []);
    assert_eq!(brick.image(gfid).unwrap().lv.as_str(), "vm1");

    assert_eq!(kind_of(brick.remove(gfid)), FaultKind::Invalid);
    assert_eq!(kind_of(brick.abort(gfid)), FaultKind::Invalid);
    brick.condemn(gfid).unwrap();
    brick.condemn(gfid).unwrap();
    // Its name is still there.
    assert_eq!(kind_of(brick.remove(gfid)), FaultKind::Invalid);
    brick.spare(gfid).unwrap();
    brick.spare(gfid).unwrap();
    brick.condemn(gfid).unwrap();
    fs::remove_file(bed.handle(gfid)).unwrap();
    fs::remove_file(bed.dir().join("vm1")).unwrap();
    brick.remove(gfid).unwrap();
    brick.remove(gfid).unwrap();
    assert!(!bed.store().join("vm1").exists());
    drop(brick);
    assert_eq!(bed.check(), []);
}

#[test]
fn two_clients_remove_one_name() {
    let bed = Bed::new();
    let brick = bed.attach(true);
    for (round, is_late) in [false, true].into_iter().enumerate() {
        let name = format!("vm{round}");
        let gfid = settled(&bed, &brick, &name);
        brick.condemn(gfid).unwrap();
        brick.condemn(gfid).unwrap();
        if is_late {
            brick.spare(gfid).unwrap();
        }
        fs::remove_file(bed.handle(gfid)).unwrap();
        fs::remove_file(bed.dir().join(&name)).unwrap();
        // Who came too late to remove it spares it, and the other has it removed.
        brick.spare(gfid).unwrap();
        brick.remove(gfid).unwrap();
        assert!(!bed.store().join(&name).exists());
        assert_eq!(brick.intents.all(), []);
    }
}

#[test]
fn asking_again_after_a_lost_answer_is_no_error() {
    let bed = Bed::new();
    let brick = bed.attach(true);
    let (gfid, copy) = (Gfid::random(), Gfid::random());
    create(&brick, gfid, false);
    let again = brick.create(gfid, Some("vm"), ImageKind::Thin, Bytes(5 << 20), false);
    assert_eq!(again.unwrap().lv_size, Bytes(8 << 20));
    let other = brick.create(gfid, Some("vm"), ImageKind::Thick, Bytes(1), false);
    assert_eq!(kind_of(other), FaultKind::Exists);
    assert_eq!(kind_of(brick.condemn(gfid)), FaultKind::Busy);
    brick.commit(gfid).unwrap();
    brick.commit(gfid).unwrap();
    let late = brick.create(gfid, Some("vm"), ImageKind::Thin, Bytes(1), false);
    assert_eq!(kind_of(late), FaultKind::Exists);

    for _ in 0..2 {
        brick
            .copy(gfid, copy, Some("copy"), CopyHow::Clone, None)
            .unwrap();
    }
    let other = brick.copy(gfid, copy, None, CopyHow::Snapshot, None);
    assert_eq!(kind_of(other), FaultKind::Busy);
    brick.abort(copy).unwrap();
    brick.abort(copy).unwrap();
    assert_eq!(brick.images().unwrap().len(), 1);
    assert_eq!(brick.intents.all(), []);
}

#[test]
fn what_fails_leaves_no_intent() {
    let bed = Bed::new();
    let brick = bed.attach(true);
    let gfid = Gfid::random();
    let huge = brick.create(gfid, None, ImageKind::Thin, Bytes(u64::MAX), false);
    assert_eq!(kind_of(huge), FaultKind::TooLarge);
    let none = brick.copy(Gfid::random(), gfid, None, CopyHow::Clone, None);
    assert_eq!(kind_of(none), FaultKind::NotFound);
    assert_eq!(kind_of(brick.condemn(gfid)), FaultKind::NotFound);
    assert_eq!(kind_of(brick.commit(gfid)), FaultKind::NotFound);
    assert_eq!(brick.intents.all(), []);
    assert_eq!(Intents::load(&bed.dir()).unwrap().all(), []);
}

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
    let mark = namespace::mark_of(&stub).unwrap();
    assert_eq!(mark, namespace::Mark::Image(ImageKind::Thin));
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
    brick.condemn(origin).unwrap();
    assert_eq!(
        kind_of(brick.merge(snapshot, origin, size)),
        FaultKind::Busy
    );
    brick.spare(origin).unwrap();
    assert!(!brick.settle_merge(snapshot).unwrap());
    assert_eq!(brick.intents.all(), []);

    let merged = brick.merge(snapshot, origin, size).unwrap();
    assert_eq!((merged.gfid, merged.lv.as_str()), (origin, "origin"));
    assert_eq!(brick.merge(snapshot, origin, size).unwrap(), merged);
    assert!(brick.settle_merge(snapshot).unwrap());
    // Nobody can use what the origin was, or take the snapshot's name for one of an image.
    assert_eq!(kind_of(brick.open(snapshot)), FaultKind::NotFound);
    assert_eq!(kind_of(brick.condemn(snapshot)), FaultKind::Busy);
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
        brick.condemn(gfid).unwrap();
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

#[test]
fn a_serving_brick_keeps_what_is_under_way() {
    let bed = Bed::new();
    let brick = bed.attach(true);
    let gfid = Gfid::random();
    create(&brick, gfid, false);
    drop(brick);
    let brick = bed.attach(false);
    assert_eq!(
        brick.intents.all(),
        [(gfid, Intent::Create { import: false })]
    );
    bed.stub("vm", gfid, Some("thin"));
    // A marked stub is an image: it cannot be aborted any more.
    assert_eq!(kind_of(brick.abort(gfid)), FaultKind::Invalid);
    brick.commit(gfid).unwrap();
}

#[test]
fn requests_of_an_earlier_process_are_refused() {
    let bed = Bed::new();
    let brick = bed.attach(true);
    drop(brick.enter(1).unwrap());
    let how = Attach {
        volume: VOLUME,
        fresh: true,
        heals: false,
        epoch: 5,
    };
    brick.attach_again(how, &|_, _| ()).unwrap();
    assert_eq!(kind_of(brick.enter(4)), FaultKind::NotAttached);
    drop(brick.enter(5).unwrap());
    let how = Attach {
        fresh: false,
        heals: false,
        epoch: 6,
        ..how
    };
    brick.attach_again(how, &|_, _| ()).unwrap();
    drop(brick.enter(5).unwrap());
}

#[test]
fn foreign_volumes_are_told_and_adopted() {
    let bed = Bed::new();
    let brick = bed.attach(true);
    let image = settled(&bed, &brick, "image");
    let lost = settled(&bed, &brick, "lost");
    fs::remove_file(bed.handle(lost)).unwrap();
    fs::remove_file(bed.dir().join("lost")).unwrap();
    create(&brick, Gfid::random(), false);
    File::create(bed.store().join("admin"))
        .unwrap()
        .set_len(12345)
        .unwrap();
    let foreign = brick.foreign().unwrap();
    let names: Vec<_> = foreign.iter().map(|f| (f.lv.as_str(), f.gfid)).collect();
    assert_eq!(names, [("admin", None), ("lost", Some(lost))]);
    assert_eq!(foreign[0].size, Bytes(12345));

    let gfid = Gfid::random();
    let taken = brick.adopt(&"admin".parse().unwrap(), image);
    assert_eq!(kind_of(taken), FaultKind::Exists);
    brick.adopt(&"admin".parse().unwrap(), gfid).unwrap();
    assert_eq!(brick.image(gfid).unwrap().lv_size, Bytes(4 << 20));
    bed.stub("admin", gfid, Some("thin"));
    assert_eq!(brick.foreign().unwrap().len(), 1);
}

#[test]
fn the_check_finds_what_is_wrong() {
    let bed = Bed::new();
    let brick = bed.attach(true);
    let [small, kind, stubless] =
        ["small", "kind", "stubless"].map(|name| settled(&bed, &brick, name));
    drop(brick);
    assert_eq!(bed.check(), []);
    File::options()
        .write(true)
        .open(bed.dir().join("small"))
        .unwrap()
        .set_len((4 << 20) + 1)
        .unwrap();
    let thick = ImageMark::Image {
        kind: ImageKind::Thick,
        size: None,
    };
    bed.mark(&bed.dir().join("kind"), &thick.to_string());
    fs::remove_file(bed.handle(stubless)).unwrap();
    fs::remove_file(bed.dir().join("stubless")).unwrap();
    let (no_volume, odd, plain) = (Gfid::random(), Gfid::random(), Gfid::random());
    bed.stub("no_volume", no_volume, Some("lv"));
    bed.stub("odd", odd, Some("what"));
    bed.stub("plain", plain, None);
    let mut found = bed.check();
    found.sort_by_key(|(kind, _)| format!("{kind:?}"));
    assert_eq!(
        found,
        [
            (FindingKind::Kind, kind),
            (FindingKind::Mark, odd),
            (FindingKind::NoStub, stubless),
            (FindingKind::NoVolume, no_volume),
            (FindingKind::TooSmall, small),
        ]
    );
}

#[test]
fn a_brick_belongs_to_one_volume_and_one_server() {
    let bed = Bed::new();
    let brick = bed.attach(true);
    let how = Attach {
        volume: VOLUME,
        fresh: true,
        heals: false,
        epoch: 1,
    };
    let second = Brick::attach(&bed.dir(), how, &FileEngines::default());
    assert_eq!(kind_of(second), FaultKind::InUse);
    drop(brick);
    let other = Attach {
        volume: Uuid::from_u128(9),
        ..how
    };
    let second = Brick::attach(&bed.dir(), other, &FileEngines::default());
    assert_eq!(kind_of(second), FaultKind::InUse);
    assert_eq!(
        describe(&bed.dir(), &FileEngines::default())
            .unwrap()
            .volume,
        Some(VOLUME)
    );
}

/// The volume's own tags say what the mark has said.
#[test]
fn unreadable_marks_are_found_and_mended() {
    let bed = Bed::new();
    let brick = bed.attach(true);
    let (image, lost) = (settled(&bed, &brick, "vm1"), Gfid::random());
    let path = bed.dir().join("vm1");
    lsetxattr(&path, xattr::IMAGE, b"\xc3\x28", XattrFlags::empty()).unwrap();
    let without = bed.stub("lost", lost, Some("other"));
    let kinds = |found: &[bd_proto::Finding]| -> Vec<_> {
        found
            .iter()
            .map(|it| (it.gfid.unwrap(), it.repaired))
            .collect()
    };
    let found = brick.check(true).unwrap();
    assert_eq!(kinds(&found).len(), 2, "{found:?}");
    assert!(kinds(&found).contains(&(image, true)), "{found:?}");
    assert!(kinds(&found).contains(&(lost, false)), "{found:?}");
    assert!(found.iter().all(|it| it.kind == FindingKind::Mark));
    assert_eq!(mark_of(&path).unwrap(), Mark::Image(ImageKind::Thin));
    fs::remove_file(bed.handle(lost)).unwrap();
    fs::remove_file(without).unwrap();
    assert_eq!(brick.check(false).unwrap(), []);
}

#[test]
fn a_brick_that_never_starts_again_ends_what_it_was_at() {
    for is_attached in [true, false] {
        let bed = Bed::new();
        let brick = bed.attach(true);
        let gone = settled(&bed, &brick, "gone");
        // Its last name went while it was open, and then its volume has lost the brick.
        brick.condemn(gone).unwrap();
        fs::remove_file(bed.dir().join("gone")).unwrap();
        fs::remove_file(bed.handle(gone)).unwrap();
        let released = if is_attached {
            brick.release(false)
        } else {
            drop(brick);
            release(&bed.dir(), false, &FileEngines::default())
        };
        assert_eq!(released.unwrap().kept, []);
        assert!(!bed.store().join("gone").exists());
    }
}
