//! Bricks of the BD translator of GlusterFS 3.5 to 5: what is said of them, and what becomes of them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bd_bricks::{Attach, Brick, check, init, take_over};
use bd_model::{Bytes, Gfid, ImageKind, xattr};
use bd_proto::{Adoption, FaultKind, OldImage, OldStep};
use bd_server::engines::Installed;
use rustix::fs::{XattrFlags, lgetxattr, listxattr, lsetxattr};
use uuid::Uuid;

use super::support::Bed;

const MIB: u64 = 1 << 20;

/// A file of the store, as an LV that GlusterFS 5 has made.
fn volume(bed: &Bed, gfid: Gfid, mib: u64) -> PathBuf {
    let path = bed.path("store").join(gfid.to_string());
    let file = File::create(&path).unwrap();
    file.set_len(mib * MIB).unwrap();
    file.write_all_at(gfid.as_bytes(), mib * MIB - 16).unwrap();
    path
}

/// An image as GlusterFS 5 has it.
fn image(bed: &Bed, name: &str, mark: &str, mib: u64) -> Gfid {
    let gfid = Gfid::random();
    bed.stub(name, gfid);
    bed.mark_with(name, mark);
    volume(bed, gfid, mib);
    gfid
}

fn adopt(bed: &Bed, really: bool) -> Adoption {
    take_over(&bed.spec(), really, &Installed::default()).unwrap()
}

fn told<'a>(adoption: &'a Adoption, path: &str) -> &'a OldImage {
    let mut images = adoption.images.iter();
    images.find(|image| image.path == path).unwrap()
}

fn unfit(adoption: &Adoption, path: &str, words: &str) {
    let image = told(adoption, path);
    let why = image.unfit.as_deref().unwrap_or("it fits");
    assert!(why.contains(words), "{path}: {why}");
}

/// All there is below a folder: sizes, times, links, and all attributes.
fn state(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let about = path.symlink_metadata().unwrap();
            let mut told = format!(
                "{} {} {} {}.{}",
                about.len(),
                about.nlink(),
                about.mtime(),
                about.ctime(),
                about.ctime_nsec()
            );
            let mut names = [0_u8; 4096];
            let len = listxattr(&path, &mut names[..]).unwrap();
            for name in names[..len].split(|b| *b == 0).filter(|n| !n.is_empty()) {
                let mut value = [0_u8; 256];
                let len = lgetxattr(&path, name, &mut value[..]).unwrap();
                told.push_str(&format!(" {name:?}={:?}", &value[..len]));
            }
            if about.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path, told);
        }
    }
    found
}

#[test]
fn what_does_not_fit_is_told_and_nothing_is_changed() {
    let bed = super::bed();
    image(&bed, "good", "thin:8388608", 8);
    image(&bed, "bad-mark", "thick:8388608", 8);
    let lost = image(&bed, "lost", "thin:8388608", 8);
    fs::remove_file(bed.path("store").join(lost.to_string())).unwrap();
    image(&bed, "written", "thin:8388608", 8);
    fs::write(
        bed.path("brick").join("written"),
        "by a GlusterFS without BD",
    )
    .unwrap();
    let twice = image(&bed, "twice", "thin:8388608", 8);
    let copy = bed.path("brick").join("copy");
    File::create(&copy).unwrap();
    lsetxattr(&copy, "trusted.gfid", twice.as_bytes(), XattrFlags::empty()).unwrap();
    File::create(bed.path("brick").join("no-gfid")).unwrap();
    bed.mark_with("no-gfid", "lv:8388608");
    fs::write(bed.path("brick").join("plain"), "plain").unwrap();
    fs::write(bed.path("store").join("another"), vec![0; 4096]).unwrap();

    let before = state(&bed.path("."));
    for really in [false, true] {
        let adoption = adopt(&bed, really);
        assert_eq!((adoption.fits(), adoption.brick.is_some()), (false, false));
        assert_eq!(adoption.images.len(), 7, "{adoption:?}");
        assert_eq!(told(&adoption, "/good").unfit, None);
        unfit(&adoption, "/bad-mark", "thick:8388608");
        unfit(&adoption, "/lost", "there is no LV");
        unfit(&adoption, "/written", "holds bytes");
        unfit(&adoption, "/twice", "same gfid");
        unfit(&adoption, "/copy", "same gfid");
        unfit(&adoption, "/no-gfid", "no gfid");
        let others: Vec<&str> = adoption.others.iter().map(|it| it.lv.as_str()).collect();
        assert_eq!(others, ["another"]);
        assert_eq!(state(&bed.path(".")), before);
    }
    let refused = init(&bed.spec(), &Installed::default()).unwrap_err();
    assert_eq!(refused.kind, FaultKind::InUse);
    assert!(refused.message.contains("gluster-bd adopt"), "{refused}");
    fs::create_dir(bed.path("brick").join("store")).unwrap();
    let adoption = adopt(&bed, false);
    assert!(adoption.refused[0].contains("--top"), "{adoption:?}");
}

