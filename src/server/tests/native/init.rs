//! `brick init`: what it refuses, and that it leaves no trace then.

use std::fs;
use std::path::Path;

use bd_bricks::{BrickConfig, init};
use bd_proto::{BrickSpec, EngineSpec, FaultKind};
use bd_server::engines::Installed;
use tempfile::TempDir;

/// Everything below a folder, with its attributes.
fn traces(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let mut names = [0_u8; 4096];
        let len = rustix::fs::listxattr(&folder, &mut names[..]).unwrap();
        let names = String::from_utf8_lossy(&names[..len]);
        found.push(format!("{} {names}", folder.display()));
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.display().to_string());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

struct Raw {
    folder: TempDir,
}

impl Raw {
    fn new() -> Raw {
        let folder = tempfile::tempdir().unwrap();
        for name in ["brick", "other", "store", "store2"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Raw { folder }
    }

    fn spec(&self, brick: &str, store: &str) -> BrickSpec {
        BrickSpec {
            dir: self.folder.path().join(brick),
            engine: EngineSpec::File {
                store: self.folder.path().join(store),
            },
            top: None,
            adopt: true,
        }
    }

    /// The init must be refused, and leave nothing.
    fn refused(&self, spec: &BrickSpec, kind: FaultKind, says: &str) {
        let before = traces(self.folder.path());
        let fault = init(spec, &Installed::default()).unwrap_err();
        assert_eq!(fault.kind, kind, "{fault}");
        assert!(fault.message.contains(says), "{fault}");
        assert_eq!(traces(self.folder.path()), before);
    }
}

#[test]
fn init_again_changes_nothing_and_another_init_is_refused() {
    let raw = Raw::new();
    let spec = raw.spec("brick", "store");
    let first = init(&spec, &Installed::default()).unwrap();
    assert_eq!((first.top.as_str(), first.volume), ("store", None));
    let after = traces(raw.folder.path());
    assert_eq!(init(&spec, &Installed::default()).unwrap(), first);
    assert_eq!(traces(raw.folder.path()), after);
    let other = BrickSpec {
        top: Some("images".into()),
        ..spec.clone()
    };
    raw.refused(&other, FaultKind::Exists, "is a brick already");
    raw.refused(
        &raw.spec("brick", "store2"),
        FaultKind::Exists,
        "is a brick already",
    );
    raw.refused(
        &raw.spec("other", "store"),
        FaultKind::InUse,
        &first.id.to_string(),
    );
}

#[test]
fn bad_input_is_refused_without_a_trace() {
    let raw = Raw::new();
    let good = raw.spec("brick", "store");
    let with_top = |top: &str| BrickSpec {
        top: Some(top.into()),
        ..good.clone()
    };
    raw.refused(&raw.spec("none", "store"), FaultKind::NotFound, "none");
    raw.refused(&raw.spec("brick", "none"), FaultKind::NotFound, "none");
    fs::write(raw.folder.path().join("file"), "").unwrap();
    raw.refused(
        &raw.spec("file", "store"),
        FaultKind::Invalid,
        "not a directory",
    );
    let relative = BrickSpec {
        dir: "brick".into(),
        ..good.clone()
    };
    raw.refused(&relative, FaultKind::Invalid, "absolute");
    for top in ["", ".", "..", ".glusterfs", "a/b"] {
        raw.refused(&with_top(top), FaultKind::Invalid, "top image directory");
    }
    fs::write(raw.folder.path().join("brick/taken"), "").unwrap();
    raw.refused(&with_top("taken"), FaultKind::Exists, "taken");
    fs::create_dir(raw.folder.path().join("brick/inner")).unwrap();
    raw.refused(
        &raw.spec("brick", "brick/inner"),
        FaultKind::Invalid,
        "one another",
    );
    let no_attributes = BrickSpec {
        dir: "/proc/sys".into(),
        ..good.clone()
    };
    raw.refused(&no_attributes, FaultKind::Invalid, "extended attributes");
    init(&good, &Installed::default()).unwrap();
    raw.refused(
        &raw.spec("brick/inner", "store2"),
        FaultKind::InUse,
        "lies in the brick",
    );
}

#[test]
fn an_init_that_crashed_is_taken_up_again() {
    let raw = Raw::new();
    let spec = raw.spec("brick", "store");
    let dir = &spec.dir;
    let first = init(&spec, &Installed::default()).unwrap();
    let path = BrickConfig::path(dir);
    let prepared = path.with_file_name("brick.toml.new");

    // Died after the claim: the same identity is used again.
    fs::rename(&path, &prepared).unwrap();
    assert_eq!(init(&spec, &Installed::default()).unwrap().id, first.id);

    // Died after the claim, and now another store is wanted: the first is free again.
    fs::rename(&path, &prepared).unwrap();
    let second = init(&raw.spec("brick", "store2"), &Installed::default()).unwrap();
    assert_ne!(second.id, first.id);
    init(&raw.spec("other", "store"), &Installed::default()).unwrap();
}
