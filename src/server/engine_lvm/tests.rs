//! The engine on LVM and a kernel in memory: names, locks, errors and the number of commands.
//! That bytes are right is shown on real volume groups by the guest's tests.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bd_dm_thin::{DmDevice, DmError, Inherited, PoolState, ThinStatus};
use bd_lvm::fake::FakeLvm;
use bd_lvm::{LvmErrorKind, ThinDevice, dm_pool_uuid};
use bd_model::Sectors;
use tempfile::TempDir;

use super::kernel::Node;
use super::udev::Told;
use super::*;

mod care;
mod evacuate;

const MIB: u64 = 1 << 20;

/// A kernel whose devices are files, for the active LVs of the fake.
#[derive(Debug)]
struct FakeKernel {
    lvm: Arc<FakeLvm>,
    folder: TempDir,
    pool: Mutex<String>,
    open: Mutex<u32>,
    zeroed: Mutex<Vec<(u64, u64)>>,
    broken: Mutex<bool>,
    suspended: Mutex<bool>,
    deleted: Mutex<Vec<u32>>,
}

const POOL: &str = "1 10/1024 100/8192 - rw discard_passdown error_if_no_space - 256";

impl FakeKernel {
    fn device(&self, matches: impl Fn(&str, &str) -> bool) -> Option<DmDevice> {
        let state = self.lvm.state();
        state.vg.lvs.iter().enumerate().find_map(|(index, lv)| {
            let uuid = dm_uuid(&state.vg.uuid, &lv.uuid);
            let name = dm_name(&state.vg.name, &lv.name);
            (state.active.contains(&lv.uuid) && matches(&uuid, &name)).then(|| DmDevice {
                major: 253,
                minor: u32::try_from(index).unwrap(),
                name,
                uuid,
                open_count: *self.open.lock().unwrap(),
                suspended: false,
            })
        })
    }
}

impl Kernel for FakeKernel {
    fn by_uuid(&self, uuid: &str) -> Result<Option<DmDevice>, DmError> {
        let lv = self.device(|other, _| other == uuid);
        let pool = self.pool(uuid)?.map(|_| DmDevice {
            major: 253,
            minor: 1000,
            name: "vg0-pool-tpool".to_owned(),
            uuid: uuid.to_owned(),
            open_count: 0,
            suspended: false,
        });
        Ok(lv.or(pool))
    }

    fn by_name(&self, name: &str) -> Result<Option<DmDevice>, DmError> {
        Ok(self.device(|_, other| other == name))
    }

    fn by_prefix(&self, prefix: &str) -> Result<Vec<DmDevice>, DmError> {
        let suspended = *self.suspended.lock().unwrap();
        let device = self.device(|uuid, _| uuid.starts_with(prefix));
        Ok(device
            .map(|device| DmDevice {
                suspended,
                ..device
            })
            .into_iter()
            .collect())
    }

    fn thin(&self, uuid: &str) -> Result<Option<ThinState>, DmError> {
        let status = ThinStatus {
            mapped: Sectors(128),
            highest: None,
        };
        Ok(self.by_uuid(uuid)?.map(|_| ThinState::Working(status)))
    }

    fn pool(&self, uuid: &str) -> Result<Option<PoolState>, DmError> {
        let state = self.lvm.state();
        let active = state.pool.as_ref().is_some_and(|pool| {
            uuid == dm_pool_uuid(&state.vg.uuid, &pool.uuid) && state.active.contains(&pool.uuid)
        });
        Ok(active.then(|| self.pool.lock().unwrap().parse().unwrap()))
    }

    fn counters(&self, _: &DmDevice) -> io::Result<bd_proto::IoCounters> {
        Ok(bd_proto::IoCounters {
            reads: 1,
            ..Default::default()
        })
    }

    fn stamp(&self, _: &DmDevice) -> io::Result<Option<Vec<u8>>> {
        Ok(Some(format!("{:?}", self.lvm.state().vg).into_bytes()))
    }

    fn delete_thin(&self, _: &str, device: u32) -> Result<bool, DmError> {
        self.deleted.lock().unwrap().push(device);
        Ok(true)
    }

