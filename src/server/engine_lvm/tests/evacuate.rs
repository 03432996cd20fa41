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
    assert_eq!(bench.engine.move_piece(&pv, true).unwrap(), mib(80));
    assert_eq!(bench.commands(), ["pvs /dev/sdb", "pvchange -x vg0"]);
    assert_eq!(bench.engine.move_piece(&pv, false).unwrap(), mib(16));
    assert_eq!(
        bench.commands(),
        ["pvs /dev/sdb", "pvmove vg0", "lvs vg0", "pvs /dev/sdb"]
    );
    bench
        .lvm
        .state()
        .failures
        .push_back(Some(bd_lvm::LvmErrorKind::NoSpace));
    refused(
        bench.engine.move_piece(&pv, false),
        FaultKind::NoSpace,
        "/dev/sdb",
    );
    assert_eq!(bench.engine.move_piece(&pv, false).unwrap(), 0);
    assert_eq!(bench.engine.move_piece(&pv, false).unwrap(), 0);
    bench.commands();
    bench.engine.allow_disk(&pv).unwrap();
    assert_eq!(bench.commands(), ["pvchange -x vg0"]);
    bench.lvm.state().pvs[0].vg = "other".parse().unwrap();
    assert!(bench.engine.disk(&pv).unwrap().is_none());
    refused(
        bench.engine.move_piece(&pv, false),
        FaultKind::NotFound,
        "does not belong to vg0",
    );
}
