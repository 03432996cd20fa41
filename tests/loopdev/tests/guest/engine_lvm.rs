//! The LVM engine on real volume groups.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bd_lvm::{Change, Door, Lvm, LvmConfig, Tag};
use bd_model::{BrickId, Bytes, Gfid, ImageKind, LvName};
use bd_proto::{Fault, FaultKind};
use bd_server::contract::{self, Subject};
use bd_server::engine::{Engine, EngineError, Removed, Volume};
use bd_server::engine_lvm::LvmEngine;
use loopdev::{Place, Rig, Vg, cmd, run, sh};

const MIB: u64 = 1 << 20;
const OLD: u8 = 0xa5;

/// The one door of this process, for this group's disks only.
fn door(vg: &Vg) -> Result<Door> {
    let accept: Vec<String> = vg
        .pvs()
        .iter()
        .map(|pv| format!("\"a|^{}$|\"", pv.display()))
        .collect();
    let filter = format!("devices/filter=[{},\"r|.*|\"]", accept.join(","));
    Ok(Door::open(&LvmConfig::detect().with(&filter))?)
}

fn open(door: &Door, vg: &Vg, pool: Option<&str>) -> Result<LvmEngine, EngineError> {
    let pool: Option<LvName> = pool.map(name);
    LvmEngine::open(
        Arc::new(door.clone()),
        &vg.name().parse().expect("the rig's names are lawful"),
        pool.as_ref(),
    )
}

fn name(text: &str) -> LvName {
    text.parse().expect("a lawful name")
}

/// A volume group whose disk held somebody else's bytes before.
fn used_vg(rig: &mut Rig, mib: u64) -> Result<Vg> {
    let device = rig.loop_device("used", mib)?;
    let file = File::options().write(true).open(&device)?;
    let old = vec![OLD; 4 * usize::try_from(MIB)?];
    for at in (0..mib * MIB).step_by(old.len()) {
        file.write_all_at(&old, at)?;
    }
    // The first bytes are LVM's own, and it asks before it takes a disk that is in use.
    file.write_all_at(&old.iter().map(|_| 0).collect::<Vec<u8>>(), 0)?;
    file.sync_all()?;
    drop(file);
    rig.vg_on("vg", vec![device])
}

fn done<T>(result: Result<T, EngineError>) -> Result<T> {
    result.map_err(|error| anyhow!("{}", Fault::from(error)))
}

fn refused<T: std::fmt::Debug>(result: Result<T, EngineError>, kind: FaultKind, words: &[&str]) {
    let fault = match result {
        Ok(value) => panic!("expected {kind:?}, got {value:?}"),
        Err(error) => Fault::from(error),
    };
    println!("measured: {:?}: {}", fault.kind, fault.message);
    assert_eq!(fault.kind, kind, "{fault}");
    for word in words {
        assert!(fault.message.contains(word), "{word:?} is not in: {fault}");
    }
}

/// The image, through the page cache, so that any buffer will do.
fn file_of(engine: &LvmEngine, gfid: Gfid) -> Result<File> {
    let opened = done(engine.open(gfid))?;
    let path = format!("/proc/self/fd/{}", opened.fd.as_raw_fd());
    File::options()
        .read(true)
        .write(true)
        .open(path)
        .context("cannot open the image")
}