    fn reserve_metadata(&self, pool: &str) -> Result<(), DmError> {
        assert!(self.pool(pool).unwrap().is_some());
        Ok(())
    }

    fn mapped(&self, _thin: &str, metadata: &str) -> io::Result<Option<Spans>> {
        assert!(metadata.ends_with("_tmeta"));
        Ok(Some(vec![(Bytes(0), Bytes(65536))]))
    }

    fn inherited(
        &self,
        _thin: &str,
        metadata: &str,
        before: Option<u64>,
    ) -> io::Result<Option<Inherited>> {
        assert!(metadata.ends_with("_tmeta"));
        Ok(Some(Inherited {
            spans: vec![(Bytes(0), Bytes(65536))],
            bytes: Bytes(65536),
            chunk: Bytes(65536),
            before: before.unwrap_or(1),
        }))
    }

    fn release_metadata(&self, _pool: &str) -> Result<(), DmError> {
        Ok(())
    }

    fn size(&self, device: &DmDevice) -> io::Result<Bytes> {
        let state = self.lvm.state();
        let mut lvs = state.vg.lvs.iter();
        let lv = lvs
            .find(|lv| device.uuid.ends_with(lv.uuid.bare()))
            .unwrap();
        Ok(visible_size(lv))
    }

    fn open(&self, device: &DmDevice) -> io::Result<Node> {
        let path = self.folder.path().join(&device.uuid);
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let state = self.lvm.state();
        let lv = state
            .vg
            .lvs
            .iter()
            .find(|lv| device.uuid.ends_with(lv.uuid.bare()))
            .unwrap();
        file.set_len(visible_size(lv).0)?;
        Ok(Node {
            file,
            block_size: 512,
            discard_granularity: 65536,
        })
    }

    fn zero(&self, file: &File, from: Bytes, len: Bytes) -> io::Result<()> {
        if *self.broken.lock().unwrap() {
            return Err(io::Error::other("the disk is broken"));
        }
        self.zeroed.lock().unwrap().push((from.0, len.0));
        file.write_all_at(&vec![0; usize::try_from(len.0).unwrap()], from.0)
    }

    fn discard(&self, _: &File, _: Bytes, _: Bytes) -> io::Result<()> {
        Ok(())
    }
}

struct Bench {
    lvm: Arc<FakeLvm>,
    kernel: Arc<FakeKernel>,
    engine: LvmEngine,
}

fn name(text: &str) -> LvName {
    text.parse().unwrap()
}

fn open(
    lvm: &Arc<FakeLvm>,
    kernel: &Arc<FakeKernel>,
    pool: Option<&str>,
) -> Result<LvmEngine, EngineError> {
    let pool = pool.map(name);
    let vg = "vg0".parse().unwrap();
    LvmEngine::open_with(
        lvm.clone(),
        kernel.clone(),
        &vg,
        pool.as_ref(),
        Told::nobody(),
    )
}

/// A VG of a hundred extents; a quarter of them is the pool's, where there is one.
fn bench(pool: Option<&str>) -> Bench {
    let vg = "vg0".parse().unwrap();
    let lvm = Arc::new(FakeLvm::new(&vg, Extents(100), pool.map(name).as_ref()));
    let kernel = Arc::new(FakeKernel {
        lvm: lvm.clone(),
        folder: tempfile::tempdir().unwrap(),
        pool: Mutex::new(POOL.to_owned()),
        open: Mutex::new(0),
        zeroed: Mutex::default(),
        broken: Mutex::default(),
        suspended: Mutex::default(),
        deleted: Mutex::default(),
    });
    let engine = open(&lvm, &kernel, pool).unwrap();
    lvm.state().log.clear();
    Bench {
        lvm,
        kernel,
        engine,
    }
}

impl Bench {
    /// The commands since the last call.
    fn commands(&self) -> Vec<String> {
        std::mem::take(&mut self.lvm.state().log)
    }

