//! Images that nobody uses are deactivated.

use std::time::{Duration, Instant};

use super::*;

#[test]
fn an_idle_image_is_deactivated() {
    let bench = bench(Some("pool"));
    let begin = Instant::now();
    let rest = |seconds: u64| {
        let at = begin + Duration::from_secs(seconds);
        bench.engine.rest_idle_at(at);
        bench.commands()
    };
    let [a, b] = ["a", "b"].map(|text| bench.create(text, ImageKind::Thin));
    bench.commands();
    let none: [&str; 0] = [];
    assert_eq!(rest(0), none, "their time begins");
    assert_eq!(rest(599), none);
    // One of them is used once more.
    drop(bench.engine.open(b).unwrap());
    *bench.kernel.open.lock().unwrap() = 1;
    assert_eq!(rest(600), none, "open");
    *bench.kernel.open.lock().unwrap() = 0;
    assert_eq!(rest(700), none, "their time begins anew");
    drop(bench.engine.open(b).unwrap());
    let deactivated = rest(1300);
    assert_eq!(deactivated.len(), 1, "{deactivated:?}");
    assert!(
        deactivated[0].starts_with("lvchange -an vg0 "),
        "{deactivated:?}"
    );
    assert_eq!(deactivated[0].split(' ').count(), 4, "{deactivated:?}");
    assert_eq!(rest(1899), none);
    assert_eq!(rest(1900).len(), 1, "the other one");
    // What is mapped is still known, and all goes on as if it were active.
    let found = bench.engine.find(a).unwrap().unwrap();
    assert_eq!(found.allocated, Bytes(65536));
    assert_eq!(bench.engine.allocated(&[a]).unwrap(), [Some(Bytes(65536))]);
    bench.engine.rename(a, &name("c")).unwrap();
    bench.engine.resize(a, Bytes(40 * MIB)).unwrap();
    bench.commands();
    bench.engine.open(a).unwrap();
    assert_eq!(bench.commands(), ["lvchange -ay vg0/c"]);
    assert_eq!(bench.engine.remove(b).unwrap(), Removed::Gone);
    assert_eq!(bench.engine.remove(a).unwrap(), Removed::Gone);
}

#[test]
fn some_images_stay_active() {
    let bench = bench(None);
    let begin = Instant::now();
    let rest = |seconds: u64| {
        bench
            .engine
            .rest_idle_at(begin + Duration::from_secs(seconds));
        bench.commands()
    };
    // An admin's LV, an origin of copy-on-write snapshots and the snapshot.
    bench
        .lvm
        .state()
        .insert(&name("admins"), Extents(1), vec![]);
    let origin = bench.create("origin", ImageKind::Thick);
    let cow = Gfid::random();
    bench
        .engine
        .snapshot(origin, cow, &name("cow"), None)
        .unwrap();
    let plain = bench.create("plain", ImageKind::Thick);
    rest(0);
    let lock = bench.engine.image_locks.lock(&[plain]);
    let none: [&str; 0] = [];
    assert_eq!(rest(600), none, "somebody works on it");
    drop(lock);
    assert_eq!(rest(601).len(), 1);
    assert_eq!(bench.lvm.state().active.len(), 3);
    assert_eq!(rest(9000), none);
    // The last active device of a group leads to its disks.
    for gfid in [cow, origin] {
        assert_eq!(bench.engine.remove(gfid).unwrap(), Removed::Gone);
    }
    bench
        .lvm
        .state()
        .vg
        .lvs
        .retain(|lv| lv.name != name("admins"));
    bench.engine.volumes().unwrap();
    bench.engine.open(plain).unwrap();
    rest(10_000);
    assert_eq!(rest(20_000), none);
}
