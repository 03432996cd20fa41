//! The engine on LVM and a kernel in memory: names, locks, errors and the number of commands.
//! That bytes are right is shown on real volume groups by the guest's tests.

use bd_engine::{Engine, Removed};
use bd_lvm::fake::FakeLvm;
use bd_lvm::{LvmErrorKind, Tag, ThinDevice};
use bd_model::BrickId;

use super::fake::*;
use super::*;

mod activate;
mod bench;
mod evacuate;
mod extend;
mod groups;
mod idle;
mod pools;
mod removal;
mod zero;

use bench::*;

const MIB: u64 = 1 << 20;

#[test]
fn common_verbs_cost_one_command() {
    let bench = bench(Some("pool"));
    let a = bench.create("a", ImageKind::Thin);
    assert_eq!(bench.commands(), ["lvcreate vg0/a"]);
    let (s, c) = (Gfid::random(), Gfid::random());
    bench.engine.snapshot(a, s, &name("s"), None).unwrap();
    assert_eq!(bench.commands(), ["lvcreate -s vg0/s"]);
    bench.engine.clone_image(a, c, &name("c")).unwrap();
    assert_eq!(bench.commands(), ["lvcreate -s vg0/c"]);
    bench.engine.rename(c, &name("d")).unwrap();
    assert_eq!(bench.commands(), ["lvrename vg0/c"]);
    bench.engine.resize(a, Bytes(40 * MIB)).unwrap();
    assert_eq!(bench.commands(), ["lvextend vg0/a"]);
    for gfid in [a, s, c] {
        bench.engine.open(gfid).unwrap();
        bench.engine.find(gfid).unwrap().unwrap();
        bench
            .engine
            .rename(gfid, &name(&bench.name_of(gfid)))
            .unwrap();
        bench
            .engine
            .resize(gfid, bench.engine.find(gfid).unwrap().unwrap().size)
            .unwrap();
    }
    bench.engine.allocated(&[a, s]).unwrap();
    bench.engine.space().unwrap();
    assert_eq!(bench.commands(), [] as [&str; 0]);
    assert_eq!(bench.engine.remove(a).unwrap(), Removed::Gone);
    assert_eq!(bench.commands().len(), 1);
    assert_eq!(bench.engine.find(s).unwrap().unwrap().origin, None);
}

#[test]
fn the_model_stays_in_step() {
    let bench = bench(Some("pool"));
    let (thin, thick) = (
        bench.create("a", ImageKind::Thin),
        bench.create("b", ImageKind::Thick),
    );
    let (s, t) = (Gfid::random(), Gfid::random());
    bench.engine.snapshot(thin, s, &name("s"), None).unwrap();
    bench.engine.snapshot(thick, t, &name("t"), None).unwrap();
    bench.engine.rename(thin, &name("a2")).unwrap();
    bench.engine.rename(thick, &name("b2")).unwrap();
    bench.engine.resize(thin, Bytes(20 * MIB)).unwrap();
    assert_eq!(bench.engine.remove(t).unwrap(), Removed::Gone);
    bench.engine.resize(thick, Bytes(20 * MIB)).unwrap();
    bench.engine.resize(thick, Bytes(8 * MIB)).unwrap();
    let gfids = [thin, thick, s, t];
    let before: Vec<_> = gfids
        .iter()
        .map(|g| bench.engine.find(*g).unwrap())
        .collect();
    let free = bench.engine.model().vg.free;
    bench.engine.volumes().unwrap();
    let after: Vec<_> = gfids
        .iter()
        .map(|g| bench.engine.find(*g).unwrap())
        .collect();
    assert_eq!(before, after);
    assert_eq!(bench.engine.model().vg.free, free);
}

#[test]
fn taken_names_become_gfids() {
    let bench = bench(Some("pool"));
    let first = bench.create("vm1", ImageKind::Thin);
    let second = bench.create("vm1", ImageKind::Thin);
    assert_eq!(bench.name_of(first), "vm1");
    assert_eq!(bench.name_of(second), second.to_string());
    // Taken by an admin since: one failed command, one report, one more command.
    bench.lvm.state().insert(&name("late"), Extents(1), vec![]);
    bench.commands();
    let third = bench.create("late", ImageKind::Thin);
    assert_eq!(bench.name_of(third), third.to_string());
    assert_eq!(bench.commands().len(), 3);
    bench.lvm.state().insert(&name("later"), Extents(1), vec![]);
    bench.engine.rename(first, &name("later")).unwrap();
    assert_eq!(bench.name_of(first), first.to_string());
}