    fn create(&self, text: &str, kind: ImageKind) -> Gfid {
        let gfid = Gfid::random();
        self.engine
            .create(gfid, &name(text), kind, Bytes(1))
            .unwrap();
        gfid
    }

    fn name_of(&self, gfid: Gfid) -> String {
        self.engine.find(gfid).unwrap().unwrap().name.to_string()
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, EngineError>, kind: FaultKind, word: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.message.contains(word), "{error}");
}

#[test]
fn common_verbs_cost_one_command() {
    let bench = bench(Some("pool"));
    let a = bench.create("a", ImageKind::Thin);
    assert_eq!(bench.commands(), ["lvcreate vg0/a"]);
    let (s, c) = (Gfid::random(), Gfid::random());
    bench.engine.snapshot(a, s, &name("s"), None).unwrap();
    assert_eq!(bench.commands(), ["lvcreate -s vg0/s"]);
    bench.engine.clone_image(a, c, &name("c")).unwrap();
    assert_eq!(bench.commands(), ["lvcreate -s vg0/c"]);
    bench.engine.rename(c, &name("d")).unwrap();
    assert_eq!(bench.commands(), ["lvrename vg0/c"]);
    bench.engine.resize(a, Bytes(40 * MIB)).unwrap();
    assert_eq!(bench.commands(), ["lvextend vg0/a"]);
    for gfid in [a, s, c] {
        bench.engine.open(gfid).unwrap();
        bench.engine.find(gfid).unwrap().unwrap();
        bench
            .engine
            .rename(gfid, &name(&bench.name_of(gfid)))
            .unwrap();
        bench
            .engine
            .resize(gfid, bench.engine.find(gfid).unwrap().unwrap().size)
            .unwrap();
    }
    bench.engine.allocated(&[a, s]).unwrap();
    bench.engine.space().unwrap();
    assert_eq!(bench.commands(), [] as [&str; 0]);
    assert_eq!(bench.engine.remove(a).unwrap(), Removed::Gone);
    assert_eq!(bench.commands().len(), 1);
    assert_eq!(bench.engine.find(s).unwrap().unwrap().origin, None);
}

#[test]
fn the_model_stays_in_step() {
    let bench = bench(Some("pool"));
    let (thin, thick) = (
        bench.create("a", ImageKind::Thin),
        bench.create("b", ImageKind::Thick),
    );
    let (s, t) = (Gfid::random(), Gfid::random());
    bench.engine.snapshot(thin, s, &name("s"), None).unwrap();
    bench.engine.snapshot(thick, t, &name("t"), None).unwrap();
    bench.engine.rename(thin, &name("a2")).unwrap();
    bench.engine.rename(thick, &name("b2")).unwrap();
    bench.engine.resize(thin, Bytes(20 * MIB)).unwrap();
    assert_eq!(bench.engine.remove(t).unwrap(), Removed::Gone);
    bench.engine.resize(thick, Bytes(20 * MIB)).unwrap();
    bench.engine.resize(thick, Bytes(8 * MIB)).unwrap();
    let gfids = [thin, thick, s, t];
    let before: Vec<_> = gfids
        .iter()
        .map(|g| bench.engine.find(*g).unwrap())
        .collect();
    let free = bench.engine.model().vg.free;
    bench.engine.volumes().unwrap();
    let after: Vec<_> = gfids
        .iter()
        .map(|g| bench.engine.find(*g).unwrap())
        .collect();
    assert_eq!(before, after);
    assert_eq!(bench.engine.model().vg.free, free);
}

#[test]
fn taken_names_become_gfids() {
    let bench = bench(Some("pool"));
    let first = bench.create("vm1", ImageKind::Thin);
    let second = bench.create("vm1", ImageKind::Thin);
    assert_eq!(bench.name_of(first), "vm1");
    assert_eq!(bench.name_of(second), second.to_string());
    // Taken by an admin since: one failed command, one report, one more command.
    bench.lvm.state().insert(&name("late"), Extents(1), vec![]);
    bench.commands();
    let third = bench.create("late", ImageKind::Thin);
    assert_eq!(bench.name_of(third), third.to_string());
    assert_eq!(bench.commands().len(), 3);
    bench.lvm.state().insert(&name("later"), Extents(1), vec![]);
    bench.engine.rename(first, &name("later")).unwrap();
    assert_eq!(bench.name_of(first), first.to_string());
}

