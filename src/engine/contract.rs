//! What every engine must do, as one test body that runs on each of them.

use std::fs::File;
use std::os::unix::fs::FileExt;

use bd_model::{BrickId, Bytes, Gfid, ImageKind, LvName};
use bd_proto::{EngineSpec, FaultKind};

use crate::{BackingVolume, Engine, EngineError, OpenVolume, Removed};

/// An engine to test, with nothing in it yet.
pub struct Subject<'a> {
    /// The engine.
    pub engine: &'a dyn Engine,
    /// Makes a volume of that name and size (bytes) behind the engine's back, as an admin does.
    pub make_foreign: &'a dyn Fn(&LvName, Bytes),
}

impl std::fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

/// Runs the whole contract; panics where the engine breaks it.
///
/// Needs space for about twenty extents. Leaves the engine claimed and without volumes.
pub fn run(subject: &Subject<'_>) {
    claims(subject.engine);
    let mut kinds = vec![ImageKind::Thick];
    if subject.engine.default_kind() == ImageKind::Thin {
        kinds.push(ImageKind::Thin);
    }
    for kind in kinds {
        life_of_an_image(subject.engine, kind);
        copies(subject.engine, kind);
        merges(subject.engine, kind);
        names(subject.engine, kind);
    }
    unknown_images(subject.engine);
    foreign_volumes(subject);
    space(subject.engine);
    assert_eq!(volumes(subject.engine), []);
}

fn name(text: &str) -> LvName {
    text.parse().expect("a lawful name")
}

fn done<T>(result: Result<T, EngineError>) -> T {
    result.unwrap_or_else(|error| {
        let fault = bd_proto::Fault::from(error);
        panic!("{:?}: {fault}", fault.kind)
    })
}

fn refused<T: std::fmt::Debug>(result: Result<T, EngineError>, kind: FaultKind) {
    match result {
        Ok(value) => panic!("expected {kind:?}, got {value:?}"),
        Err(error) => assert_eq!(error.kind, kind, "{error}"),
    }
}

fn volumes(engine: &dyn Engine) -> Vec<BackingVolume> {
    done(engine.volumes())
}

fn opened(engine: &dyn Engine, gfid: Gfid) -> (File, BackingVolume) {
    let OpenVolume {
        volume,
        fd,
        block_size,
        ..
    } = done(engine.open(gfid));
    assert!(block_size.is_power_of_two(), "{block_size}");
    assert_eq!(volume.gfid, Some(gfid));
    // Read and written through another description without direct I/O, so that plain buffers do.
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
    let file = File::options().read(true).write(true).open(path);
    (file.expect("an open volume"), volume)
}

fn write(engine: &dyn Engine, gfid: Gfid, at: u64, bytes: &[u8]) {
    let (file, _) = opened(engine, gfid);
    file.write_all_at(bytes, at).expect("a write");
    file.sync_all().expect("a sync");
}

fn read(engine: &dyn Engine, gfid: Gfid, at: u64, len: usize) -> Vec<u8> {
    let (file, _) = opened(engine, gfid);
    let mut bytes = vec![0xee; len];
    file.read_exact_at(&mut bytes, at).expect("a read");
    bytes
}

fn claims(engine: &dyn Engine) {
    let (ours, theirs) = (BrickId::random(), BrickId::random());
    assert_eq!(done(engine.claimed_by()), None);
    done(engine.claim(theirs));
    done(engine.release(ours));
    assert_eq!(done(engine.claimed_by()), Some(theirs));
    done(engine.release(theirs));
    assert_eq!(done(engine.claimed_by()), None);
    done(engine.claim(ours));
    done(engine.claim(ours));
    refused(engine.claim(theirs), FaultKind::InUse);
    assert_eq!(done(engine.claimed_by()), Some(ours));
}

