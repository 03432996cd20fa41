//! No image shows bytes that were not written to it.

use std::fs;
use std::os::unix::fs::FileExt;

use anyhow::{Context, anyhow};
use bd_engine::{Engine, Removed};
use bd_model::{Bytes, Gfid, ImageKind};
use bd_proto::FaultKind;
use loopdev::{Place, run};

use super::{
    MIB, OLD, all_of, create, done, executor, file_of, name, only_zeros, open, path, put, refused,
    used_vg,
};

#[test]
fn thick_images_show_no_old_bytes() {
    run(
        "guest::engine_lvm::bytes::thick_images_show_no_old_bytes",
        Place::Guest,
        |rig| {
            let vg = used_vg(rig, 384)?;
            // The pattern is there: a plain lvcreate shows it.
            vg.lvm(
                "lvcreate",
                &["-y", "-Wn", "-Zn", "-L", "8m", "-n", "plain", vg.name()],
            )?
            .ok()?;
            let plain = fs::read(vg.device("plain"))?;
            assert!(plain.contains(&OLD));
            vg.lvm("lvremove", &["-y", &path(&vg, "plain")])?.ok()?;

            let executor = executor(&vg)?;
            let engine = done(open(&executor, &vg, None))?;
            let (gfid, volume) = create(&engine, "vm1", ImageKind::Thick, 40)?;
            assert_eq!(volume.size, Bytes(40 * MIB));
            assert!(
                only_zeros(&all_of(&engine, gfid)?),
                "a new image shows old bytes"
            );
            assert!(!vg.field("vm1", "lv_tags")?.contains("zeroing"));
            put(&engine, gfid, 0, &vec![0x11; usize::try_from(40 * MIB)?])?;

            // Open all the while, as a brick has it.
            let held = file_of(&engine, gfid)?;
            assert_eq!(
                done(engine.resize(gfid, Bytes(100 * MIB)))?.size,
                Bytes(100 * MIB)
            );
            let bytes = all_of(&engine, gfid)?;
            let (head, tail) = bytes.split_at(usize::try_from(40 * MIB)?);
            assert!(
                head.iter().all(|byte| *byte == 0x11) && only_zeros(tail),
                "grown"
            );
            put(
                &engine,
                gfid,
                40 * MIB,
                &vec![0x22; usize::try_from(60 * MIB)?],
            )?;
            assert_eq!(
                done(engine.resize(gfid, Bytes(20 * MIB)))?.size,
                Bytes(20 * MIB)
            );
            assert_eq!(
                done(engine.resize(gfid, Bytes(100 * MIB)))?.size,
                Bytes(100 * MIB)
            );
            let mut bytes = vec![0xee; usize::try_from(100 * MIB)?];
            held.read_exact_at(&mut bytes, 0)?;
            let (head, tail) = bytes.split_at(usize::try_from(20 * MIB)?);
            assert!(
                head.iter().all(|byte| *byte == 0x11) && only_zeros(tail),
                "shrunk and grown"
            );
            assert!(!vg.field("vm1", "lv_tags")?.contains("zeroing"));
            Ok(())
        },
    );
}

#[test]
fn thin_images_show_no_old_bytes() {
    run(
        "guest::engine_lvm::bytes::thin_images_show_no_old_bytes",
        Place::Guest,
        |rig| {
            let vg = used_vg(rig, 384)?;
            // Chunks that extents are no multiple of.
            let args = [
                "-L",
                "192m",
                "--chunksize",
                "192k",
                "-T",
                &path(&vg, "pool"),
            ];
            vg.lvm("lvcreate", &args)?.ok()?;
            let executor = executor(&vg)?;
            let engine = done(open(&executor, &vg, Some("pool")))?;
            let (gfid, _) = create(&engine, "vm1", ImageKind::Thin, 40)?;
            assert_eq!(done(engine.allocated(&[gfid]))?, [Some(Bytes(0))]);
            assert!(only_zeros(&all_of(&engine, gfid)?));
            put(&engine, gfid, 0, &vec![0x33; usize::try_from(40 * MIB)?])?;
            let before = done(engine.allocated(&[gfid]))?[0].context("active")?;
            assert!(before >= Bytes(40 * MIB), "{before}");
            done(engine.resize(gfid, Bytes(8 * MIB)))?;
            let after = done(engine.allocated(&[gfid]))?[0].context("active")?;
            assert!(
                after < Bytes(9 * MIB),
                "the cut end is still allocated: {after}"
            );
            done(engine.resize(gfid, Bytes(60 * MIB)))?;
            let bytes = all_of(&engine, gfid)?;
            let (head, tail) = bytes.split_at(usize::try_from(8 * MIB)?);
            assert!(head.iter().all(|byte| *byte == 0x33) && only_zeros(tail));
            let space = done(engine.space())?;
            assert!(
                space.total.0 >= 190 * MIB && space.free < space.total,
                "{space:?}"
            );
            Ok(())
        },
    );
}

