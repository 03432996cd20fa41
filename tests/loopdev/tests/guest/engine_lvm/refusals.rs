//! What the engine refuses, and in which words.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use anyhow::Context;
use bd_engine::{Engine, Removed};
use bd_engine_lvm::LvmEngine;
use bd_model::{BrickId, Bytes, Gfid, ImageKind};
use bd_proto::FaultKind;
use loopdev::{Place, cmd, run};

use super::{MIB, create, done, executor, name, open, path, put, refused};

#[test]
fn what_must_not_be_used_is_refused() {
    run(
        "guest::engine_lvm::refusals::what_must_not_be_used_is_refused",
        Place::Guest,
        |rig| {
            let vg = rig.vg("vg", &[128, 64])?;
            let executor = executor(&vg)?;
            let none = LvmEngine::open(Arc::new(executor.clone()), &"gbt_none".parse()?, None);
            refused(
                none,
                FaultKind::NotFound,
                &["gbt_none does not exist", "vgcreate"],
            );
            refused(
                open(&executor, &vg, Some("nopool")),
                FaultKind::NotFound,
                &["nopool does not exist"],
            );
            vg.lvm("lvcreate", &["-L", "8m", "-n", "plain", vg.name()])?
                .ok()?;
            refused(
                open(&executor, &vg, Some("plain")),
                FaultKind::Invalid,
                &["not a thin pool"],
            );
            vg.lvm("lvcreate", &["-L", "32m", "-Zn", "-T", &path(&vg, "pool")])?
                .ok()?;
            let next = format!("lvchange --zero y {}", path(&vg, "pool"));
            refused(
                open(&executor, &vg, Some("pool")),
                FaultKind::Invalid,
                &[&next],
            );
            vg.lvm("lvchange", &["--zero", "y", &path(&vg, "pool")])?
                .ok()?;
            vg.lvm("lvchange", &["-an", &path(&vg, "pool")])?.ok()?;
            done(open(&executor, &vg, Some("pool")))?;
            // Nothing was changed for a group that no brick has taken.
            assert_eq!(vg.field("pool", "lv_when_full")?, "queue");

            vg.lvm("vgchange", &["-an", vg.name()])?.ok()?;
            vg.lvm("vgexport", &[vg.name()])?.ok()?;
            refused(
                open(&executor, &vg, None),
                FaultKind::InUse,
                &["exported", "vgimport"],
            );
            vg.lvm("vgimport", &[vg.name()])?.ok()?;

            let give = |host: &str| {
                let config = "global/system_id_source=lvmlocal local/system_id=otherhost";
                let args = ["-y", "--config", config, "--systemid", host, vg.name()];
                cmd("vgchange", &args)?.ok().map(drop)
            };
            give("otherhost")?;
            refused(
                open(&executor, &vg, None),
                FaultKind::InUse,
                &["another host", "otherhost"],
            );
            give("")?;
            let engine = done(open(&executor, &vg, Some("pool")))?;

            done(engine.claim(BrickId::random()))?;
            refused(
                engine.claim(BrickId::random()),
                FaultKind::InUse,
                &["belongs to brick", "deltag"],
            );
            assert_eq!(vg.field("pool", "lv_when_full")?, "error");
            Ok(())
        },
    );
}

#[test]
fn full_groups_and_pools_say_so() {
    run(
        "guest::engine_lvm::refusals::full_groups_and_pools_say_so",
        Place::Guest,
        |rig| {
            let vg = rig.vg("vg", &[128])?;
            vg.thin_pool("pool", 32)?;
            let executor = executor(&vg)?;
            let engine = done(open(&executor, &vg, Some("pool")))?;
            let (gfid, _) = create(&engine, "thick", ImageKind::Thick, 8)?;
            let big = engine.create(
                Gfid::random(),
                &name("big"),
                ImageKind::Thick,
                Bytes(500 * MIB),
            );
            refused(big, FaultKind::NoSpace, &["500 MiB", "free in", "add a PV"]);
            let grown = engine.resize(gfid, Bytes(500 * MIB));
            refused(
                grown,
                FaultKind::NoSpace,
                &["500 MiB", "free in", "add a PV"],
            );
            assert_eq!(
                done(engine.find(gfid))?.context("gone")?.size,
                Bytes(8 * MIB)
            );
            assert!(!vg.field("thick", "lv_tags")?.contains("zeroing"));
            assert_eq!(vg.lvs()?, ["pool", "thick"]);

            let (thin, _) = create(&engine, "thin", ImageKind::Thin, 64)?;
            // As a brick writes. A full pool gives its error at once, and the right one.
            let file = File::from(done(engine.open(thin))?.fd);
            let memory = vec![1; usize::try_from(MIB)? + 4096];
            let start = memory.as_ptr().align_offset(4096);
            let bytes = &memory[start..start + usize::try_from(MIB)?];
            let mut result = Ok(());
            for at in 0..64 {
                result = file.write_all_at(bytes, at * MIB);
                if result.is_err() {
                    break;
                }
            }
            println!("measured: write to a full pool: {result:?}");
            assert_eq!(result.map_err(|e| e.kind()), Err(ErrorKind::StorageFull));
            drop(file);
            assert_eq!(done(engine.space())?.free, Bytes(0));
            let more = engine.create(Gfid::random(), &name("more"), ImageKind::Thin, Bytes(MIB));
            refused(
                more,
                FaultKind::NoSpace,
                &["pool is full", "gluster-bd pool extend"],
            );
            let more = engine.snapshot(thin, Gfid::random(), &name("more"), None);
            refused(more, FaultKind::NoSpace, &["pool is full"]);
            assert_eq!(done(engine.remove(thin))?, Removed::Gone);
            create(&engine, "more", ImageKind::Thin, 1)?;

            vg.lvm("lvcreate", &["-l", "100%FREE", "-n", "rest", vg.name()])?
                .ok()?;
            let one = engine.create(Gfid::random(), &name("one"), ImageKind::Thick, Bytes(1));
            refused(one, FaultKind::NoSpace, &["0 B free", "add a PV"]);
            Ok(())
        },
    );
}

#[test]
fn users_hold_an_image() {
    run(
        "guest::engine_lvm::refusals::users_hold_an_image",
        Place::Guest,
        |rig| {
            let vg = rig.vg("vg", &[256])?;
            vg.thin_pool("pool", 64)?;
            let executor = executor(&vg)?;
            let engine = done(open(&executor, &vg, Some("pool")))?;
            for kind in [ImageKind::Thin, ImageKind::Thick] {
                let (gfid, _) = create(&engine, "vm1", kind, 8)?;
                let opened = done(engine.open(gfid))?;
                assert!(opened.block_size == 512 || opened.block_size == 4096);
                if kind == ImageKind::Thin {
                    assert_eq!(opened.discard_granularity, 64 << 10);
                }
                let deferred = done(engine.remove(gfid))?;
                assert!(matches!(&deferred, Removed::Deferred(why) if why.contains("open")));
                // It still works, and can be opened again.
                put(&engine, gfid, 0, b"still here")?;
                drop(opened);
                assert_eq!(done(engine.remove(gfid))?, Removed::Gone);
                assert_eq!(vg.lvs()?, ["pool"]);
            }
            Ok(())
        },
    );
}
