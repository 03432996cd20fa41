use std::fs::File;
use std::path::Path;

use bd_engine::contract::{self, Subject};

use super::*;

fn make_foreign(folder: &Path, name: &LvName, size: Bytes) {
    File::create(folder.join(name.as_str()))
        .unwrap()
        .set_len(size.0)
        .unwrap();
}

#[test]
fn the_contract_holds_on_a_disk() {
    let folder = tempfile::tempdir().unwrap();
    let engine = FileEngine::open(folder.path()).unwrap();
    contract::run(&Subject {
        engine: &engine,
        make_foreign: &|name, size| make_foreign(folder.path(), name, size),
    });
}

#[test]
fn everything_is_found_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let gfid = Gfid::random();
    let name = "vm1".parse().unwrap();
    FileEngine::open(folder.path())
        .unwrap()
        .create(gfid, &name, ImageKind::Thick, Bytes(1))
        .unwrap();
    let engine = FileEngine::open(folder.path()).unwrap();
    let volume = engine.find(gfid).unwrap().unwrap();
    assert_eq!((&volume.name, volume.kind), (&name, ImageKind::Thick));
    assert!(volume.allocated >= EXTENT);
}

/// The state right after the decisive step of a merge, as a crash leaves it.
#[test]
fn a_merge_that_was_cut_off_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let [origin, snapshot] = [(); 2].map(|()| Gfid::random());
    let (a, s) = ("a".parse().unwrap(), "s".parse().unwrap());
    let engine = FileEngine::open(folder.path()).unwrap();
    engine
        .create(origin, &a, ImageKind::Thin, Bytes(1))
        .unwrap();
    engine.snapshot(origin, snapshot, &s, None).unwrap();
    let file = File::open(folder.path().join("s")).unwrap();
    attributes::set_merged(&file, Some(origin)).unwrap();
    let seen = |engine: &FileEngine| {
        let of = |gfid| engine.find(gfid).unwrap().unwrap();
        let (new, old) = (of(origin), of(snapshot));
        (
            new.name.to_string(),
            new.outgoing,
            old.name.to_string(),
            old.outgoing,
        )
    };
    let merged = ("s".to_owned(), false, "a".to_owned(), true);
    engine.volumes().unwrap();
    assert_eq!(seen(&engine), merged);
    for _ in 0..2 {
        let engine = FileEngine::open(folder.path()).unwrap();
        assert_eq!(seen(&engine), merged);
        let about = Attributes::read(&file).unwrap();
        assert_eq!(
            (about.gfid, about.merged, about.origin),
            (Some(origin), None, None)
        );
    }
}

#[test]
fn an_admin_may_rename_files() {
    let folder = tempfile::tempdir().unwrap();
    let engine = FileEngine::open(folder.path()).unwrap();
    let gfid = Gfid::random();
    let name = "vm1".parse().unwrap();
    engine
        .create(gfid, &name, ImageKind::Thin, Bytes(1))
        .unwrap();
    std::fs::rename(folder.path().join("vm1"), folder.path().join("vm2")).unwrap();
    assert_eq!(engine.find(gfid).unwrap().unwrap().name.as_str(), "vm2");
}

#[test]
fn nothing_but_files_with_lawful_names_is_a_volume() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
    File::create(folder.path().join("a b")).unwrap();
    let fifo = folder.path().join("fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
    let engine = FileEngine::open(folder.path()).unwrap();
    assert_eq!(engine.volumes().unwrap(), []);
}

use rustix::fs::{CWD, FileType, Mode};
