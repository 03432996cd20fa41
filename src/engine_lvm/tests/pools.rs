//! Sizes that do not fit, and pools that are refused.

use super::*;

#[test]
fn what_does_not_fit_says_why() {
    let bench = bench(Some("pool"));
    for kind in [ImageKind::Thin, ImageKind::Thick] {
        let size = Bytes(u64::MAX);
        let made = bench.engine.create(Gfid::random(), &name("a"), kind, size);
        refused(
            made,
            FaultKind::TooLarge,
            "more than a volume group can hold",
        );
    }
    let made = bench
        .engine
        .create(Gfid::random(), &name("a"), ImageKind::Thick, Bytes(1 << 40));
    refused(
        made,
        FaultKind::NoSpace,
        "cannot create vg0/a with 1 TiB: 300 MiB free in vg0",
    );
    let a = bench.create("a", ImageKind::Thick);
    let grown = bench.engine.resize(a, Bytes(1 << 40));
    refused(
        grown,
        FaultKind::NoSpace,
        "to 1 TiB: 296 MiB free in vg0; add a PV",
    );
}

#[test]
fn a_full_pool_commits_for_who_cannot_flush() {
    let bench = bench(Some("pool"));
    let thin = bench.create("a", ImageKind::Thin);
    let commits = || *bench.kernel.commits.lock().unwrap();
    let state = |line: &str| line.clone_into(&mut bench.kernel.pool.lock().unwrap());
    state("1 10/1024 8192/8192 - out_of_data_space discard_passdown error_if_no_space - 256");
    bench.engine.sync(thin).unwrap();
    assert_eq!(commits(), 1);
    for line in [
        "1 10/1024 8192/8192 - ro discard_passdown error_if_no_space - 256",
        "1 10/1024 8192/8192 - rw discard_passdown error_if_no_space needs_check 256",
        "Fail",
    ] {
        state(line);
        refused(bench.engine.sync(thin), FaultKind::Failed, "cannot commit");
    }
    let thick = bench.create("b", ImageKind::Thick);
    refused(
        bench.engine.sync(thick),
        FaultKind::NoSpace,
        "but by its device",
    );
    refused(
        bench.engine.sync(Gfid::random()),
        FaultKind::NotFound,
        "flush image",
    );
    assert_eq!(commits(), 4);
}

#[test]
fn zeroing_is_resumed_before_anybody_looks() {
    let bench = bench(None);
    let gfid = Gfid::random();
    let tags = vec![Tag::Gfid(gfid), Tag::Zeroing(Bytes(4 * MIB))];
    bench.lvm.state().insert(&name("a"), Extents(20), tags);
    bench.engine.volumes().unwrap();
    bench.engine.open(gfid).unwrap();
    let slices = std::mem::take(&mut *bench.kernel.zeroed.lock().unwrap());
    assert_eq!(
        slices,
        [
            (4 * MIB, 32 * MIB),
            (36 * MIB, 32 * MIB),
            (68 * MIB, 12 * MIB)
        ]
    );
    assert_eq!(
        bench.lvm.state().lv(&name("a")).unwrap().tags,
        [Tag::Gfid(gfid)]
    );
    bench.engine.open(gfid).unwrap();
    assert!(bench.kernel.zeroed.lock().unwrap().is_empty());
}

#[test]
fn pools_that_leak_or_are_broken_are_refused() {
    let bench = bench(Some("pool"));
    let again = |word, kind| refused(open(&bench.kernel, Some("pool")), kind, word);
    let set = |attr: &str| {
        bench.lvm.state().pool.as_mut().unwrap().attr = attr.parse().unwrap();
    };
    set("twi-aot---");
    again("lvchange --zero y vg0/pool", FaultKind::Invalid);
    set("twi-aotzM-");
    again("lvconvert --repair vg0/pool", FaultKind::Failed);
    set("twi-cotz--");
    again("lvconvert --repair", FaultKind::Failed);
    set("-wi-a-----");
    again("not a thin pool", FaultKind::Invalid);
    set("twi-aotz--");
    let says = |line: &str| line.clone_into(&mut bench.kernel.pool.lock().unwrap());
    says("1 10/1024 100/8192 - ro discard_passdown error_if_no_space needs_check 256");
    again("lvconvert --repair", FaultKind::Failed);
    refused(
        open(&bench.kernel, Some("none")),
        FaultKind::NotFound,
        "lvcreate",
    );

    let make = || {
        bench
            .engine
            .create(Gfid::random(), &name("a"), ImageKind::Thin, Bytes(1))
    };
    says("1 10/1024 8192/8192 - out_of_data_space discard_passdown error_if_no_space - 256");
    refused(make(), FaultKind::NoSpace, "vg0/pool is full");
    assert_eq!(bench.engine.space().unwrap().free, Bytes(0));
    says("1 990/1024 100/8192 - rw discard_passdown error_if_no_space - 256");
    refused(make(), FaultKind::NoSpace, "96% of its metadata");
    says("Fail");
    refused(make(), FaultKind::Failed, "lvconvert --repair");
    says(POOL);
    make().unwrap();
    let thin = bench
        .engine
        .create(Gfid::random(), &name("b"), ImageKind::Thick, Bytes(1));
    assert_eq!(thin.unwrap().kind, ImageKind::Thick);
}

/// As when older metadata of the group were written back: LVM would give its next LV the device of another.
#[test]
fn nothing_is_made_on_the_device_of_another() {
    let bench = bench(Some("pool"));
    bench.engine.claim(BrickId::random()).unwrap();
    let known = |device| ThinDevice {
        uuid: "z".repeat(32).parse().unwrap(),
        device,
        transaction: 0,
    };
    bench.lvm.state().thin_devices = vec![known(1), known(4)];
    // LVM never gives the lower ones to a new LV.
    *bench.kernel.thin_devices.lock().unwrap() = vec![1, 2, 4];
    let engine = open(&bench.kernel, Some("pool")).unwrap();
    assert_eq!(engine.finding(), None);
    *bench.kernel.thin_devices.lock().unwrap() = vec![1, 2, 4, 5, 6];
    let engine = open(&bench.kernel, Some("pool")).unwrap();
    let finding = engine.finding().unwrap();
    let words = "dmsetup message vg0-pool-tpool 0 \"delete 5\"; dmsetup message vg0-pool-tpool 0 \"delete 6\"";
    assert!(finding.message.ends_with(words), "{}", finding.message);
    let create = |kind| engine.create(Gfid::random(), &name("new"), kind, Bytes(1));
    refused(create(ImageKind::Thin), FaultKind::Failed, words);
    create(ImageKind::Thick).unwrap();
}
