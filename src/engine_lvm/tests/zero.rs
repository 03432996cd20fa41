//! Thick LVs that are zeroed piece by piece.

use std::time::Duration;

use super::*;

/// An engine whose calls zero 8 MiB at most.
fn patient() -> Bench {
    let mut bench = bench(None);
    bench.engine.zeroing.at_once = Bytes(8 * MIB);
    bench
}

impl Bench {
    /// Where the bytes of an LV may be old ones.
    pub(super) fn dirty_from(&self, text: &str) -> Option<u64> {
        let tags = self.lvm.state().lv(&name(text)).unwrap().tags.clone();
        tags.iter().find_map(|tag| match tag {
            Tag::Zeroing(from) => Some(from.0 / MIB),
            _ => None,
        })
    }

    fn make(&self, text: &str, mib: u64) -> Gfid {
        let gfid = Gfid::random();
        let (name, kind) = (name(text), ImageKind::Thick);
        self.engine
            .create(gfid, &name, kind, Bytes(mib * MIB))
            .unwrap();
        gfid
    }

    /// MiB that are left after a piece.
    fn piece(&self, gfid: Gfid, mib: u64) -> u64 {
        let left = self.engine.zero_piece(gfid, Bytes(mib * MIB));
        left.unwrap().0 / MIB
    }

    /// What was zeroed since the last call, in MiB.
    fn zeroed(&self) -> Vec<(u64, u64)> {
        let zeroed = std::mem::take(&mut *self.kernel.zeroed.lock().unwrap());
        let mib = |(from, len): (u64, u64)| (from / MIB, len / MIB);
        zeroed.into_iter().map(mib).collect()
    }
}

#[test]
fn what_is_much_is_zeroed_in_pieces() {
    let bench = patient();
    let small = bench.make("small", 8);
    assert_eq!(bench.engine.unzeroed(small), None);
    assert_eq!(bench.zeroed(), [(0, 8)]);
    let image = bench.make("image", 40);
    assert_eq!(bench.zeroed(), []);
    assert_eq!(bench.engine.unzeroed(image), Some(Bytes(40 * MIB)));
    assert_eq!(bench.engine.all_unzeroed(), [image]);
    let busy = |what: &str| {
        let engine = &bench.engine;
        refused(engine.open(image), FaultKind::Busy, what);
        let to = Gfid::random();
        refused(
            engine.clone_image(image, to, &name("c")),
            FaultKind::Busy,
            what,
        );
        refused(
            engine.snapshot(image, to, &name("s"), None),
            FaultKind::Busy,
            what,
        );
        refused(engine.resize(image, Bytes(48 * MIB)), FaultKind::Busy, what);
    };
    busy("40 MiB of it are still to be zeroed");
    assert_eq!(bench.piece(image, 16), 24);
    assert_eq!(bench.dirty_from("image"), Some(0), "LVM is not asked");
    bench.engine.keep_zeroed(image).unwrap();
    assert_eq!(bench.dirty_from("image"), Some(16));
    bench.commands();
    bench.engine.keep_zeroed(image).unwrap();
    assert_eq!(bench.commands(), [""; 0], "once is enough");
    // Little is left now, but it is a job's.
    assert_eq!(bench.piece(image, 16), 8);
    busy("8 MiB of it are still");
    bench.engine.rename(image, &name("renamed")).unwrap();
    assert_eq!(bench.piece(image, 16), 0);
    assert_eq!(bench.dirty_from("renamed"), None);
    assert_eq!(bench.zeroed(), [(0, 16), (16, 16), (32, 8)]);
    assert_eq!(bench.piece(image, 16), 0, "asking again is no error");
    assert_eq!(bench.engine.all_unzeroed(), []);
    bench.engine.open(image).unwrap();
    let gone = bench.engine.zero_piece(Gfid::random(), Bytes(MIB));
    refused(gone, FaultKind::NotFound, "zero image");
}

#[test]
fn a_crash_costs_what_was_not_written_down() {
    let mut bench = patient();
    let image = bench.make("image", 48);
    bench.piece(image, 16);
    bench.engine.keep_zeroed(image).unwrap();
    bench.piece(image, 8);
    let restart = |bench: &mut Bench| {
        bench.engine = open(&bench.kernel, None).unwrap();
        bench.engine.zeroing.at_once = Bytes(8 * MIB);
        bench.zeroed();
    };
    restart(&mut bench);
    assert_eq!(bench.engine.all_unzeroed(), [image]);
    // The tag follows by itself, too.
    bench.engine.zeroing.keep_every = Duration::ZERO;
    assert_eq!(bench.piece(image, 16), 16);
    assert_eq!(bench.dirty_from("image"), Some(32));
    assert_eq!(bench.piece(image, 8), 8);
    assert_eq!(bench.zeroed(), [(16, 16), (32, 8)]);
    restart(&mut bench);
    // The rest is little: whoever opens it does that.
    assert_eq!(bench.engine.unzeroed(image), None);
    bench.engine.open(image).unwrap();
    assert_eq!(bench.zeroed(), [(40, 8)]);
    assert_eq!(bench.dirty_from("image"), None);
}

