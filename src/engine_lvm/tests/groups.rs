//! Groups and volumes of others.

use super::*;

#[test]
fn groups_of_others_are_refused() {
    let bench = bench(None);
    let again = |word, kind| refused(open(&bench.kernel, None), kind, word);
    bench.lvm.state().vg.exported = true;
    again("vgimport vg0", FaultKind::InUse);
    bench.lvm.state().vg.exported = false;
    bench.lvm.state().vg.partial = true;
    again("vgreduce --removemissing vg0", FaultKind::Failed);
    bench.lvm.state().vg.partial = false;
    bench.lvm.state().vg.shared = true;
    again("shared by several hosts", FaultKind::Unsupported);
    bench.lvm.state().vg.shared = false;
    bench.lvm.state().vg.writeable = false;
    again("read-only", FaultKind::Invalid);
    bench.lvm.state().vg.writeable = true;
    let (ours, theirs) = (BrickId::random(), BrickId::random());
    bench.engine.claim(ours).unwrap();
    refused(
        bench.engine.claim(theirs),
        FaultKind::InUse,
        &ours.to_string(),
    );
    bench.engine.release(theirs).unwrap();
    assert_eq!(bench.engine.claimed_by().unwrap(), Some(ours));
    bench.engine.release(ours).unwrap();
    assert_eq!(bench.engine.claimed_by().unwrap(), None);
}

#[test]
fn a_group_of_another_identity_is_not_touched() {
    let bench = bench(None);
    bench.lvm.state().vg.uuid = "z".repeat(32).parse().unwrap();
    refused(
        bench.engine.volumes(),
        FaultKind::Failed,
        "another one than before",
    );
}

#[test]
fn the_second_lv_of_one_image_is_nobodys() {
    let bench = bench(None);
    let gfid = Gfid::random();
    bench
        .lvm
        .state()
        .insert(&name("a"), Extents(1), vec![Tag::Gfid(gfid)]);
    bench
        .lvm
        .state()
        .insert(&name("b"), Extents(1), vec![Tag::Gfid(gfid)]);
    let volumes = bench.engine.volumes().unwrap();
    let owners: Vec<_> = volumes.iter().map(|v| v.gfid).collect();
    assert_eq!(owners, [Some(gfid), None]);
    let other = Gfid::random();
    bench.engine.adopt(&name("b"), other).unwrap();
    assert_eq!(
        bench.lvm.state().lv(&name("b")).unwrap().tags,
        [Tag::Gfid(other)]
    );
    bench.engine.volumes().unwrap();
    assert_eq!(bench.name_of(gfid), "a");
    assert_eq!(bench.name_of(other), "b");
}

#[test]
fn a_renamed_group_is_known_by_its_identity() {
    let bench = bench(None);
    bench.create("a", ImageKind::Thick);
    let identity = bench.engine.identity();
    bench.lvm.state().vg.name = "vg9".parse().unwrap();
    let made = bench
        .engine
        .create(Gfid::random(), &name("b"), ImageKind::Thick, Bytes(1));
    refused(made, FaultKind::NotAttached, "vg0 is called vg9 now");
    // Another group of that name is another one.
    bench.lvm.state().vg.uuid = "x".repeat(32).parse().unwrap();
    let made = bench
        .engine
        .create(Gfid::random(), &name("b"), ImageKind::Thick, Bytes(1));
    refused(made, FaultKind::NotFound, "vg0");
    assert!(identity.is_some_and(|identity| identity.len() == 38));
}