#[test]
fn errors_leave_nothing() {
    let bench = bench(None);
    bench.kernel.broken.lock().unwrap().clone_from(&true);
    let gfid = Gfid::random();
    let made = bench
        .engine
        .create(gfid, &name("a"), ImageKind::Thick, Bytes(1));
    refused(made, FaultKind::Failed, "zeroing stopped");
    assert_eq!(bench.engine.volumes().unwrap(), []);
    bench.kernel.broken.lock().unwrap().clone_from(&false);

    let a = bench.create("a", ImageKind::Thick);
    bench
        .lvm
        .state()
        .failures
        .extend([None, None, Some(LvmErrorKind::Failed)]);
    bench.kernel.broken.lock().unwrap().clone_from(&true);
    let cloned = bench.engine.clone_image(a, gfid, &name("c"));
    refused(cloned, FaultKind::Failed, "copying stopped");
    // Its frozen copy could not be removed either: that is tried again before it is in the way.
    assert_eq!(bench.engine.volumes().unwrap().len(), 1);
    assert_eq!(bench.engine.model().temporary().len(), 1);
    bench.kernel.broken.lock().unwrap().clone_from(&false);

    bench
        .lvm
        .state()
        .failures
        .extend([None, None, Some(LvmErrorKind::Failed)]);
    refused(
        bench.engine.resize(a, Bytes(8 * MIB)),
        FaultKind::Failed,
        "resize",
    );
    assert_eq!(bench.engine.find(a).unwrap().unwrap().size, Bytes(4 * MIB));
    let tags = bench.lvm.state().lv(&name("a")).unwrap().tags.clone();
    assert_eq!(tags, [Tag::Gfid(a)]);
    assert!(bench.engine.model().temporary().is_empty());
}

#[test]
fn too_large_is_no_space() {
    let bench = bench(Some("pool"));
    for kind in [ImageKind::Thin, ImageKind::Thick] {
        let size = Bytes(u64::MAX);
        let made = bench.engine.create(Gfid::random(), &name("a"), kind, size);
        refused(
            made,
            FaultKind::NoSpace,
            "more than a volume group can hold",
        );
    }
    let made = bench
        .engine
        .create(Gfid::random(), &name("a"), ImageKind::Thick, Bytes(1 << 40));
    refused(
        made,
        FaultKind::NoSpace,
        "cannot create vg0/a with 1 TiB: 300 MiB free in vg0",
    );
    let a = bench.create("a", ImageKind::Thick);
    let grown = bench.engine.resize(a, Bytes(1 << 40));
    refused(
        grown,
        FaultKind::NoSpace,
        "to 1 TiB: 296 MiB free in vg0; add a PV",
    );
}

#[test]
fn zeroing_is_resumed_before_anybody_looks() {
    let bench = bench(None);
    let gfid = Gfid::random();
    let tags = vec![Tag::Gfid(gfid), Tag::Zeroing(Bytes(4 * MIB))];
    bench.lvm.state().insert(&name("a"), Extents(20), tags);
    bench.engine.volumes().unwrap();
    bench.engine.open(gfid).unwrap();
    let slices = std::mem::take(&mut *bench.kernel.zeroed.lock().unwrap());
    assert_eq!(
        slices,
        [
            (4 * MIB, 32 * MIB),
            (36 * MIB, 32 * MIB),
            (68 * MIB, 12 * MIB)
        ]
    );
    assert_eq!(
        bench.lvm.state().lv(&name("a")).unwrap().tags,
        [Tag::Gfid(gfid)]
    );
    bench.engine.open(gfid).unwrap();
    assert!(bench.kernel.zeroed.lock().unwrap().is_empty());
}