fn all_of(engine: &LvmEngine, gfid: Gfid) -> Result<Vec<u8>> {
    let volume = done(engine.find(gfid))?.context("no such image")?;
    let mut bytes = vec![0xee; usize::try_from(volume.size.0)?];
    file_of(engine, gfid)?.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn put(engine: &LvmEngine, gfid: Gfid, at: u64, bytes: &[u8]) -> Result<()> {
    let file = file_of(engine, gfid)?;
    file.write_all_at(bytes, at)?;
    Ok(file.sync_all()?)
}

fn only_zeros(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn path(vg: &Vg, lv: &str) -> String {
    format!("{}/{lv}", vg.name())
}

fn uuid_of(vg: &Vg, lv: &str) -> Result<String> {
    vg.field(lv, "lv_uuid")
}

fn create(engine: &LvmEngine, lv: &str, kind: ImageKind, mib: u64) -> Result<(Gfid, Volume)> {
    let gfid = Gfid::random();
    Ok((
        gfid,
        done(engine.create(gfid, &name(lv), kind, Bytes(mib * MIB)))?,
    ))
}

#[test]
fn contract_with_pool() {
    run(
        "guest::engine_lvm::contract_with_pool",
        Place::Guest,
        |rig| {
            let vg = used_vg(rig, 512)?;
            vg.thin_pool("pool", 256)?;
            let door = door(&vg)?;
            let engine = done(open(&door, &vg, Some("pool")))?;
            let made = vg.clone();
            contract::run(&Subject {
                engine: &engine,
                make_foreign: &|lv, size| {
                    let size = format!("{}b", size.0);
                    let args = ["-Wn", "-L", &size, "-n", lv.as_str(), made.name()];
                    made.lvm("lvcreate", &args).unwrap().ok().unwrap();
                },
            });
            assert_eq!(vg.lvs()?, ["pool"]);
            assert_eq!(vg.field("pool", "lv_when_full")?, "error");
            Ok(())
        },
    );
}

#[test]
fn contract_without_pool() {
    run(
        "guest::engine_lvm::contract_without_pool",
        Place::Guest,
        |rig| {
            let vg = used_vg(rig, 384)?;
            let door = door(&vg)?;
            let engine = done(open(&door, &vg, None))?;
            let made = vg.clone();
            contract::run(&Subject {
                engine: &engine,
                make_foreign: &|lv, size| {
                    let size = format!("{}b", size.0);
                    let args = ["-Wn", "-L", &size, "-n", lv.as_str(), made.name()];
                    made.lvm("lvcreate", &args).unwrap().ok().unwrap();
                },
            });
            assert!(vg.lvs()?.is_empty());
            Ok(())
        },
    );
}

#[test]
fn thick_images_show_no_old_bytes() {
    run(
        "guest::engine_lvm::thick_images_show_no_old_bytes",
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

            let door = door(&vg)?;
            let engine = done(open(&door, &vg, None))?;
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
        "guest::engine_lvm::thin_images_show_no_old_bytes",
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
            let door = door(&vg)?;
            let engine = done(open(&door, &vg, Some("pool")))?;
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
fn what_must_not_be_used_is_refused() {
    run(
        "guest::engine_lvm::what_must_not_be_used_is_refused",
        Place::Guest,
        |rig| {
            let vg = rig.vg("vg", &[128, 64])?;
            let door = door(&vg)?;
            let none = LvmEngine::open(Arc::new(door.clone()), &"gbt_none".parse()?, None);
            refused(
                none,
                FaultKind::NotFound,
                &["gbt_none does not exist", "vgcreate"],
            );
            refused(
                open(&door, &vg, Some("nopool")),
                FaultKind::NotFound,
                &["nopool does not exist"],
            );
            vg.lvm("lvcreate", &["-L", "8m", "-n", "plain", vg.name()])?
                .ok()?;
            refused(
                open(&door, &vg, Some("plain")),
                FaultKind::Invalid,
                &["not a thin pool"],
            );
            vg.lvm("lvcreate", &["-L", "32m", "-Zn", "-T", &path(&vg, "pool")])?
                .ok()?;
            let next = format!("lvchange --zero y {}", path(&vg, "pool"));
            refused(open(&door, &vg, Some("pool")), FaultKind::Invalid, &[&next]);
            vg.lvm("lvchange", &["--zero", "y", &path(&vg, "pool")])?
                .ok()?;
            vg.lvm("lvchange", &["-an", &path(&vg, "pool")])?.ok()?;
            done(open(&door, &vg, Some("pool")))?;
            // Nothing was changed for a group that no brick has taken.
            assert_eq!(vg.field("pool", "lv_when_full")?, "queue");

            vg.lvm("vgchange", &["-an", vg.name()])?.ok()?;
            vg.lvm("vgexport", &[vg.name()])?.ok()?;
            refused(
                open(&door, &vg, None),
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
                open(&door, &vg, None),
                FaultKind::InUse,
                &["another host", "otherhost"],
            );
            give("")?;
            let engine = done(open(&door, &vg, Some("pool")))?;

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
        "guest::engine_lvm::full_groups_and_pools_say_so",
        Place::Guest,
        |rig| {
            let vg = rig.vg("vg", &[128])?;
            vg.thin_pool("pool", 32)?;
            let door = door(&vg)?;
            let engine = done(open(&door, &vg, Some("pool")))?;
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
            refused(more, FaultKind::NoSpace, &["pool is full", "lvextend"]);
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
fn an_admins_changes_are_met() {
    run(
        "guest::engine_lvm::an_admins_changes_are_met",
        Place::Guest,
        |rig| {
            let vg = rig.vg("vg", &[512])?;
            vg.thin_pool("pool", 128)?;
            let door = door(&vg)?;
            let engine = done(open(&door, &vg, Some("pool")))?;
            let mut images = Vec::new();
            for (lv, kind) in [
                ("a", ImageKind::Thin),
                ("b", ImageKind::Thin),
                ("c", ImageKind::Thick),
            ] {
                let (gfid, _) = create(&engine, lv, kind, 8)?;
                put(&engine, gfid, 0, lv.as_bytes())?;
                images.push(gfid);
            }
            let (a, b, c) = (images[0], images[1], images[2]);
            // Names change places behind the engine's back: each image keeps its own bytes.
            let rename = |from: &str, to: &str| -> Result<()> {
                vg.lvm("lvrename", &[vg.name(), from, to])?.ok()?;
                Ok(())
            };
            rename("a", "x")?;
            rename("b", "a")?;
            rename("x", "b")?;
            let made = done(engine.snapshot(a, Gfid::random(), &name("sa"), None))?;
            assert_eq!(made.origin, Some(name("b")));
            assert_eq!(all_of(&engine, made.gfid.context("no gfid")?)?[0], b'a');
            done(engine.resize(b, Bytes(4 * MIB)))?;
            assert_eq!(done(engine.find(b))?.context("gone")?.name, name("a"));
            assert_eq!(vg.field("a", "lv_size")?, (4 * MIB).to_string());
            assert_eq!(vg.field("b", "lv_size")?, (8 * MIB).to_string());
            rename("c", "d")?;
            done(engine.resize(c, Bytes(16 * MIB)))?;
            assert_eq!(all_of(&engine, c)?[0], b'c');
            rename("d", "e")?;
            assert_eq!(done(engine.rename(c, &name("c")))?.name, name("c"));

            // Inactive, and renamed.
            vg.lvm("lvchange", &["-an", &path(&vg, "b")])?.ok()?;
            assert_eq!(done(engine.allocated(&[a]))?, [None]);
            rename("b", "f")?;
            assert_eq!(all_of(&engine, a)?[0], b'a');

            // A name that the engine does not know to be taken.
            vg.lvm("lvcreate", &["-L", "4m", "-n", "taken", vg.name()])?
                .ok()?;
            let (gfid, volume) = create(&engine, "taken", ImageKind::Thin, 4)?;
            assert_eq!(volume.name, LvName::for_gfid(gfid));
            let foreign: Vec<_> = done(engine.volumes())?
                .into_iter()
                .filter(|v| v.gfid.is_none())
                .collect();
            assert_eq!(
                foreign.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(),
                ["taken"]
            );

            // A snapshot that the engine does not know of is not taken along.
            let args = ["-s", "-L", "8m", "-n", "backup", &path(&vg, "c")];
            vg.lvm("lvcreate", &args)?.ok()?;
            let deferred = done(engine.remove(c))?;
            assert!(
                matches!(&deferred, Removed::Deferred(why) if why.contains("backup")),
                "{deferred:?}"
            );
            assert!(vg.lvs()?.contains(&"backup".to_owned()));
            vg.lvm("lvremove", &["-y", &path(&vg, "backup")])?.ok()?;
            assert_eq!(done(engine.remove(c))?, Removed::Gone);

            // Removed and renamed by the admin.
            vg.lvm("lvremove", &["-y", &path(&vg, "a")])?.ok()?;
            assert_eq!(done(engine.remove(b))?, Removed::Gone);
            assert_eq!(done(engine.remove(b))?, Removed::Identity);

            // Hidden and internal LVs are nobody's image.
            let tag = Tag::Hidden.to_string();
            let args = ["-L", "4m", "-n", "meta", "--addtag", &tag, vg.name()];
            vg.lvm("lvcreate", &args)?.ok()?;
            assert!(
                done(engine.volumes())?
                    .iter()
                    .all(|v| v.name != name("meta"))
            );
            refused(
                engine.adopt(&name("meta"), Gfid::random()),
                FaultKind::Invalid,
                &["not for images"],
            );
            refused(
                engine.adopt(&name("pool"), Gfid::random()),
                FaultKind::Invalid,
                &["not for images"],
            );
            Ok(())
        },
    );
}

#[test]
fn users_hold_an_image() {
    run(
        "guest::engine_lvm::users_hold_an_image",
        Place::Guest,
        |rig| {
            let vg = rig.vg("vg", &[256])?;
            vg.thin_pool("pool", 64)?;
            let door = door(&vg)?;
            let engine = done(open(&door, &vg, Some("pool")))?;
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

#[test]
fn thick_copies_hold() {
    run(
        "guest::engine_lvm::thick_copies_hold",
        Place::Guest,
        |rig| {
            let vg = used_vg(rig, 512)?;
            let door = door(&vg)?;
            let engine = done(open(&door, &vg, None))?;
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

#[test]
fn a_crash_leaves_nothing_to_see() {
    run(
        "guest::engine_lvm::a_crash_leaves_nothing_to_see",
        Place::Guest,
        |rig| {
            let vg = used_vg(rig, 256)?;
            let door = door(&vg)?;
            let claim = BrickId::random();
            done(done(open(&door, &vg, None))?.claim(claim))?;
            let gfids: Vec<Gfid> = (0..3).map(|_| Gfid::random()).collect();
            let make = |lv: &str, tags: &[Tag]| -> Result<()> {
                let mut args = vec!["-y", "-Wn", "-Zn", "-L", "16m", "-n", lv];
                let tags: Vec<String> = tags.iter().map(Tag::to_string).collect();
                tags.iter().for_each(|tag| args.extend(["--addtag", tag]));
                args.push(vg.name());
                vg.lvm("lvcreate", &args)?.ok()?;
                Ok(())
            };
            make("fresh", &[Tag::Gfid(gfids[0]), Tag::Zeroing(Bytes(0))])?;
            make(
                "grown",
                &[Tag::Gfid(gfids[1]), Tag::Zeroing(Bytes(8 * MIB))],
            )?;
            make("copy", &[Tag::Gfid(gfids[2]), Tag::Unfinished])?;
            let tag = Tag::Temporary.to_string();
            let args = [
                "-s",
                "-L",
                "4m",
                "-n",
                "frozen",
                "--addtag",
                &tag,
                &path(&vg, "grown"),
            ];
            vg.lvm("lvcreate", &args)?.ok()?;

            let engine = done(open(&door, &vg, None))?;
            // The frozen source and the half copy are nobody's, and gone.
            assert_eq!(vg.lvs()?, ["fresh", "grown"]);
            assert!(only_zeros(&all_of(&engine, gfids[0])?));
            let grown = all_of(&engine, gfids[1])?;
            let (head, tail) = grown.split_at(usize::try_from(8 * MIB)?);
            assert!(head.contains(&OLD) && only_zeros(tail));
            assert_eq!(done(engine.find(gfids[2]))?, None);
            for lv in ["fresh", "grown"] {
                assert!(!vg.field(lv, "lv_tags")?.contains("zeroing"));
            }
            assert_eq!(done(engine.claimed_by())?, Some(claim));
            Ok(())
        },
    );
}

/// Runs a program and kills it after a while, as a power cut or kill -9 would.
fn cut_short(vg: &Vg, args: &[&str], after: Duration) -> Result<bool> {
    let mut child = Command::new("lvcreate")
        .args(args)
        .arg("--config")
        .arg(format!(
            "devices {{ filter=[\"a|^{}$|\", \"r|.*|\"] }}",
            vg.pvs()[0].display()
        ))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    std::thread::sleep(after);
    child.kill()?;
    Ok(!child.wait()?.success())
}

/// A command that is killed while it activates the pool leaves the pool's parts active.
#[test]
fn parts_left_active_are_released() {
    run(
        "guest::engine_lvm::parts_left_active_are_released",
        Place::Guest,
        |rig| {
            let vg = rig.vg("vg", &[128])?;
            vg.thin_pool("pool", 64)?;
            let door = door(&vg)?;
            for (part, image) in [("pool_tmeta", "vm1"), ("pool_tdata", "vm2")] {
                vg.lvm("vgchange", &["-an", vg.name()])?.ok()?;
                vg.lvm("lvchange", &["-y", "-ay", &path(&vg, part)])?.ok()?;
                vg.lvm("lvchange", &["-ay", &path(&vg, "pool")])?.fails()?;
                let engine = done(open(&door, &vg, Some("pool")))?;
                create(&engine, image, ImageKind::Thin, 8)?;
            }
            Ok(())
        },
    );
}

/// Leaves a snapshot of `a` as lvcreate does when it is killed after the kernel has made the thin
/// device, and before the kernel has counted the transaction and the LV was activated.
fn half_make(rig: &Rig, vg: &Vg, lv: &str, pool_is_active: bool) -> Result<()> {
    vg.lvm("lvcreate", &["-s", "-ky", "-an", "-n", lv, &path(vg, "a")])?
        .ok()?;
    let file = rig.dir().join("metadata");
    let file = file.to_str().context("a path that is no text")?;
    vg.lvm("vgcfgbackup", &["-f", file, vg.name()])?.ok()?;
    // The pool's segment still has the note of what is to be made.
    let text = fs::read_to_string(file)?;
    let noted = text.replacen(
        "zero_new_blocks = 1",
        &format!("zero_new_blocks = 1\nmessage1 {{\ncreate = \"{lv}\"\n}}"),
        1,
    );
    assert_ne!(noted, text);
    fs::write(file, noted)?;
    vg.lvm("vgcfgrestore", &["-y", "--force", "-f", file, vg.name()])?
        .ok()?;
    let count: u64 = vg.field("pool", "transaction_id")?.parse()?;
    let tpool = format!("{}-pool-tpool", vg.name());
    sh(&format!(
        "dmsetup message {tpool} 0 'set_transaction_id {count} {}'",
        count - 1
    ))?;
    if !pool_is_active {
        sh(&format!("vgchange -an {} 2>&1", vg.name()))?;
    }
    Ok(())
}

#[test]
fn killed_commands_are_recovered_from() {
    run(
        "guest::engine_lvm::killed_commands_are_recovered_from",
        Place::Guest,
        |rig| {
            let vg = rig.vg("vg", &[256])?;
            vg.thin_pool("pool", 128)?;
            let door = door(&vg)?;
            let first = done(open(&door, &vg, Some("pool")))?;
            done(first.claim(BrickId::random()))?;
            let (a, _) = create(&first, "a", ImageKind::Thin, 8)?;
            let (b, _) = create(&first, "b", ImageKind::Thick, 8)?;
            drop(first);
            // Each state that a kill can leave, made by hand.
            let dm = |lv: &str| format!("{}-{lv}", vg.name());
            sh(&format!("dmsetup suspend {}", dm("a")))?;
            sh(&format!("dmsetup suspend {}", dm("pool-tpool")))?;
            let engine = done(open(&door, &vg, Some("pool")))?;
            put(&engine, a, 0, b"goes on")?;
            drop(engine);
            sh(&format!("dmsetup rename {} {}", dm("a"), dm("z")))?;
            let table = sh(&format!("dmsetup table {}", dm("b")))?.stdout;
            let half = table.replacen(" 16384 ", " 8192 ", 1);
            assert_ne!(half, table);
            sh(&format!(
                "dmsetup reload {0} --table '{half}' && dmsetup resume {0}",
                dm("b")
            ))?;
            let engine = done(open(&door, &vg, Some("pool")))?;
            assert_eq!(all_of(&engine, b)?.len(), 8 << 20);
            sh(&format!("dmsetup info {}", dm("a")))?;
            drop(engine);
            for (lv, active) in [("half", true), ("other", false)] {
                half_make(rig, &vg, lv, active)?;
                let engine = done(open(&door, &vg, Some("pool")))?;
                put(&engine, a, 0, b"goes on")?;
                let gfid = Gfid::random();
                done(engine.adopt(&name(lv), gfid))?;
                put(&engine, gfid, 4096, b"works")?;
                assert_eq!(all_of(&engine, gfid)?[..7], *b"goes on");
                assert_eq!(done(engine.remove(gfid))?, Removed::Gone);
                sh("vgck 2>&1")?;
            }

            // And what kills leave by chance: a snapshot takes so long when nothing is in its way.
            let origin = path(&vg, "a");
            let begun = Instant::now();
            vg.lvm(
                "lvcreate",
                &["-s", "-ky", "-K", "-ay", "-n", "whole", &origin],
            )?
            .ok()?;
            let whole = begun.elapsed();
            let (mut killed, mut found) = (0, 0);
            for round in 0..12_u32 {
                let tag = Tag::Gfid(Gfid::random()).to_string();
                let lv = format!("s{round}");
                let args = [
                    "-s", "-ky", "-K", "-ay", "-n", &lv, "--addtag", &tag, &origin,
                ];
                killed += u32::from(cut_short(&vg, &args, whole * (40 + 4 * round) / 100)?);
                let engine = done(open(&door, &vg, Some("pool")))?;
                // Whatever is there is whole, works, and can be removed.
                put(&engine, a, 0, format!("round {round}").as_bytes())?;
                for volume in done(engine.volumes())? {
                    let Some(gfid) = volume.gfid.filter(|gfid| ![a, b].contains(gfid)) else {
                        continue;
                    };
                    found += 1;
                    put(&engine, gfid, 4096, b"works")?;
                    assert_eq!(done(engine.remove(gfid))?, Removed::Gone);
                }
                assert_eq!(vg.lvs()?, ["a", "b", "pool", "whole"]);
                let suspended = sh("dmsetup info -c --noheadings -o name,suspended")?.stdout;
                assert!(!suspended.contains("Suspended"), "{suspended}");
            }
            println!("measured: {killed} of 12 commands killed, {found} LVs found afterwards");
            assert!(killed > 0);
            Ok(())
        },
    );
}

#[test]
fn many_threads_work_at_once() {
    run(
        "guest::engine_lvm::many_threads_work_at_once",
        Place::Guest,
        |rig| {
            let vg = rig.vg("vg", &[512])?;
            vg.thin_pool("pool", 256)?;
            let door = door(&vg)?;
            let engine = done(open(&door, &vg, Some("pool")))?;
            std::thread::scope(|scope| {
                let workers: Vec<_> = (0..4)
                    .map(|worker: u8| {
                        let engine = &engine;
                        scope.spawn(move || -> Result<()> {
                            for round in 0..3 {
                                let lv = format!("w{worker}-{round}");
                                let (gfid, _) = create(engine, &lv, ImageKind::Thin, 4)?;
                                put(engine, gfid, 0, &[worker + 1; 4096])?;
                                let copy = Gfid::random();
                                done(engine.clone_image(gfid, copy, &name(&format!("c{lv}"))))?;
                                done(engine.remove(gfid))?;
                                assert_eq!(all_of(engine, copy)?[..4096], [worker + 1; 4096]);
                                if round > 0 {
                                    done(engine.remove(copy))?;
                                }
                            }
                            Ok(())
                        })
                    })
                    .collect();
                workers.into_iter().try_for_each(|worker| {
                    worker.join().map_err(|_| anyhow!("a worker panicked"))?
                })
            })?;
            assert_eq!(done(engine.volumes())?.len(), 4);
            assert_eq!(vg.lvs()?, ["cw0-0", "cw1-0", "cw2-0", "cw3-0", "pool"]);
            sh("vgck 2>&1")?;
            Ok(())
        },
    );
}

/// Median time in milliseconds.
fn median(what: &str, rounds: u32, mut one: impl FnMut(u32) -> Result<()>) -> Result<()> {
    let mut times = Vec::new();
    for round in 0..rounds {
        let begun = Instant::now();
        one(round)?;
        times.push(begun.elapsed().as_millis());
    }
    times.sort_unstable();
    println!(
        "measured: {what}: {} ms (median of {rounds})",
        times[times.len() / 2]
    );
    Ok(())
}

#[test]
fn times() {
    run("guest::engine_lvm::times", Place::Guest, |rig| {
        let vg = rig.vg("vg", &[512])?;
        vg.thin_pool("pool", 256)?;
        let door = door(&vg)?;
        let engine = done(open(&door, &vg, Some("pool")))?;
        let gfids: Vec<Gfid> = (0..40).map(|_| Gfid::random()).collect();
        let at = |n: u32| gfids[n as usize];
        let lv = |prefix: &str, n: u32| format!("{prefix}{n}");
        median("engine create", 10, |n| {
            done(engine.create(at(n), &name(&lv("e", n)), ImageKind::Thin, Bytes(1))).map(drop)
        })?;
        median("engine open", 10, |n| done(engine.open(at(n))).map(drop))?;
        median("engine snapshot", 10, |n| {
            done(engine.snapshot(at(n), at(n + 10), &name(&lv("s", n)), None)).map(drop)
        })?;
        median("engine grow", 10, |n| {
            done(engine.resize(at(n), Bytes(8 * MIB))).map(drop)
        })?;
        median("engine rename", 10, |n| {
            done(engine.rename(at(n), &name(&lv("r", n)))).map(drop)
        })?;
        median("engine remove", 10, |n| {
            done(engine.remove(at(n + 10))).map(drop)
        })?;
        median("engine volumes", 10, |_| done(engine.volumes()).map(drop))?;
        let pool = path(&vg, "pool");
        median("program lvcreate", 10, |n| {
            vg.lvm("lvcreate", &["-V", "4m", "-T", &pool, "-n", &lv("p", n)])?
                .ok()
                .map(drop)
        })?;
        median("program lvcreate -s", 10, |n| {
            let origin = path(&vg, &lv("p", n));
            vg.lvm("lvcreate", &["-s", "-kn", "-n", &lv("q", n), &origin])?
                .ok()
                .map(drop)
        })?;
        median("program lvremove", 10, |n| {
            vg.lvm("lvremove", &["-y", &path(&vg, &lv("q", n))])?
                .ok()
                .map(drop)
        })?;
        Ok(())
    });
}

#[test]
fn an_unknown_identity_is_left_alone() {
    run(
        "guest::engine_lvm::an_unknown_identity_is_left_alone",
        Place::Guest,
        |rig| {
            let vg = rig.vg("vg", &[128])?;
            let door = door(&vg)?;
            for lv in ["one", "two"] {
                vg.lvm("lvcreate", &["-L", "4m", "-n", lv, vg.name()])?
                    .ok()?;
            }
            // The identity of one under the name of the other: LVM reports success and does nothing,
            // and the door tells.
            let uuid: bd_lvm::LvmUuid = uuid_of(&vg, "one")?.parse()?;
            let group = vg.name().parse()?;
            let retag = Change::Retag {
                name: name("two"),
                uuid: uuid.clone(),
                add: vec![Tag::Hidden],
                del: vec![],
            };
            assert_eq!(door.change(&group, &retag)?, bd_lvm::Done::NotThere);
            assert_eq!(vg.field("two", "lv_tags")?, "");
            assert_eq!(
                door.change(&group, &Change::Remove { uuid: uuid.clone() })?,
                bd_lvm::Done::Changed
            );
            assert_eq!(
                door.change(&group, &Change::Remove { uuid })?,
                bd_lvm::Done::NotThere
            );
            assert_eq!(vg.lvs()?, ["two"]);
            Ok(())
        },
    );
}