fn life_of_an_image(engine: &dyn Engine, kind: ImageKind) {
    let extent = engine.extent_size().0;
    let gfid = Gfid::random();
    assert_eq!(done(engine.find(gfid)), None);
    let volume = done(engine.create(gfid, &name("life"), kind, Bytes(0)));
    assert_eq!(volume.name, name("life"));
    assert_eq!(volume.gfid, Some(gfid));
    assert_eq!(volume.kind, kind);
    assert_eq!(volume.size, Bytes(extent));
    assert_eq!(volume.origin, None);
    assert_eq!(
        done(engine.find(gfid)).map(|v| (v.name, v.size)),
        Some((volume.name.clone(), volume.size))
    );
    assert_eq!(volumes(engine).len(), 1);
    refused(
        engine.create(gfid, &name("life2"), kind, Bytes(1)),
        FaultKind::Exists,
    );

    let len = usize::try_from(extent).expect("a small extent");
    assert_eq!(read(engine, gfid, 0, len), vec![0; len]);
    write(engine, gfid, extent - 4, b"tail");

    let grown = done(engine.resize(gfid, Bytes(extent + 1)));
    assert_eq!(grown.size, Bytes(2 * extent));
    assert_eq!(read(engine, gfid, extent - 4, 8), b"tail\0\0\0\0");
    assert_eq!(read(engine, gfid, extent, len), vec![0; len]);
    write(engine, gfid, extent, b"second");
    let same = done(engine.resize(gfid, Bytes(2 * extent)));
    assert_eq!(same.size, grown.size);
    assert_eq!(read(engine, gfid, extent, 6), b"second");

    // What was cut off reads as zeros when the volume grows again.
    assert_eq!(done(engine.resize(gfid, Bytes(1))).size, Bytes(extent));
    assert_eq!(read(engine, gfid, extent - 4, 4), b"tail");
    assert_eq!(
        done(engine.resize(gfid, Bytes(2 * extent))).size,
        Bytes(2 * extent)
    );
    assert_eq!(read(engine, gfid, extent, len), vec![0; len]);

    for size in [u64::MAX, i64::MAX.unsigned_abs()] {
        refused(engine.resize(gfid, Bytes(size)), FaultKind::TooLarge);
    }
    assert_eq!(
        done(engine.find(gfid)).map(|v| v.size),
        Some(Bytes(2 * extent))
    );
    let allocated = done(engine.allocated(&[gfid, Gfid::random()]));
    assert_eq!(allocated.len(), 2);
    assert!(
        allocated[0].is_some_and(|bytes| bytes.0 > 0),
        "{allocated:?}"
    );
    assert_eq!(allocated[1], None);

    assert_eq!(done(engine.remove(gfid)), Removed::Gone);
    assert_eq!(done(engine.remove(gfid)), Removed::AlreadyGone);
    assert_eq!(done(engine.find(gfid)), None);
    assert_eq!(volumes(engine), []);
}

fn copies(engine: &dyn Engine, kind: ImageKind) {
    let (a, clone, snapshot) = (Gfid::random(), Gfid::random(), Gfid::random());
    done(engine.create(a, &name("copy-a"), kind, Bytes(1)));
    write(engine, a, 0, b"original");
    let made = done(engine.clone_image(a, clone, &name("copy-clone")));
    assert_eq!((made.gfid, made.kind), (Some(clone), kind));
    let space = Some(engine.extent_size());
    let cow = matches!(engine.spec(), EngineSpec::Lvm { .. }) && kind == ImageKind::Thick;
    if !cow {
        let sized = engine.snapshot(a, snapshot, &name("copy-snapshot"), space);
        refused(sized, FaultKind::Invalid);
    }
    let space = space.filter(|_| cow);
    let made = done(engine.snapshot(a, snapshot, &name("copy-snapshot"), space));
    assert_eq!(made.gfid, Some(snapshot));
    assert_eq!(made.origin, Some(name("copy-a")));
    for gfid in [clone, snapshot] {
        assert_eq!(read(engine, gfid, 0, 8), b"original");
    }
    write(engine, a, 0, b"AAAA");
    write(engine, clone, 0, b"CCCC");
    write(engine, snapshot, 0, b"SSSS");
    assert_eq!(read(engine, a, 0, 8), b"AAAAinal");
    assert_eq!(read(engine, clone, 0, 8), b"CCCCinal");
    assert_eq!(read(engine, snapshot, 0, 8), b"SSSSinal");

    let taken = engine.snapshot(a, clone, &name("copy-again"), None);
    refused(taken, FaultKind::Exists);
    let taken = engine.clone_image(a, snapshot, &name("copy-again"));
    refused(taken, FaultKind::Exists);

    // An origin that others depend on may have to wait for them, but never takes them along.
    let removed = done(engine.remove(a));
    assert_ne!(removed, Removed::AlreadyGone);
    assert_eq!(read(engine, clone, 0, 8), b"CCCCinal");
    assert_eq!(read(engine, snapshot, 0, 8), b"SSSSinal");
    assert_eq!(done(engine.remove(clone)), Removed::Gone);
    assert_eq!(done(engine.remove(snapshot)), Removed::Gone);
    if let Removed::Deferred(_) = removed {
        assert_eq!(done(engine.remove(a)), Removed::Gone);
    }
    assert_eq!(volumes(engine), []);
}

