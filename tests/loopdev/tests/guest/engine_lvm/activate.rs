//! Thin images become active without a command of LVM, exactly as LVM would make them.

use std::fs::{self, File};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use bd_engine::{Engine, Removed};
use bd_engine_lvm::LvmEngine;
use bd_lvm::{
    Command, Done, Executor, Lvm, LvmError, LvmUuid, MoveReport, PoolReport, PvName, PvReport,
    ThinDevice, VgReport,
};
use bd_model::{Gfid, ImageKind, LvName, VgName};
use bd_proto::FaultKind;
use loopdev::{Vg, cmd};
use nix::fcntl::{Flock, FlockArg};

use super::{all_of, create, done, name, path, put, refused};

/// LVM, counting its changes.
#[derive(Debug)]
struct Counting {
    executor: Executor,
    changes: AtomicUsize,
}

impl Lvm for Counting {
    fn report(&self, vg: &VgName) -> Result<VgReport, LvmError> {
        self.executor.report(vg)
    }

    fn name_of(&self, vg: &LvmUuid) -> Result<Option<VgName>, LvmError> {
        self.executor.name_of(vg)
    }

    fn pool(&self, vg: &VgName, pool: &LvName) -> Result<PoolReport, LvmError> {
        self.executor.pool(vg, pool)
    }

    fn thin_devices(&self, vg: &VgName, pool: &LvName) -> Result<Vec<ThinDevice>, LvmError> {
        self.executor.thin_devices(vg, pool)
    }

    fn pv(&self, pv: &PvName) -> Result<PvReport, LvmError> {
        self.executor.pv(pv)
    }

    fn moves(&self, vg: &VgName) -> Result<Vec<MoveReport>, LvmError> {
        self.executor.moves(vg)
    }

    fn change(&self, vg: &VgName, change: &Command) -> Result<Done, LvmError> {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.executor.change(vg, change)
    }
}

/// On a group with the pool `pool`; leaves no images.
pub(super) fn without_lvm(executor: &Executor, vg: &Vg) -> Result<()> {
    let lvm = Arc::new(Counting {
        executor: executor.clone(),
        changes: AtomicUsize::new(0),
    });
    let group: VgName = vg.name().parse()?;
    let engine = done(LvmEngine::open(lvm.clone(), &group, Some(&name("pool"))))?;
    let changes = || lvm.changes.swap(0, Ordering::SeqCst);
    let table = |lv: &str| -> Result<String> {
        let device = bd_lvm::dm_name(&group, &name(lv));
        Ok(cmd("dmsetup", &["table", &device])?.ok()?.stdout)
    };
    let rest = |lv: &str| vg.lvm("lvchange", &["-an", &path(vg, lv)])?.ok().map(drop);
    let is_active = |lv: &str| Ok::<_, anyhow::Error>(vg.field(lv, "lv_active")? == "active");

    let (plain, _) = create(&engine, "plain", ImageKind::Thin, 8)?;
    put(&engine, plain, 0, b"plain")?;
    let by_lvm = table("plain")?;
    rest("plain")?;
    ensure!(!is_active("plain")? && !vg.device("plain").exists());
    changes();
    ensure!(all_of(&engine, plain)?[..5] == *b"plain");
    ensure!(changes() == 0, "LVM was asked");
    ensure!(table("plain")? == by_lvm, "{by_lvm}");
    ensure!(is_active("plain")?);
    // The nodes are there, and LVM takes them away again.
    ensure!(fs::read(vg.device("plain"))?[..5] == *b"plain");
    rest("plain")?;
    ensure!(!is_active("plain")? && !vg.device("plain").exists());

    it_waits_for_lvm(&engine, plain, &group)?;
    ensure!(is_active("plain")? && changes() == 0);

    // An admin removes an image's LV, and another one gets its number in the pool.
    let (gone, _) = create(&engine, "gone", ImageKind::Thin, 8)?;
    let number = vg.field("gone", "thin_id")?;
    vg.lvm("lvremove", &["-y", &path(vg, "gone")])?.ok()?;
    let other = vg.thin_lv("pool", "other", 8)?;
    fs::write(&other, b"of somebody else")?;
    rest("other")?;
    ensure!(
        vg.field("other", "thin_id")? == number,
        "numbers are used again"
    );
    refused(
        engine.open(gone),
        FaultKind::NotFound,
        &["belongs to image"],
    );
    ensure!(!is_active("other")?);
    vg.lvm("lvremove", &["-y", &path(vg, "other")])?.ok()?;

    // What is more than a thin LV is LVM's.
    rest("plain")?;
    let args = ["-s", "-L", "4m", "-n", "cow", &path(vg, "plain")];
    vg.lvm("lvcreate", &args)?.ok()?;
    vg.lvm("lvchange", &["-an", &path(vg, "plain")])?.ok()?;
    changes();
    ensure!(all_of(&engine, plain)?[..5] == *b"plain");
    ensure!(changes() == 1, "LVM was not asked");
    ensure!(table("plain")?.contains("snapshot-origin"));
    vg.lvm("lvremove", &["-y", &path(vg, "cow")])?.ok()?;
    ensure!(done(engine.remove(plain))? == Removed::Gone);
    Ok(())
}

/// While a command of LVM works on the group, whoever runs it.
fn it_waits_for_lvm(engine: &LvmEngine, image: Gfid, group: &VgName) -> Result<()> {
    let path = format!("/run/lock/lvm/V_{group}");
    let file = File::options().append(true).create(true).open(path)?;
    let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| done(engine.open(image)).map(drop));
        std::thread::sleep(Duration::from_millis(300));
        let waits = !opening.is_finished();
        drop(lock);
        let opened = opening.join().map_err(|_| anyhow!("the call panicked"))?;
        ensure!(waits, "it did not wait for LVM's lock");
        opened
    })
}
