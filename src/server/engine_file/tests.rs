use std::fs::File;
use std::path::Path;

use super::*;
use crate::contract::{self, Subject};

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