#[test]
fn errors_leave_nothing() {
    let bench = bench(None);
    bench.kernel.broken.lock().unwrap().clone_from(&true);
    let gfid = Gfid::random();
    let made = bench
        .engine
        .create(gfid, &name("a"), ImageKind::Thick, Bytes(1));
    refused(made, FaultKind::Failed, "zeroing stopped");
    assert_eq!(bench.engine.volumes().unwrap(), []);
    bench.kernel.broken.lock().unwrap().clone_from(&false);

    let a = bench.create("a", ImageKind::Thick);
    bench
        .lvm
        .state()
        .failures
        .extend([None, None, Some(LvmErrorKind::Failed)]);
    bench.kernel.broken.lock().unwrap().clone_from(&true);
    let cloned = bench.engine.clone_image(a, gfid, &name("c"));
    refused(cloned, FaultKind::Failed, "copying stopped");
    // Its frozen copy could not be removed either: that is tried again before it is in the way.
    assert_eq!(bench.engine.volumes().unwrap().len(), 1);
    assert_eq!(bench.engine.model().temporary().len(), 1);
    bench.kernel.broken.lock().unwrap().clone_from(&false);

    bench
        .lvm
        .state()
        .failures
        .extend([None, None, Some(LvmErrorKind::Failed)]);
    refused(
        bench.engine.resize(a, Bytes(8 * MIB)),
        FaultKind::Failed,
        "resize",
    );
    assert_eq!(bench.engine.find(a).unwrap().unwrap().size, Bytes(4 * MIB));
    let tags = bench.lvm.state().lv(&name("a")).unwrap().tags.clone();
    assert_eq!(tags, [Tag::Gfid(a)]);
    assert!(bench.engine.model().temporary().is_empty());
}

#[test]
fn a_cow_store_holds_every_change() {
    let extent = Bytes(4 * MIB);
    // 64 chunks of data, one table, its successor and the header.
    assert_eq!(create::cow_extents(extent, extent), Extents(2));
    // 4096 entries fit into one table.
    let chunk = 64 << 10;
    let size = Bytes(4096 * chunk);
    assert_eq!(
        create::cow_extents(size, Bytes(chunk)),
        Extents(4096 + 2 + 1)
    );
    let size = Bytes(4097 * chunk);
    assert_eq!(
        create::cow_extents(size, Bytes(chunk)),
        Extents(4097 + 3 + 1)
    );
}

#[test]
fn a_vg_that_nobody_has_changed_is_not_read_again() {
    let bench = bench(Some("pool"));
    bench.engine.volumes().unwrap();
    assert_eq!(bench.commands(), ["lvs vg0"]);
    for _ in 0..3 {
        bench.engine.volumes().unwrap();
        bench.engine.volumes_lately().unwrap();
    }
    assert_eq!(bench.commands(), [""; 0]);
    // A change of our own: what others have done may be missing for a while, our own is not.
    bench.create("vm1", ImageKind::Thin);
    bench.commands();
    assert_eq!(bench.engine.volumes_lately().unwrap().len(), 1);
    assert_eq!(bench.commands(), [""; 0]);
    bench.engine.volumes().unwrap();
    assert_eq!(bench.commands(), ["lvs vg0"]);
    // A change of somebody else.
    bench.lvm.state().vg.free = Extents(7);
    bench.engine.volumes_lately().unwrap();
    assert_eq!(bench.commands(), ["lvs vg0"]);
}

#[test]
fn each_change_is_brought_to_the_disks_and_kept() {
    let bench = bench(Some("pool"));
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("metadata");
    bench.engine.keep_metadata(&kept);
    let count = || {
        (
            *bench.kernel.settled.lock().unwrap(),
            std::fs::read_dir(&kept).unwrap().count(),
        )
    };
    let (settled, files) = count();
    assert_eq!(files, 1);
    let gfid = bench.create("vm1", ImageKind::Thin);
    let name = "vm2".parse().unwrap();
    bench.engine.rename(gfid, &name).unwrap();
    let (now, files) = count();
    assert!(now >= settled + 2);
    assert_eq!(files, 3);
    // An activation changes nothing that lies on the disks.
    bench.engine.open(gfid).unwrap();
    assert_eq!(count(), (now, 3));
}
