//! Thin LVs become active without LVM where the metadata on the disks say all that is needed.

use super::*;

/// The metadata of the group, with one thin LV in it.
fn metadata(bench: &Bench, gfid: Gfid, transaction: u64) -> String {
    let lv = bench.engine.model().image(gfid).unwrap().clone();
    let state = bench.lvm.state();
    let pool = state.pool.as_ref().unwrap();
    let extents = lv.size.0 / state.vg.extent_size.0;
    format!(
        r#"vg0 {{
            id = "{}" status = ["READ", "WRITE"] extent_size = 8192
            logical_volumes {{
                pool {{
                    id = "{}" segment_count = 1
                    segment1 {{ type = "thin-pool" transaction_id = {transaction} }}
                }}
                {} {{
                    id = "{}" status = ["READ", "WRITE", "VISIBLE"] segment_count = 1
                    segment1 {{
                        start_extent = 0 extent_count = {extents}
                        type = "thin" thin_pool = "pool" device_id = 7
                    }}
                }}
            }}
        }}"#,
        state.vg.uuid, pool.uuid, lv.name, lv.uuid,
    )
}

/// An image whose LV is not active, and the pool's metadata as they are.
fn asleep() -> (Bench, Gfid) {
    let bench = bench(Some("pool"));
    let gfid = bench.create("a", ImageKind::Thin);
    let uuid = bench.engine.model().image(gfid).unwrap().uuid.clone();
    bench.lvm.state().active.remove(&uuid);
    bench.commands();
    (bench, gfid)
}

fn with(bench: &Bench, text: impl Into<String>) {
    *bench.kernel.metadata.lock().unwrap() = Some(text.into());
}

#[test]
fn a_plain_thin_lv_needs_no_command() {
    let (bench, gfid) = asleep();
    with(&bench, metadata(&bench, gfid, 1));
    bench.engine.open(gfid).unwrap();
    assert_eq!(bench.commands(), [] as [&str; 0]);
    // It is as active as if LVM had done it.
    bench.engine.open(gfid).unwrap();
    bench.engine.remove(gfid).unwrap();
    assert_eq!(bench.commands().len(), 1);
}

#[test]
fn an_open_waits_for_no_command() {
    let (bench, gfid) = asleep();
    with(&bench, metadata(&bench, gfid, 1));
    let (opened, wait) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let under_way = bench.engine.vg_lock();
        scope.spawn(|| opened.send(bench.engine.open(gfid).map(drop)));
        let result = wait.recv_timeout(std::time::Duration::from_secs(30));
        drop(under_way);
        result.expect("an open that waits").unwrap();
    });
}

#[test]
fn what_is_in_doubt_is_left_to_lvm() {
    let by_lvm = |prepare: &dyn Fn(&Bench, Gfid)| {
        let (bench, gfid) = asleep();
        with(&bench, metadata(&bench, gfid, 1));
        prepare(&bench, gfid);
        bench.engine.open(gfid).unwrap();
        let commands = bench.commands();
        assert_eq!(commands.len(), 1, "{commands:?}");
        assert!(
            commands[0].starts_with("lvchange -ay vg0/a"),
            "{commands:?}"
        );
    };
    by_lvm(&|bench, _| *bench.kernel.metadata.lock().unwrap() = None);
    by_lvm(&|bench, _| with(bench, "nothing that is understood"));
    by_lvm(&|bench, gfid| with(bench, metadata(bench, gfid, 2)));
    by_lvm(&|bench, gfid| {
        let text = metadata(bench, gfid, 1);
        with(
            bench,
            text.replace("device_id = 7", "device_id = 7 external_origin = \"x\""),
        );
    });
    let state = |words: &'static str| {
        move |bench: &Bench, _| *bench.kernel.pool.lock().unwrap() = words.to_owned()
    };
    by_lvm(&state(
        "1 10/1024 100/8192 - ro discard_passdown error_if_no_space - 256",
    ));
    by_lvm(&state(
        "1 10/1024 100/8192 - rw discard_passdown error_if_no_space needs_check 256",
    ));
    by_lvm(&state("Error"));
    // The kernel refuses.
    by_lvm(&|bench, _| *bench.kernel.broken.lock().unwrap() = true);
}

#[test]
fn thick_lvs_are_left_to_lvm() {
    let (bench, _) = asleep();
    let gfid = bench.create("thick", ImageKind::Thick);
    let uuid = bench.engine.model().image(gfid).unwrap().uuid.clone();
    bench.lvm.state().active.remove(&uuid);
    bench.commands();
    with(&bench, "not asked for");
    bench.engine.open(gfid).unwrap();
    assert_eq!(bench.commands().len(), 1);
}