#[test]
fn images_keep_their_bytes_times_names_and_gfids() {
    let bed = super::bed();
    let old = |name: &str| bed.path("brick").join(name);
    let a = image(&bed, "a", "thin:8388608", 8);
    fs::hard_link(old("a"), old("again")).unwrap();
    // LVM has rounded it up, and nobody has looked since.
    let b = image(&bed, "b", "lv:5000000", 8);
    // Its LV was not active for a moment: GlusterFS 5 takes the mark off then.
    let unmarked = Gfid::random();
    bed.stub("unmarked", unmarked);
    volume(&bed, unmarked, 4);
    let c = image(&bed, "c", "thin:4194304", 4);
    fs::remove_file(bed.handle(c)).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_500_000_000, 123_456_789);
    for name in ["a", "b", "c", "unmarked"] {
        let file = File::options().write(true).open(old(name)).unwrap();
        file.set_modified(time).unwrap();
        std::os::unix::fs::chown(old(name), Some(107), Some(108)).unwrap();
    }
    let bytes = |gfid: Gfid| fs::read(bed.path("store").join(gfid.to_string())).unwrap();
    let before = [a, b, c, unmarked].map(bytes);

    let dry = adopt(&bed, false);
    let all = [OldStep::Tag, OldStep::Size, OldStep::Mark];
    assert_eq!(told(&dry, "/b").steps, all);
    assert!(
        told(&dry, "/b")
            .notes
            .iter()
            .any(|note| note.contains("5000000")),
        "{dry:?}"
    );
    assert_eq!(told(&dry, "/c").steps[0], OldStep::Handle);
    let done = adopt(&bed, true);
    let brick = done.brick.unwrap();
    assert_eq!(done.images, dry.images);
    // Once more: all is done.
    let again = adopt(&bed, true);
    assert_eq!(again.brick.unwrap().id, brick.id);
    assert!(
        again.images.iter().all(|image| image.steps.is_empty()),
        "{:?}",
        again.images
    );
    assert_eq!([a, b, c, unmarked].map(bytes), before);
    for (name, mib) in [("a", 8), ("again", 8), ("b", 8), ("c", 4), ("unmarked", 4)] {
        let about = fs::metadata(old(name)).unwrap();
        assert_eq!(
            (about.len(), about.modified().unwrap()),
            (mib * MIB, time),
            "{name}"
        );
        assert_eq!(
            (about.uid(), about.gid(), about.blocks()),
            (107, 108, 0),
            "{name}"
        );
        let mut mark = [0; 32];
        let len = lgetxattr(old(name), xattr::IMAGE, &mut mark[..]).unwrap();
        assert_eq!(&mark[..len], b"thin", "{name}");
    }

    let engines = Installed::default();
    let how = Attach {
        volume: Uuid::from_u128(1),
        fresh: true,
        heals: false,
        epoch: 1,
    };
    let served = Brick::attach(&bed.path("brick"), how, &engines).unwrap();
    for (gfid, mib) in [(a, 8), (b, 8), (c, 4), (unmarked, 4)] {
        let image = served.image(gfid).unwrap();
        assert_eq!(
            (image.lv_size, image.kind),
            (Bytes(mib * MIB), ImageKind::Thin)
        );
        let file = File::from(served.open(gfid).unwrap().fd);
        let mut end = vec![0; 8192];
        let page = end.as_ptr().align_offset(4096);
        let end = &mut end[page..page + 4096];
        file.read_exact_at(end, mib * MIB - 4096).unwrap();
        assert_eq!(&end[4080..], gfid.as_bytes());
    }
    assert_eq!(served.foreign().unwrap(), []);
    assert_eq!(served.check(false).unwrap(), []);
    drop(served);
    assert_eq!(check(&bed.path("brick"), &engines, false).unwrap(), []);
    // It belongs to a volume now, whose clients may have changed sizes.
    let late = take_over(&bed.spec(), true, &engines).unwrap_err();
    assert_eq!(late.kind, FaultKind::InUse);
}

#[test]
fn times_outlive_a_crash() {
    let bed = super::bed();
    image(&bed, "a", "thin:8388608", 8);
    let stub = bed.path("brick").join("a");
    // As after a crash between the new size and the old time.
    let value = b"1500000000 7 1500000001 8";
    lsetxattr(
        &stub,
        "trusted.gluster-bd.times",
        value,
        XattrFlags::empty(),
    )
    .unwrap();
    File::options()
        .write(true)
        .open(&stub)
        .unwrap()
        .set_len(8 * MIB)
        .unwrap();
    assert!(adopt(&bed, true).brick.is_some());
    let about = fs::metadata(&stub).unwrap();
    assert_eq!((about.mtime(), about.mtime_nsec()), (1_500_000_001, 8));
    assert!(lgetxattr(&stub, "trusted.gluster-bd.times", &mut [0; 64][..]).is_err());
}
