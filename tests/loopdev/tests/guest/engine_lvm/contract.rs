//! What every engine promises, on real volume groups.

use anyhow::{Result, anyhow};
use bd_engine::Engine;
use bd_engine::contract::{self, Subject};
use bd_model::{Gfid, ImageKind};
use loopdev::{Place, run, sh};

use super::{all_of, create, done, executor, name, open, put, used_vg};

#[test]
fn contract_with_pool() {
    run(
        "guest::engine_lvm::contract::contract_with_pool",
        Place::Guest,
        |rig| {
            let vg = used_vg(rig, 512)?;
            vg.thin_pool("pool", 256)?;
            let executor = executor(&vg)?;
            let engine = done(open(&executor, &vg, Some("pool")))?;
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
        "guest::engine_lvm::contract::contract_without_pool",
        Place::Guest,
        |rig| {
            let vg = used_vg(rig, 384)?;
            let executor = executor(&vg)?;
            let engine = done(open(&executor, &vg, None))?;
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
fn many_threads_work_at_once() {
    run(
        "guest::engine_lvm::contract::many_threads_work_at_once",
        Place::Guest,
        |rig| {
            let vg = rig.vg("vg", &[512])?;
            vg.thin_pool("pool", 256)?;
            let executor = executor(&vg)?;
            let engine = done(open(&executor, &vg, Some("pool")))?;
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
