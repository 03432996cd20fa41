//! A disk is emptied while what lies on it is in use.

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use bd_lvm::PvName;
use bd_model::{Bytes, Gfid, ImageKind};
use bd_server::engine::Engine;
use loopdev::{Place, run, wait_for};

use super::{MIB, all_of, create, done, door, file_of, name, open, put};

#[test]
fn a_disk_is_emptied_under_writes() {
    run(
        "guest::engine_lvm::evacuate::a_disk_is_emptied_under_writes",
        Place::Guest,
        |rig| {
            let vg = rig.vg("vg", &[256, 320])?;
            vg.thin_pool("pool", 96)?;
            let door = door(&vg)?;
            let engine = done(open(&door, &vg, Some("pool")))?;
            let (thin, _) = create(&engine, "thin", ImageKind::Thin, 32)?;
            let (thick, _) = create(&engine, "thick", ImageKind::Thick, 40)?;
            for gfid in [thin, thick] {
                put(&engine, gfid, 0, &vec![0x11; usize::try_from(32 * MIB)?])?;
            }
            let pv: PvName = vg.pvs()[0].to_string_lossy().parse()?;
            let disk = done(engine.disk(&pv))?.context("a disk of the group")?;
            assert!(disk.used.0 >= 34, "{disk:?}");

            let files = [file_of(&engine, thin)?, file_of(&engine, thick)?];
            let stop = AtomicBool::new(false);
            let written = std::thread::scope(|scope| -> Result<u8> {
                let writer = scope.spawn(|| -> Result<u8> {
                    let mut round = 0;
                    while !stop.load(Ordering::Acquire) {
                        round = round % 200 + 1;
                        for file in &files {
                            file.write_all_at(&vec![round; 3 << 20], 5 * MIB + 77)?;
                            file.sync_all()?;
                        }
                    }
                    Ok(round)
                });
                let moved = (|| {
                    let mut left = done(engine.move_piece(&pv, true))?;
                    let mut pieces = 0;
                    wait_for("the disk to be empty", || {
                        left = done(engine.move_piece(&pv, false))?;
                        pieces += 1;
                        Ok(left == 0)
                    })?;
                    println!("measured: {} MiB in {pieces} pieces", disk.used.0 * 4);
                    anyhow::Ok(())
                })();
                stop.store(true, Ordering::Release);
                let round = writer.join().map_err(|_| anyhow::anyhow!("the writer"))?;
                moved?;
                round
            })?;
            let disk = done(engine.disk(&pv))?.context("a disk of the group")?;
            assert_eq!((disk.used.0, disk.first), (0, None));
            // Nothing new comes to it, and all else works.
            let (other, _) = create(&engine, "other", ImageKind::Thick, 8)?;
            assert_eq!(done(engine.disk(&pv))?.context("a disk")?.used.0, 0);
            done(engine.resize(thick, Bytes(48 * MIB)))?;
            done(engine.snapshot(thin, Gfid::random(), &name("snap"), None))?;
            for gfid in [thin, thick] {
                let bytes = all_of(&engine, gfid)?;
                let at = usize::try_from(5 * MIB + 77)?;
                let end = at + (3 << 20);
                let old = usize::try_from(32 * MIB)?;
                assert!(bytes[..at].iter().all(|byte| *byte == 0x11));
                assert!(bytes[at..end].iter().all(|byte| *byte == written));
                assert!(bytes[end..old].iter().all(|byte| *byte == 0x11));
            }
            done(engine.remove(other))?;
            vg.lvm("vgreduce", &[vg.name(), &pv.to_string()])?.ok()?;
            done(engine.volumes())?;
            done(engine.rename(thin, &name("renamed")))?;
            Ok(())
        },
    );
}
