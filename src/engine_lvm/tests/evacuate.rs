//! What lies on a disk moves to others, by commands that are small.

use bd_lvm::{PvName, PvReport};

use super::*;

#[test]
fn a_disk_is_emptied_piece_by_piece() {
    let bench = bench(Some("pool"));
    let pv: PvName = "/dev/sdb".parse().unwrap();
    bench.lvm.state().pvs.push(PvReport {
        name: pv.clone(),
        vg: "vg0".parse().unwrap(),
        extent_size: Bytes(4 << 20),
        used: Extents(20),
        free_elsewhere: Extents(40),
        first: Some((8, Extents(20))),
    });
    let mib = |number: u64| number << 20;
    let all = Bytes(u64::MAX);
    let piece = |is_new, most| bench.engine.move_piece(&pv, is_new, most);
    assert_eq!(piece(true, all).unwrap(), mib(80));
    assert_eq!(bench.commands(), ["pvs /dev/sdb", "pvchange -x vg0"]);
    assert_eq!(piece(false, all).unwrap(), mib(16));
    assert_eq!(
        bench.commands(),
        ["pvs /dev/sdb", "pvmove vg0", "lvs vg0", "pvs /dev/sdb"]
    );
    bench
        .lvm
        .state()
        .failures
        .push_back(Some(bd_lvm::LvmErrorKind::NoSpace));
    refused(piece(false, all), FaultKind::NoSpace, "/dev/sdb");
    assert_eq!(piece(false, Bytes(mib(11))).unwrap(), mib(8));
    // Less than an extent cannot be moved.
    assert_eq!(piece(false, Bytes(1)).unwrap(), mib(4));
    assert_eq!(piece(false, all).unwrap(), 0);
    assert_eq!(piece(false, all).unwrap(), 0);
    bench.commands();
    bench.engine.allow_disk(&pv).unwrap();
    assert_eq!(bench.commands(), ["pvchange -x vg0"]);
    bench.lvm.state().pvs[0].vg = "other".parse().unwrap();
    assert!(bench.engine.disk(&pv).unwrap().is_none());
    refused(
        piece(false, all),
        FaultKind::NotFound,
        "does not belong to vg0",
    );
}

#[test]
fn a_piece_that_was_cut_short_is_taken_back() {
    let bench = bench(Some("pool"));
    let moved = |text: &str, mib: u64| bd_lvm::MoveReport {
        pv: text.parse().unwrap(),
        size: Bytes(mib << 20),
    };
    let (ours, an_admins) = (moved("/dev/sdb", 64), moved("/dev/sdc", 68));
    bench.lvm.state().moves = vec![ours, an_admins.clone()];
    let start = || {
        open(&bench.kernel, Some("pool")).unwrap();
        let aborts = |c: &String| c.starts_with("pvmove --abort");
        bench.commands().into_iter().filter(aborts).count()
    };
    assert_eq!(start(), 0, "no brick has taken the group");
    bench.engine.claim(BrickId::random()).unwrap();
    assert_eq!(start(), 1);
    assert_eq!(bench.lvm.state().moves, [an_admins]);
    assert_eq!(start(), 0);
}