#[test]
fn a_failure_leaves_the_tag() {
    let bench = patient();
    let image = bench.make("image", 40);
    bench.piece(image, 8);
    *bench.kernel.broken.lock().unwrap() = true;
    let failed = bench.engine.zero_piece(image, Bytes(8 * MIB));
    refused(failed, FaultKind::Failed, "zero image");
    *bench.kernel.broken.lock().unwrap() = false;
    bench
        .lvm
        .state()
        .failures
        .push_back(Some(LvmErrorKind::Failed));
    let failed = bench.engine.keep_zeroed(image);
    refused(failed, FaultKind::Failed, "how far image");
    assert_eq!(bench.dirty_from("image"), Some(0));
    assert_eq!(bench.piece(image, 24), 8);
    bench
        .lvm
        .state()
        .failures
        .push_back(Some(LvmErrorKind::Failed));
    let failed = bench.engine.zero_piece(image, Bytes(8 * MIB));
    refused(failed, FaultKind::Failed, "zero image");
    assert_eq!(bench.engine.unzeroed(image), Some(Bytes(0)));
    refused(bench.engine.open(image), FaultKind::Busy, "still to be");
    assert_eq!(bench.piece(image, 8), 0);
    assert_eq!(bench.zeroed(), [(0, 8), (8, 24), (32, 8)]);
}

#[test]
fn a_growth_is_taken_back() {
    let bench = patient();
    let size = |bench: &Bench| bench.lvm.state().lv(&name("image")).unwrap().size.0 / MIB;
    let image = bench.make("image", 8);
    let grow = |mib: u64| bench.engine.resize(image, Bytes(mib * MIB)).unwrap();
    let take_back = || bench.engine.take_back_growth(image).unwrap();
    take_back();
    assert_eq!(grow(60).size, Bytes(60 * MIB));
    assert_eq!(bench.dirty_from("image"), Some(8));
    bench.piece(image, 16);
    bench.engine.keep_zeroed(image).unwrap();
    bench.piece(image, 8);
    take_back();
    assert_eq!((size(&bench), bench.dirty_from("image")), (8, None));
    assert_eq!(bench.engine.unzeroed(image), None);
    // What was cut off is zeroed again when it comes back.
    bench.zeroed();
    grow(40);
    assert_eq!(bench.dirty_from("image"), Some(8));
    bench.piece(image, 16);
    bench.engine.keep_zeroed(image).unwrap();
    // Where it began is not known after a restart: what is zeroed stays.
    let later = open(&bench.kernel, None).unwrap();
    later.take_back_growth(image).unwrap();
    assert_eq!((size(&bench), bench.dirty_from("image")), (24, None));
    bench.engine.volumes().unwrap();
    bench
        .engine
        .zeroing
        .forget(&bench.engine.model().image(image).unwrap().uuid);

    // A file that is cut needs less, or nothing, zeroed.
    grow(80);
    assert_eq!(grow(60).size, Bytes(60 * MIB));
    assert_eq!(bench.dirty_from("image"), Some(24));
    assert_eq!(bench.engine.unzeroed(image), Some(Bytes(36 * MIB)));
    bench.zeroed();
    grow(32);
    assert_eq!(bench.zeroed(), [(24, 8)]);
    assert_eq!(bench.dirty_from("image"), None);
    grow(80);
    bench.piece(image, 8);
    grow(20);
    assert_eq!(bench.dirty_from("image"), None);
    // A new image is no growth.
    let new = bench.make("new", 40);
    bench.engine.take_back_growth(new).unwrap();
    assert_eq!(bench.dirty_from("new"), Some(0));
    bench.piece(new, 8);
    assert_eq!(bench.engine.remove(new).unwrap(), Removed::Gone);
    let gone = bench.engine.zero_piece(new, Bytes(MIB));
    refused(gone, FaultKind::NotFound, "zero image");
}

#[test]
fn zeroing_is_no_client() {
    let bench = patient();
    let image = bench.make("image", 40);
    let at_work = || bench.engine.clients_at_work();
    *bench.kernel.open.lock().unwrap() = 1;
    bench.piece(image, 8);
    assert!(!at_work(), "nothing to compare with");
    bench.piece(image, 8);
    assert!(!at_work());
    bench.kernel.io.lock().unwrap().reads += 1;
    bench.piece(image, 8);
    assert!(at_work());
    assert!(!at_work());
    bench.kernel.io.lock().unwrap().written.0 += 512;
    bench.piece(image, 8);
    assert!(at_work());
}
