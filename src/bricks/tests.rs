use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;

use bd_engine_file::FileEngines;
use bd_model::{Bytes, ImageKind, ImageMark, xattr};
use bd_proto::{CopyHow, FindingKind};
use rustix::fs::{XattrFlags, lsetxattr};
use tempfile::TempDir;

use super::attributes::{Mark, mark_of};
use super::intent::Intent;
use super::*;

mod healed;
mod settled;

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
    brick.mark_for_removal(gfid).unwrap();
    brick.mark_for_removal(gfid).unwrap();
    // Its name is still there.
    assert_eq!(kind_of(brick.remove(gfid)), FaultKind::Invalid);
    brick.cancel_removal(gfid).unwrap();
    brick.cancel_removal(gfid).unwrap();
    brick.mark_for_removal(gfid).unwrap();
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
        brick.mark_for_removal(gfid).unwrap();
        brick.mark_for_removal(gfid).unwrap();
        if is_late {
            brick.cancel_removal(gfid).unwrap();
        }
        fs::remove_file(bed.handle(gfid)).unwrap();
        fs::remove_file(bed.dir().join(&name)).unwrap();
        // Who came too late to remove it cancels that, and the other has it removed.
        brick.cancel_removal(gfid).unwrap();
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
    assert_eq!(kind_of(brick.mark_for_removal(gfid)), FaultKind::Busy);
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
    assert_eq!(kind_of(brick.mark_for_removal(gfid)), FaultKind::NotFound);
    assert_eq!(kind_of(brick.commit(gfid)), FaultKind::NotFound);
    assert_eq!(brick.intents.all(), []);
    assert_eq!(Intents::load(&bed.dir()).unwrap().all(), []);
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
        brick.mark_for_removal(gone).unwrap();
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
