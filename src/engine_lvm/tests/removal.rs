//! Removal, merges, and what is left of those that were cut off.

use std::collections::HashSet;

use super::*;

#[test]
fn removal_waits_for_users() {
    let bench = bench(Some("pool"));
    let a = bench.create("a", ImageKind::Thin);
    bench.commands();
    *bench.kernel.open.lock().unwrap() = 1;
    let deferred = bench.engine.remove(a).unwrap();
    assert_eq!(deferred, Removed::Deferred("vg0/a is open".to_owned()));
    // LVM was not asked at all.
    assert_eq!(bench.commands(), [] as [&str; 0]);
    *bench.kernel.open.lock().unwrap() = 0;
    bench
        .lvm
        .state()
        .failures
        .push_back(Some(LvmErrorKind::InUse));
    assert_eq!(bench.engine.remove(a).unwrap(), Removed::Gone);
    assert_eq!(bench.engine.remove(a).unwrap(), Removed::AlreadyGone);
}

#[test]
fn what_a_kill_leaves_is_cleared_at_the_start() {
    let bench = bench(Some("pool"));
    let gfid = Gfid::random();
    let left = [
        ("frozen", vec![Tag::Temporary]),
        ("half", vec![Tag::Gfid(gfid), Tag::Unfinished]),
        ("whole", vec![Tag::Gfid(Gfid::random())]),
    ];
    for (text, tags) in left {
        bench.lvm.state().insert(&name(text), Extents(1), tags);
    }
    bench.lvm.state().pool.as_mut().unwrap().transaction = 2;
    // The one that the kernel has not counted was never active; the other is whole.
    bench.lvm.state().thin_devices = [(3, 1), (2, 0)]
        .map(|(device, transaction)| ThinDevice {
            uuid: format!("{device:0>32}").replace('0', "z").parse().unwrap(),
            device,
            transaction,
        })
        .into();
    *bench.kernel.suspended.lock().unwrap() = true;
    let start = || {
        open(&bench.kernel, Some("pool")).unwrap();
        bench.commands()
    };
    // Nothing at all is changed before a brick has taken the group.
    assert_eq!(start(), ["lvs vg0", "lvs vg0/pool"]);
    bench.engine.claim(BrickId::random()).unwrap();
    bench.commands();
    let commands = start();
    assert!(
        commands.contains(&"vgchange --refresh vg0".to_owned()),
        "{commands:?}"
    );
    assert!(
        commands.iter().any(|c| c.starts_with("lvcreate vg0/")),
        "{commands:?}"
    );
    let deleted = std::mem::take(&mut *bench.kernel.deleted.lock().unwrap());
    assert!(!deleted.is_empty() && deleted.iter().all(|device| *device == 3));
    let names: Vec<_> = bench
        .lvm
        .state()
        .vg
        .lvs
        .iter()
        .map(|lv| lv.name.clone())
        .collect();
    assert_eq!(names, [name("pool"), name("whole")]);
    *bench.kernel.suspended.lock().unwrap() = false;
    bench.lvm.state().pool.as_mut().unwrap().transaction = 1;
    let commands = start();
    assert!(
        commands.iter().all(|c| c.starts_with("lvs ")),
        "{commands:?}"
    );
    assert!(bench.kernel.deleted.lock().unwrap().is_empty());
}