#[test]
fn pools_that_leak_or_are_broken_are_refused() {
    let bench = bench(Some("pool"));
    let again = |word, kind| refused(open(&bench.lvm, &bench.kernel, Some("pool")), kind, word);
    let set = |attr: &str| {
        bench.lvm.state().pool.as_mut().unwrap().attr = attr.parse().unwrap();
    };
    set("twi-aot---");
    again("lvchange --zero y vg0/pool", FaultKind::Invalid);
    set("twi-aotzM-");
    again("lvconvert --repair vg0/pool", FaultKind::Failed);
    set("twi-cotz--");
    again("lvconvert --repair", FaultKind::Failed);
    set("-wi-a-----");
    again("not a thin pool", FaultKind::Invalid);
    set("twi-aotz--");
    let says = |line: &str| line.clone_into(&mut bench.kernel.pool.lock().unwrap());
    says("1 10/1024 100/8192 - ro discard_passdown error_if_no_space needs_check 256");
    again("lvconvert --repair", FaultKind::Failed);
    refused(
        open(&bench.lvm, &bench.kernel, Some("none")),
        FaultKind::NotFound,
        "lvcreate",
    );

    let make = || {
        bench
            .engine
            .create(Gfid::random(), &name("a"), ImageKind::Thin, Bytes(1))
    };
    says("1 10/1024 8192/8192 - out_of_data_space discard_passdown error_if_no_space - 256");
    refused(make(), FaultKind::NoSpace, "vg0/pool is full");
    assert_eq!(bench.engine.space().unwrap().free, Bytes(0));
    says("1 990/1024 100/8192 - rw discard_passdown error_if_no_space - 256");
    refused(make(), FaultKind::NoSpace, "96% of its metadata");
    says("Fail");
    refused(make(), FaultKind::Failed, "lvconvert --repair");
    says(POOL);
    make().unwrap();
    let thin = bench
        .engine
        .create(Gfid::random(), &name("b"), ImageKind::Thick, Bytes(1));
    assert_eq!(thin.unwrap().kind, ImageKind::Thick);
}

#[test]
fn groups_of_others_are_refused() {
    let bench = bench(None);
    let again = |word, kind| refused(open(&bench.lvm, &bench.kernel, None), kind, word);
    bench.lvm.state().vg.exported = true;
    again("vgimport vg0", FaultKind::InUse);
    bench.lvm.state().vg.exported = false;
    bench.lvm.state().vg.partial = true;
    again("vgreduce --removemissing vg0", FaultKind::Failed);
    bench.lvm.state().vg.partial = false;
    bench.lvm.state().vg.shared = true;
    again("shared by several hosts", FaultKind::Unsupported);
    bench.lvm.state().vg.shared = false;
    bench.lvm.state().vg.writeable = false;
    again("read-only", FaultKind::Invalid);
    bench.lvm.state().vg.writeable = true;
    let (ours, theirs) = (BrickId::random(), BrickId::random());
    bench.engine.claim(ours).unwrap();
    refused(
        bench.engine.claim(theirs),
        FaultKind::InUse,
        &ours.to_string(),
    );
    bench.engine.release(theirs).unwrap();
    assert_eq!(bench.engine.claimed_by().unwrap(), Some(ours));
    bench.engine.release(ours).unwrap();
    assert_eq!(bench.engine.claimed_by().unwrap(), None);
}

#[test]
fn a_group_of_another_identity_is_not_touched() {
    let bench = bench(None);
    bench.lvm.state().vg.uuid = "z".repeat(32).parse().unwrap();
    refused(
        bench.engine.volumes(),
        FaultKind::Failed,
        "another one than before",
    );
}

#[test]
fn removal_waits_for_users() {
    let bench = bench(Some("pool"));
    let a = bench.create("a", ImageKind::Thin);
    bench.commands();
    *bench.kernel.open.lock().unwrap() = 1;
    let deferred = bench.engine.remove(a).unwrap();
    assert_eq!(deferred, Removed::Deferred("vg0/a is open".to_owned()));
    // LVM was not asked at all.
    assert_eq!(bench.commands(), [] as [&str; 0]);
    *bench.kernel.open.lock().unwrap() = 0;
    bench
        .lvm
        .state()
        .failures
        .push_back(Some(LvmErrorKind::InUse));
    assert_eq!(bench.engine.remove(a).unwrap(), Removed::Gone);
    assert_eq!(bench.engine.remove(a).unwrap(), Removed::Identity);
}