/// Three snapshots of one image: one is merged and takes its own snapshot along, another one is
/// merged after it.
fn merges(engine: &dyn Engine, kind: ImageKind) {
    let [a, first, second, below] = [(); 4].map(|()| Gfid::random());
    done(engine.create(a, &name("merge-a"), kind, Bytes(1)));
    refused(engine.merge(a, a), FaultKind::Invalid);
    write(engine, a, 0, b"first...");
    done(engine.snapshot(a, first, &name("merge-first"), None));
    write(engine, a, 0, b"second..");
    if let (EngineSpec::Lvm { .. }, ImageKind::Thick) = (engine.spec(), kind) {
        refused(engine.merge(first, a), FaultKind::Unsupported);
        assert_eq!(read(engine, a, 0, 8), b"second..");
        assert_eq!(read(engine, first, 0, 8), b"first...");
        done(engine.remove(first));
        done(engine.remove(a));
        return assert_eq!(volumes(engine), []);
    }
    done(engine.snapshot(a, second, &name("merge-second"), None));
    done(engine.snapshot(first, below, &name("merge-below"), None));
    write(engine, first, 4, b"1111");
    let extent = engine.extent_size();
    done(engine.resize(first, Bytes(2 * extent.0)));
    write(engine, first, extent.0, b"more");
    write(engine, a, 0, b"a.......");

    let (before, _) = opened(engine, a);
    refused(engine.merge(first, second), FaultKind::Invalid);
    let merged = done(engine.merge(first, a));
    assert_eq!(merged.gfid, Some(a));
    assert_eq!(merged.name, name("merge-a"));
    assert_eq!((merged.size, merged.origin), (Bytes(2 * extent.0), None));
    assert_eq!(read(engine, a, 0, 8), b"firs1111");
    assert_eq!(read(engine, a, extent.0, 4), b"more");
    // Who had it open goes on with the old bytes, until that volume is removed.
    let mut old = [0; 8];
    before.read_exact_at(&mut old, 0).expect("a read");
    assert_eq!(&old, b"a.......");
    drop(before);
    let outgoing = done(engine.find(first)).expect("the old volume");
    assert!(outgoing.outgoing, "{outgoing:?}");
    refused(engine.open(first), FaultKind::NotFound);
    refused(engine.merge(first, a), FaultKind::NotFound);
    assert_eq!(done(engine.remove(first)), Removed::Gone);
    assert_eq!(done(engine.find(first)), None);

    let origin = |gfid| done(engine.find(gfid)).map(|v| (v.origin_image, v.origin));
    for gfid in [second, below] {
        assert_eq!(origin(gfid), Some((Some(a), Some(name("merge-a")))));
    }
    assert_eq!(done(engine.merge(second, a)).size, extent);
    assert_eq!(read(engine, a, 0, 8), b"second..");
    // What the origin was can be an image again, if somebody finds it without one.
    let left = done(engine.find(second)).expect("the old volume");
    assert!(!done(engine.adopt(&left.name, second)).outgoing);
    assert_eq!(read(engine, second, 0, 8), b"firs1111");
    assert_eq!(done(engine.remove(second)), Removed::Gone);
    assert_eq!(origin(below), Some((Some(a), Some(name("merge-a")))));
    assert_eq!(read(engine, below, 0, 8), b"first...");
    assert_eq!(done(engine.remove(a)), Removed::Gone);
    assert_eq!(origin(below).and_then(|(image, _)| image), None);
    refused(engine.merge(below, a), FaultKind::NotFound);
    // What heal has made of a snapshot knows no origin, and is merged all the same.
    let healed = Gfid::random();
    done(engine.create(healed, &name("merge-healed"), kind, Bytes(1)));
    write(engine, healed, 0, b"healed..");
    assert_eq!(done(engine.merge(healed, below)).gfid, Some(below));
    assert_eq!(read(engine, below, 0, 8), b"healed..");
    assert_eq!(done(engine.remove(healed)), Removed::Gone);
    assert_eq!(done(engine.remove(below)), Removed::Gone);
    assert_eq!(volumes(engine), []);
}