/// Whatever command of a merge fails, it is done as a whole or not at all, and the next start
/// tidies up.
#[test]
fn a_merge_is_whole_whatever_fails() {
    for failing in 0..7 {
        let bench = bench(Some("pool"));
        bench.engine.claim(BrickId::random()).unwrap();
        let kind = ImageKind::Thin;
        let (first, a) = (bench.create("above", kind), Gfid::random());
        let [snapshot, second] = [(); 2].map(|()| Gfid::random());
        let copy = |from, to, text| bench.engine.snapshot(from, to, &name(text), None).unwrap();
        copy(first, a, "a");
        copy(a, snapshot, "snap");
        copy(a, second, "second");
        let uuid = |text: &str| bench.lvm.state().lv(&name(text)).unwrap().uuid.clone();
        let (old, new) = (uuid("a"), uuid("snap"));
        bench.commands();
        let failures = (0..failing)
            .map(|_| None)
            .chain([Some(LvmErrorKind::Failed)]);
        bench.lvm.state().failures = failures.collect();
        let merged = bench.engine.merge(snapshot, a);
        bench.lvm.state().failures.clear();
        let engine = open(&bench.kernel, Some("pool")).unwrap();
        for engine in [&bench.engine, &engine] {
            let is = |gfid| {
                let lv = engine.model().image(gfid).map(|lv| lv.uuid.clone());
                (lv, engine.find(gfid).unwrap().unwrap())
            };
            let ((at_a, image), (at_snapshot, rest)) = (is(a), is(snapshot));
            let swapped = (at_a, at_snapshot) == (Some(new.clone()), Some(old.clone()));
            assert_eq!(swapped, merged.is_ok(), "{failing}");
            assert_eq!(rest.outgoing, swapped, "{failing}");
            assert_eq!(image.origin_image, Some(first), "{failing}");
            assert_eq!(is(second).1.origin_image, Some(a), "{failing}");
        }
        if failing == 0 {
            refused(merged, FaultKind::Failed, "merge image");
            continue;
        }
        // The start has left no mark of the merge, and another one changes nothing.
        let tags = bench.lvm.state().vg.lvs.clone();
        let marked = |lv: &LvReport| lv.tags.iter().any(|t| matches!(t, Tag::Merged(_)));
        assert!(!tags.iter().any(marked), "{failing}: {tags:?}");
        bench.commands();
        open(&bench.kernel, Some("pool")).unwrap();
        let commands = bench.commands();
        assert!(
            commands.iter().all(|c| c.starts_with("lvs ")),
            "{commands:?}"
        );
        assert_eq!(engine.remove(snapshot).unwrap(), Removed::Gone);
        assert_eq!(engine.find(second).unwrap().unwrap().origin_image, Some(a));
        if failing > 5 {
            assert_eq!(merged.unwrap().name, name("a"));
        }
    }
}

/// Removals that wait at the same time go with one command; what is in the way of one is not in the
/// way of the others.
#[test]
fn removals_go_together() {
    let bench = bench(Some("pool"));
    let gfids: Vec<Gfid> = (0..6)
        .map(|number| bench.create(&format!("vm{number}"), ImageKind::Thin))
        .collect();
    let uuid = |text: &str| bench.lvm.state().lv(&name(text)).unwrap().uuid.clone();
    let remove_all = |gfids: &[Gfid]| {
        let vg_lock = bench.engine.vg_lock();
        std::thread::scope(|scope| {
            let removals: Vec<_> = gfids
                .iter()
                .map(|gfid| scope.spawn(|| bench.engine.remove(*gfid)))
                .collect();
            // All of them wait for their turn before the first has it.
            while bench.engine.removals.waiting() < gfids.len() {
                std::thread::yield_now();
            }
            drop(vg_lock);
            let ended = removals.into_iter().map(|removal| removal.join().unwrap());
            ended.collect::<Vec<_>>()
        })
    };
    let of_three: HashSet<_> = ["vm0", "vm1", "vm2"]
        .map(|text| uuid(text).to_string())
        .into();
    bench.commands();
    let removed = remove_all(&gfids[..3]);
    assert!(removed.into_iter().all(|r| r.unwrap() == Removed::Gone));
    let [command] = &bench.commands()[..] else {
        panic!("one command");
    };
    let words: HashSet<_> = command.split(' ').skip(2).map(str::to_owned).collect();
    assert_eq!(words, of_three);

    // Nothing is done for all of them, and then by one; an admin has removed the second.
    let gone = uuid("vm4");
    bench.lvm.state().vg.lvs.retain(|lv| lv.uuid != gone);
    bench.lvm.state().failures = [Some(LvmErrorKind::Failed)].into();
    let removed = remove_all(&gfids[3..]);
    assert!(removed.into_iter().all(|r| r.unwrap() == Removed::Gone));
    assert!(bench.engine.model().images() == 0);
    let commands = bench.commands();
    let removals = commands.iter().filter(|c| c.starts_with("lvremove"));
    assert!((2..=4).contains(&removals.count()), "{commands:?}");
}