#[test]
fn the_second_lv_of_one_image_is_nobodys() {
    let bench = bench(None);
    let gfid = Gfid::random();
    bench
        .lvm
        .state()
        .insert(&name("a"), Extents(1), vec![Tag::Gfid(gfid)]);
    bench
        .lvm
        .state()
        .insert(&name("b"), Extents(1), vec![Tag::Gfid(gfid)]);
    let volumes = bench.engine.volumes().unwrap();
    let owners: Vec<_> = volumes.iter().map(|v| v.gfid).collect();
    assert_eq!(owners, [Some(gfid), None]);
    let other = Gfid::random();
    bench.engine.adopt(&name("b"), other).unwrap();
    assert_eq!(
        bench.lvm.state().lv(&name("b")).unwrap().tags,
        [Tag::Gfid(other)]
    );
    bench.engine.volumes().unwrap();
    assert_eq!(bench.name_of(gfid), "a");
    assert_eq!(bench.name_of(other), "b");
}

#[test]
fn a_cow_store_holds_every_change() {
    let extent = Bytes(4 * MIB);
    // 64 chunks of data, one table, its successor and the header.
    assert_eq!(create::cow_extents(extent, extent), Extents(2));
    // 4096 entries fit into one table.
    let chunk = 64 << 10;
    let size = Bytes(4096 * chunk);
    assert_eq!(
        create::cow_extents(size, Bytes(chunk)),
        Extents(4096 + 2 + 1)
    );
    let size = Bytes(4097 * chunk);
    assert_eq!(
        create::cow_extents(size, Bytes(chunk)),
        Extents(4097 + 3 + 1)
    );
}

#[test]
fn what_a_kill_leaves_is_cleared_at_the_start() {
    let bench = bench(Some("pool"));
    let gfid = Gfid::random();
    let left = [
        ("frozen", vec![Tag::Temporary]),
        ("half", vec![Tag::Gfid(gfid), Tag::Unfinished]),
        ("whole", vec![Tag::Gfid(Gfid::random())]),
    ];
    for (text, tags) in left {
        bench.lvm.state().insert(&name(text), Extents(1), tags);
    }
    bench.lvm.state().pool.as_mut().unwrap().transaction = 2;
    // The one that the kernel has not counted was never active; the other is whole.
    bench.lvm.state().thin_devices = [(3, 1), (2, 0)]
        .map(|(device, transaction)| ThinDevice {
            uuid: format!("{device:0>32}").replace('0', "z").parse().unwrap(),
            device,
            transaction,
        })
        .into();
    *bench.kernel.suspended.lock().unwrap() = true;
    let start = || {
        open(&bench.lvm, &bench.kernel, Some("pool")).unwrap();
        bench.commands()
    };
    // Nothing at all is changed before a brick has taken the group.
    assert_eq!(start(), ["lvs vg0", "lvs vg0/pool"]);
    bench.engine.claim(BrickId::random()).unwrap();
    bench.commands();
    let commands = start();
    assert!(
        commands.contains(&"vgchange --refresh vg0".to_owned()),
        "{commands:?}"
    );
    assert!(
        commands.iter().any(|c| c.starts_with("lvcreate vg0/")),
        "{commands:?}"
    );
    let deleted = std::mem::take(&mut *bench.kernel.deleted.lock().unwrap());
    assert!(!deleted.is_empty() && deleted.iter().all(|device| *device == 3));
    let names: Vec<_> = bench
        .lvm
        .state()
        .vg
        .lvs
        .iter()
        .map(|lv| lv.name.clone())
        .collect();
    assert_eq!(names, [name("pool"), name("whole")]);
    *bench.kernel.suspended.lock().unwrap() = false;
    bench.lvm.state().pool.as_mut().unwrap().transaction = 1;
    let commands = start();
    assert!(
        commands.iter().all(|c| c.starts_with("lvs ")),
        "{commands:?}"
    );
    assert!(bench.kernel.deleted.lock().unwrap().is_empty());
}

