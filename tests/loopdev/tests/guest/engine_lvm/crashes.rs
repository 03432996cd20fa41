//! What killed commands and servers leave, and what the next start makes of it.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bd_engine::{Engine, Removed};
use bd_lvm::Tag;
use bd_model::{BrickId, Bytes, Gfid, ImageKind};
use loopdev::{Place, Rig, Vg, run, sh};

use super::{MIB, OLD, all_of, create, done, executor, name, only_zeros, open, path, put, used_vg};

#[test]
fn a_crash_leaves_nothing_to_see() {
    run(
        "guest::engine_lvm::crashes::a_crash_leaves_nothing_to_see",
        Place::Guest,
        |rig| {
            let vg = used_vg(rig, 256)?;
            let executor = executor(&vg)?;
            let claim = BrickId::random();
            done(done(open(&executor, &vg, None))?.claim(claim))?;
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

            let engine = done(open(&executor, &vg, None))?;
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
        "guest::engine_lvm::crashes::parts_left_active_are_released",
        Place::Guest,
        |rig| {
            let vg = rig.vg("vg", &[128])?;
            vg.thin_pool("pool", 64)?;
            let executor = executor(&vg)?;
            for (part, image) in [("pool_tmeta", "vm1"), ("pool_tdata", "vm2")] {
                vg.lvm("vgchange", &["-an", vg.name()])?.ok()?;
                vg.lvm("lvchange", &["-y", "-ay", &path(&vg, part)])?.ok()?;
                vg.lvm("lvchange", &["-ay", &path(&vg, "pool")])?.fails()?;
                let engine = done(open(&executor, &vg, Some("pool")))?;
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

/// A device that was made and not resumed yet, with its table or without.
fn half_activate(device: &str, is_loaded: bool) -> Result<()> {
    let uuid = sh(&format!("dmsetup info -c --noheadings -o uuid {device}"))?.stdout;
    let table = sh(&format!("dmsetup table {device}"))?.stdout;
    sh(&format!(
        "dmsetup remove {device} && dmsetup create {device} --uuid {uuid} --notable"
    ))?;
    if is_loaded {
        sh(&format!("dmsetup load {device} --table '{table}'"))?;
    }
    Ok(())
}

#[test]
fn killed_commands_are_recovered_from() {
    run(
        "guest::engine_lvm::crashes::killed_commands_are_recovered_from",
        Place::Guest,
        |rig| {
            let vg = rig.vg("vg", &[256])?;
            vg.thin_pool("pool", 128)?;
            let executor = executor(&vg)?;
            let first = done(open(&executor, &vg, Some("pool")))?;
            done(first.claim(BrickId::random()))?;
            let (a, _) = create(&first, "a", ImageKind::Thin, 8)?;
            let (b, _) = create(&first, "b", ImageKind::Thick, 8)?;
            drop(first);
            // Each state that a kill can leave, made by hand.
            let dm = |lv: &str| format!("{}-{lv}", vg.name());
            sh(&format!("dmsetup suspend {}", dm("a")))?;
            sh(&format!("dmsetup suspend {}", dm("pool-tpool")))?;
            let engine = done(open(&executor, &vg, Some("pool")))?;
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
            let engine = done(open(&executor, &vg, Some("pool")))?;
            assert_eq!(all_of(&engine, b)?.len(), 8 << 20);
            sh(&format!("dmsetup info {}", dm("a")))?;
            drop(engine);
            for is_loaded in [false, true] {
                half_activate(&dm("a"), is_loaded)?;
                let engine = done(open(&executor, &vg, Some("pool")))?;
                assert_eq!(all_of(&engine, a)?[..7], *b"goes on");
            }
            for (lv, active) in [("half", true), ("other", false)] {
                half_make(rig, &vg, lv, active)?;
                let engine = done(open(&executor, &vg, Some("pool")))?;
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
                let engine = done(open(&executor, &vg, Some("pool")))?;
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
