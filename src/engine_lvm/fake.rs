//! A kernel in memory, for fast tests of the engine and of what stands above it.
#![allow(clippy::unwrap_used, reason = "it is for tests alone")]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bd_dm_thin::{DmDevice, DmError, Inherited, PoolState, Spans, ThinState, ThinStatus};
use bd_engine::EngineError;
use bd_lvm::fake::FakeLvm;
use bd_lvm::{LvReport, LvmUuid, ThinLv, VgLock, VgLocks, dm_name, dm_pool_uuid, dm_uuid};
use bd_model::{Bytes, LvName, Sectors, VgName};
use tempfile::TempDir;

use super::LvmEngine;
use super::disks::Settled;
use super::kernel::{Kernel, Node};
use super::model::visible_size;
use super::udev::Told;

/// A kernel whose devices are files, for the active LVs of the fake.
#[derive(Debug)]
pub struct FakeKernel {
    pub(super) lvm: Arc<FakeLvm>,
    pub(super) folder: TempDir,
    pub(super) pool: Mutex<String>,
    pub(super) open: Mutex<u32>,
    pub(super) zeroed: Mutex<Vec<(u64, u64)>>,
    pub(super) broken: Mutex<bool>,
    pub(super) suspended: Mutex<bool>,
    pub(super) deleted: Mutex<Vec<u32>>,
    /// The thin devices of the pool.
    pub(super) thin_devices: Mutex<Vec<u32>>,
    pub(super) commits: Mutex<u32>,
    /// How often metadata were brought to the disks.
    pub(super) settled: Mutex<u32>,
    /// The metadata on the disks; without them only LVM makes LVs active.
    pub(super) metadata: Mutex<Option<String>>,
    pub(super) io: Mutex<bd_proto::IoCounters>,
}

pub(super) const POOL: &str = "1 10/1024 100/8192 - rw discard_passdown error_if_no_space - 256";

impl FakeKernel {
    /// A kernel that has active what `lvm` has active.
    pub fn new(lvm: &Arc<FakeLvm>) -> FakeKernel {
        FakeKernel {
            lvm: Arc::clone(lvm),
            folder: tempfile::tempdir().unwrap(),
            pool: Mutex::new(POOL.to_owned()),
            open: Mutex::new(0),
            zeroed: Mutex::default(),
            broken: Mutex::default(),
            suspended: Mutex::default(),
            deleted: Mutex::default(),
            thin_devices: Mutex::default(),
            commits: Mutex::default(),
            settled: Mutex::default(),
            metadata: Mutex::default(),
            io: Mutex::default(),
        }
    }

    /// Opens the engine of the group that is there, with this kernel.
    pub fn engine(self: &Arc<Self>, pool: Option<&LvName>) -> Result<LvmEngine, EngineError> {
        let vg = self.lvm.state().vg.name.clone();
        LvmEngine::open_with(self.lvm.clone(), self.clone(), &vg, pool, Told::nobody())
    }

    /// What was zeroed since the last call: from where on, and how many bytes.
    pub fn take_zeroed(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut *self.zeroed.lock().unwrap())
    }

    /// From now on its disks fail.
    pub fn break_disks(&self) {
        *self.broken.lock().unwrap() = true;
    }

    fn device(&self, matches: impl Fn(&str, &str) -> bool) -> Option<DmDevice> {
        self.devices(matches).into_iter().next()
    }

    fn devices(&self, matches: impl Fn(&str, &str) -> bool) -> Vec<DmDevice> {
        let state = self.lvm.state();
        let device = |(index, lv): (usize, &LvReport)| {
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
        };
        state.vg.lvs.iter().enumerate().filter_map(device).collect()
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
        let devices = self.devices(|uuid, _| uuid.starts_with(prefix));
        let devices = devices.into_iter().map(|device| DmDevice {
            suspended,
            ..device
        });
        Ok(devices.collect())
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

    fn committed(&self, uuid: &str) -> Result<Option<PoolState>, DmError> {
        *self.commits.lock().unwrap() += 1;
        self.pool(uuid)
    }

    fn counters(&self, _: &DmDevice) -> io::Result<bd_proto::IoCounters> {
        Ok(*self.io.lock().unwrap())
    }

    fn mda_headers(&self, _: &DmDevice) -> io::Result<Option<Vec<u8>>> {
        Ok(Some(format!("{:?}", self.lvm.state().vg).into_bytes()))
    }

    fn delete_thin(&self, _: &str, device: u32) -> Result<bool, DmError> {
        self.deleted.lock().unwrap().push(device);
        Ok(true)
    }

    fn thin_devices(&self, metadata: &str) -> io::Result<Vec<u32>> {
        assert!(metadata.ends_with("_tmeta"));
        Ok(self.thin_devices.lock().unwrap().clone())
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

    fn lock(&self, vg: &VgName) -> io::Result<Option<VgLock>> {
        let locks = VgLocks::below(self.folder.path());
        let is_asked = self.metadata.lock().unwrap().is_some();
        is_asked.then(|| locks.take(vg)).transpose()
    }

    fn metadata(&self, device: &DmDevice) -> io::Result<Option<String>> {
        assert!(device.uuid.ends_with("-tpool"));
        Ok(self.metadata.lock().unwrap().clone())
    }

    fn settle(
        &self,
        _: &LvmUuid,
        _: &[PathBuf],
        _: Option<&DmDevice>,
    ) -> io::Result<Option<Settled>> {
        *self.settled.lock().unwrap() += 1;
        Ok(Some(Settled {
            text: format!("{:?}", self.lvm.state().vg),
            disks: Vec::new(),
        }))
    }

    fn activate(&self, _: &VgName, uuid: &str, lv: &ThinLv, pool: &DmDevice) -> io::Result<()> {
        assert!(pool.uuid.ends_with("-tpool"));
        if *self.broken.lock().unwrap() {
            return Err(io::Error::other("the kernel says no"));
        }
        let mut state = self.lvm.state();
        let mut lvs = state.vg.lvs.iter();
        let found = lvs.find(|found| uuid.ends_with(found.uuid.bare())).unwrap();
        assert_eq!((&found.name, found.size), (&lv.name, lv.size));
        let found = found.uuid.clone();
        state.active.insert(found);
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
        self.io.lock().unwrap().written.0 += len.0;
        file.write_all_at(&vec![0; usize::try_from(len.0).unwrap()], from.0)
    }

    fn discard(&self, _: &File, _: Bytes, _: Bytes) -> io::Result<()> {
        Ok(())
    }
}
