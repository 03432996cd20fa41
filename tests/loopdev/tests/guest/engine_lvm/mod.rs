//! The LVM engine on real volume groups.

mod activate;
mod admins;
mod bytes;
mod contract;
mod crashes;
mod idle;
mod refusals;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use bd_engine::{BackingVolume, Engine, EngineError};
use bd_engine_lvm::LvmEngine;
use bd_lvm::{Executor, LvmConfig};
use bd_model::{Bytes, Gfid, ImageKind, LvName};
use bd_proto::{Fault, FaultKind};
use loopdev::{Rig, Vg};

const MIB: u64 = 1 << 20;

const OLD: u8 = 0xa5;

/// The one executor of this process, for this group's disks only.
fn executor(vg: &Vg) -> Result<Executor> {
    let accept: Vec<String> = vg
        .pvs()
        .iter()
        .map(|pv| format!("\"a|^{}$|\"", pv.display()))
        .collect();
    let filter = format!("devices/filter=[{},\"r|.*|\"]", accept.join(","));
    Ok(Executor::open(&LvmConfig::detect().with(&filter))?)
}

fn open(executor: &Executor, vg: &Vg, pool: Option<&str>) -> Result<LvmEngine, EngineError> {
    let pool: Option<LvName> = pool.map(name);
    LvmEngine::open(
        Arc::new(executor.clone()),
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

fn path(vg: &Vg, lv: &str) -> String {
    format!("{}/{lv}", vg.name())
}

fn uuid_of(vg: &Vg, lv: &str) -> Result<String> {
    vg.field(lv, "lv_uuid")
}

fn create(
    engine: &LvmEngine,
    lv: &str,
    kind: ImageKind,
    mib: u64,
) -> Result<(Gfid, BackingVolume)> {
    let gfid = Gfid::random();
    Ok((
        gfid,
        done(engine.create(gfid, &name(lv), kind, Bytes(mib * MIB)))?,
    ))
}

fn only_zeros(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