/// Whatever command of a merge fails, it is done as a whole or not at all, and the next start
/// tidies up.
#[test]
fn a_merge_is_whole_whatever_fails() {
    for failing in 0..7 {
        let bench = bench(Some("pool"));
        bench.engine.claim(BrickId::random()).unwrap();
        let kind = ImageKind::Thin;
        let (first, a) = (bench.create("above", kind), Gfid::random());
        let [snapshot, second] = [(); 2].map(|()| Gfid::random());
        let copy = |from, to, text| bench.engine.snapshot(from, to, &name(text), None).unwrap();
        copy(first, a, "a");
        copy(a, snapshot, "snap");
        copy(a, second, "second");
        let uuid = |text: &str| bench.lvm.state().lv(&name(text)).unwrap().uuid.clone();
        let (old, new) = (uuid("a"), uuid("snap"));
        bench.commands();
        let failures = (0..failing)
            .map(|_| None)
            .chain([Some(LvmErrorKind::Failed)]);
        bench.lvm.state().failures = failures.collect();
        let merged = bench.engine.merge(snapshot);
        bench.lvm.state().failures.clear();
        let engine = open(&bench.lvm, &bench.kernel, Some("pool")).unwrap();
        for engine in [&bench.engine, &engine] {
            let is = |gfid| {
                let lv = engine.model().image(gfid).map(|lv| lv.uuid.clone());
                (lv, engine.find(gfid).unwrap().unwrap())
            };
            let ((at_a, image), (at_snapshot, rest)) = (is(a), is(snapshot));
            let swapped = (at_a, at_snapshot) == (Some(new.clone()), Some(old.clone()));
            assert_eq!(swapped, merged.is_ok(), "{failing}");
            assert_eq!(rest.outgoing, swapped, "{failing}");
            assert_eq!(image.origin_image, Some(first), "{failing}");
            assert_eq!(is(second).1.origin_image, Some(a), "{failing}");
        }
        if failing == 0 {
            refused(merged, FaultKind::Failed, "merge image");
            continue;
        }
        // The start has left no mark of the merge, and another one changes nothing.
        let tags = bench.lvm.state().vg.lvs.clone();
        let marked = |lv: &LvReport| lv.tags.iter().any(|t| matches!(t, Tag::Merged(_)));
        assert!(!tags.iter().any(marked), "{failing}: {tags:?}");
        bench.commands();
        open(&bench.lvm, &bench.kernel, Some("pool")).unwrap();
        let commands = bench.commands();
        assert!(
            commands.iter().all(|c| c.starts_with("lvs ")),
            "{commands:?}"
        );
        assert_eq!(engine.remove(snapshot).unwrap(), Removed::Gone);
        assert_eq!(engine.find(second).unwrap().unwrap().origin_image, Some(a));
        if failing > 5 {
            assert_eq!(merged.unwrap().name, name("a"));
        }
    }
}

#[test]
fn a_vg_that_nobody_has_changed_is_not_read_again() {
    let bench = bench(Some("pool"));
    bench.engine.volumes().unwrap();
    assert_eq!(bench.commands(), ["lvs vg0"]);
    for _ in 0..3 {
        bench.engine.volumes().unwrap();
        bench.engine.volumes_lately().unwrap();
    }
    assert_eq!(bench.commands(), [""; 0]);
    // A change of our own: what others have done may be missing for a while, our own is not.
    bench.create("vm1", ImageKind::Thin);
    bench.commands();
    assert_eq!(bench.engine.volumes_lately().unwrap().len(), 1);
    assert_eq!(bench.commands(), [""; 0]);
    bench.engine.volumes().unwrap();
    assert_eq!(bench.commands(), ["lvs vg0"]);
    // A change of somebody else.
    bench.lvm.state().vg.free = Extents(7);
    bench.engine.volumes_lately().unwrap();
    assert_eq!(bench.commands(), ["lvs vg0"]);
}