fn names(engine: &dyn Engine, kind: ImageKind) {
    let (first, second) = (Gfid::random(), Gfid::random());
    let wanted = name("name.one");
    done(engine.create(first, &wanted, kind, Bytes(1)));
    let made = done(engine.create(second, &wanted, kind, Bytes(1)));
    assert_eq!(made.name, LvName::for_gfid(second));
    write(engine, second, 0, b"second");

    assert_eq!(done(engine.rename(first, &wanted)).name, wanted);
    let moved = done(engine.rename(second, &name("name.two")));
    assert_eq!(moved.name, name("name.two"));
    let moved = done(engine.rename(second, &wanted));
    assert_eq!(moved.name, LvName::for_gfid(second));
    let moved = done(engine.rename(second, &wanted));
    assert_eq!(moved.name, LvName::for_gfid(second));
    assert_eq!(read(engine, second, 0, 6), b"second");
    done(engine.remove(first));
    assert_eq!(done(engine.rename(second, &wanted)).name, wanted);
    done(engine.remove(second));
}

fn unknown_images(engine: &dyn Engine) {
    let (gfid, other) = (Gfid::random(), Gfid::random());
    let kind = FaultKind::NotFound;
    refused(engine.open(gfid), kind);
    refused(engine.resize(gfid, Bytes(1)), kind);
    refused(engine.rename(gfid, &name("none")), kind);
    refused(engine.merge(gfid, other), kind);
    refused(engine.snapshot(gfid, other, &name("none"), None), kind);
    refused(engine.clone_image(gfid, other, &name("none")), kind);
    refused(engine.adopt(&name("none"), gfid), kind);
}

fn foreign_volumes(subject: &Subject<'_>) {
    let engine = subject.engine;
    let extent = engine.extent_size();
    (subject.make_foreign)(&name("foreign"), extent);
    let found = volumes(engine);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (&found[0].name, found[0].gfid, found[0].size),
        (&name("foreign"), None, extent)
    );
    // Its name is respected like any other.
    let (gfid, other) = (Gfid::random(), Gfid::random());
    let made = done(engine.create(other, &name("foreign"), engine.default_kind(), Bytes(1)));
    assert_eq!(made.name, LvName::for_gfid(other));

    let adopted = done(engine.adopt(&name("foreign"), gfid));
    assert_eq!(
        (&adopted.name, adopted.gfid),
        (&name("foreign"), Some(gfid))
    );
    assert_eq!(done(engine.adopt(&name("foreign"), gfid)).gfid, Some(gfid));
    refused(
        engine.adopt(&name("foreign"), Gfid::random()),
        FaultKind::Exists,
    );
    refused(engine.adopt(&name("foreign"), other), FaultKind::Exists);
    write(engine, gfid, 0, b"mine");
    assert_eq!(read(engine, gfid, 0, 4), b"mine");
    assert_eq!(done(engine.remove(gfid)), Removed::Gone);
    assert_eq!(done(engine.remove(other)), Removed::Gone);
}

fn space(engine: &dyn Engine) {
    let space = done(engine.space());
    assert!(
        space.total.0 > 0 && space.free.0 <= space.total.0,
        "{space:?}"
    );
}