#[test]
fn thick_copies_hold() {
    run(
        "guest::engine_lvm::bytes::thick_copies_hold",
        Place::Guest,
        |rig| {
            let vg = used_vg(rig, 512)?;
            let executor = executor(&vg)?;
            let engine = done(open(&executor, &vg, None))?;
            let (a, _) = create(&engine, "a", ImageKind::Thick, 64)?;
            let old: Vec<u8> = (0..16_u32 << 20).flat_map(u32::to_le_bytes).collect();
            let old = {
                let mut old = old;
                old[usize::try_from(20 * MIB)?..usize::try_from(40 * MIB)?].fill(0);
                old
            };
            put(&engine, a, 0, &old)?;

            // Every byte of the origin changes, and then every byte of the snapshot.
            let snapshot = Gfid::random();
            let made = done(engine.snapshot(a, snapshot, &name("s"), None))?;
            assert_eq!((made.size, made.origin), (Bytes(64 * MIB), Some(name("a"))));
            put(&engine, a, 0, &vec![0x77; old.len()])?;
            assert!(
                all_of(&engine, snapshot)? == old,
                "the snapshot changed with its origin"
            );
            put(&engine, snapshot, 0, &vec![0x88; old.len()])?;
            assert!(
                all_of(&engine, snapshot)?.iter().all(|byte| *byte == 0x88),
                "overflow"
            );
            assert!(all_of(&engine, a)?.iter().all(|byte| *byte == 0x77));
            refused(
                engine.resize(snapshot, Bytes(65 * MIB)),
                FaultKind::Unsupported,
                &["clone it"],
            );
            refused(
                engine.resize(a, Bytes(65 * MIB)),
                FaultKind::Busy,
                &["remove them"],
            );
            assert_eq!(
                done(engine.resize(snapshot, Bytes(MIB)))?.size,
                Bytes(64 * MIB)
            );
            let again = engine.snapshot(snapshot, Gfid::random(), &name("ss"), None);
            refused(again, FaultKind::Unsupported, &["clone it instead"]);

            let of_snapshot = Gfid::random();
            done(engine.clone_image(snapshot, of_snapshot, &name("sc")))?;
            assert!(
                all_of(&engine, of_snapshot)?
                    .iter()
                    .all(|byte| *byte == 0x88)
            );
            assert!(matches!(done(engine.remove(a))?, Removed::Deferred(_)));
            for gfid in [of_snapshot, snapshot, a] {
                assert_eq!(done(engine.remove(gfid))?, Removed::Gone);
            }

            let (b, _) = create(&engine, "b", ImageKind::Thick, 64)?;
            put(&engine, b, 0, &old)?;
            let clone = Gfid::random();
            let writer = file_of(&engine, b)?;
            let made = std::thread::scope(|scope| {
                let copy = scope.spawn(|| engine.clone_image(b, clone, &name("c")));
                // From the moment the frozen copy is there, writes must not reach the clone.
                while vg.lvs().is_ok_and(|lvs| lvs.len() < 3) && !copy.is_finished() {}
                let all = vec![0x99; old.len()];
                writer.write_all_at(&all, 0)?;
                writer.sync_all()?;
                done(copy.join().map_err(|_| anyhow!("the copy panicked"))?)
            })?;
            assert_eq!((made.name.as_str(), made.origin), ("c", None));
            assert!(all_of(&engine, clone)? == old, "the clone has later bytes");
            assert_eq!(vg.lvs()?, ["b", "c"]);
            assert!(!vg.field("c", "lv_tags")?.contains("unfinished"));
            Ok(())
        },
    );
}
