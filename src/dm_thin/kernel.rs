use std::fmt;
use std::time::{Duration, Instant};

use bd_model::Bytes;
use devicemapper::{DM, DevId, DeviceInfo, DmFlags, DmName, DmOptions, DmUuid};

use crate::{DmDevice, DmError, PoolState, StatusError, ThinState, ThinTable};

/// The errno of a device that is not there.
const ENXIO: i32 = 6;
/// The errno of a thin device that is not in a pool's metadata.
const ENODATA: i32 = 61;
/// The errno of a message that does not fit the target's state.
const EINVAL: i32 = 22;

/// Bytes of what device-mapper counts sizes in.
const SECTOR: u64 = 512;

/// How long a pool may be suspended while somebody waits for its commit: LVM suspends it for moments.
const SUSPENDED: Duration = Duration::from_secs(30);
/// How often it is looked at meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The way to ask device-mapper.
pub struct Dm {
    dm: DM,
}

impl fmt::Debug for Dm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dm")
            .field("control", self.dm.file())
            .finish()
    }
}

impl Dm {
    /// Opens device-mapper's control node.
    pub fn open() -> Result<Dm, DmError> {
        DM::new().map(|dm| Dm { dm }).map_err(DmError::Control)
    }

    /// The active device with this device-mapper UUID.
    pub fn by_uuid(&self, uuid: &str) -> Result<Option<DmDevice>, DmError> {
        let id = DmUuid::new(uuid).map_err(|source| ask(uuid, source))?;
        self.active(uuid, &DevId::Uuid(id))
    }

    /// The active device with this device-mapper name.
    pub fn by_name(&self, name: &str) -> Result<Option<DmDevice>, DmError> {
        let id = DmName::new(name).map_err(|source| ask(name, source))?;
        self.active(name, &DevId::Name(id))
    }

    /// All active devices whose device-mapper UUID starts with `prefix`.
    pub fn by_prefix(&self, prefix: &str) -> Result<Vec<DmDevice>, DmError> {
        let all = self
            .dm
            .list_devices()
            .map_err(|source| ask("of any name", source))?;
        let mut found = Vec::new();
        for (name, _, _) in all {
            // One that goes meanwhile is not active.
            if let Some(device) = self.active(&name.to_string(), &DevId::Name(&name))?
                && device.uuid.starts_with(prefix)
            {
                found.push(device);
            }
        }
        Ok(found)
    }

    /// The state of a thin LV by its device-mapper UUID; `None` if it is not active.
    pub fn thin(&self, uuid: &str) -> Result<Option<ThinState>, DmError> {
        self.status(uuid, "thin", DmFlags::DM_NOFLUSH)
    }

    /// The table of a thin LV by its device-mapper UUID; `None` if it is not active.
    pub fn thin_table(&self, uuid: &str) -> Result<Option<ThinTable>, DmError> {
        self.status(uuid, "thin", DmFlags::DM_STATUS_TABLE)
    }

    /// Lets a pool keep its metadata as they are now readable on its metadata device, until
    /// [`Dm::release_metadata`]. A pool keeps one such snapshot at most.
    pub fn reserve_metadata(&self, pool: &str) -> Result<(), DmError> {
        self.message(pool, "reserve_metadata_snap")
    }

    /// Gives up what [`Dm::reserve_metadata`] has reserved; not an error if there is nothing.
    pub fn release_metadata(&self, pool: &str) -> Result<(), DmError> {
        match self.message(pool, "release_metadata_snap") {
            Err(DmError::Message { source, .. }) if errno(&source) == Some(EINVAL) => Ok(()),
            result => result,
        }
    }

    fn message(&self, pool: &str, message: &str) -> Result<(), DmError> {
        let id = DmUuid::new(pool).map_err(|source| ask(pool, source))?;
        let sent = self.dm.target_msg(&DevId::Uuid(id), None, message);
        sent.map(|_| ()).map_err(|source| DmError::Message {
            pool: pool.to_owned(),
            message: message.to_owned(),
            source,
        })
    }

    /// The state of a pool by the device-mapper UUID of its `-tpool` layer; `None` if it is not
    /// active.
    pub fn pool(&self, uuid: &str) -> Result<Option<PoolState>, DmError> {
        self.status(uuid, "thin-pool", DmFlags::DM_NOFLUSH)
    }

    /// As [`Dm::pool`], but the pool commits its metadata first, and flushes its data device before
    /// that: what was written to its thin LVs until now is on stable storage, if the mode that is
    /// answered lets them write.
    ///
    /// Asked for its status without `noflush`, a pool commits (dmsetup(8)), unless it is suspended:
    /// then it has committed already, or is about to. Linux 5.5 and later flush the data first.
    pub fn committed_pool(&self, uuid: &str) -> Result<Option<PoolState>, DmError> {
        let begun = Instant::now();
        loop {
            let state = self.status(uuid, "thin-pool", DmFlags::empty())?;
            // One that goes on by now has finished the commit of its suspension.
            if !self.by_uuid(uuid)?.is_some_and(|pool| pool.suspended) {
                return Ok(state);
            }
            if begun.elapsed() > SUSPENDED {
                return Err(DmError::Suspended {
                    device: uuid.to_owned(),
                });
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Takes a thin device out of the metadata of a pool, by the device-mapper UUID of the pool's
    /// `-tpool` layer; `false` if there is none of this number. The kernel refuses to take away one
    /// that is active.
    ///
    /// The message `delete` of the thin-pool target (Linux, Documentation/admin-guide/
    /// device-mapper/thin-provisioning.rst).
    pub fn delete_thin(&self, pool: &str, device: u32) -> Result<bool, DmError> {
        let id = DmUuid::new(pool).map_err(|source| ask(pool, source))?;
        let message = format!("delete {device}");
        match self.dm.target_msg(&DevId::Uuid(id), None, &message) {
            Ok(_) => Ok(true),
            Err(error) if errno(&error) == Some(ENODATA) => Ok(false),
            Err(source) => Err(DmError::Message {
                pool: pool.to_owned(),
                message,
                source,
            }),
        }
    }

    /// Makes a thin LV active: a device of this name and UUID on the thin device `id` of an active pool,
    /// of so many bytes, as LVM makes it. Nothing is left of one that cannot be made.
    ///
    /// What belongs to it below /dev comes from udevd, which is waited for where it runs. The caller
    /// sees to it that nobody else makes it active at the same time: a device that has no table is then
    /// one that a kill has left, and is replaced.
    pub fn activate_thin(
        &self,
        name: &str,
        uuid: &str,
        size: Bytes,
        pool: &DmDevice,
        id: u32,
    ) -> Result<DmDevice, DmError> {
        let failed = |step| {
            move |source| DmError::Make {
                device: name.to_owned(),
                step,
                source,
            }
        };
        let dm_name = DmName::new(name).map_err(failed("its name"))?;
        let dm_uuid = DmUuid::new(uuid).map_err(failed("its UUID"))?;
        let options = DmOptions::default();
        let id_of = DevId::Uuid(dm_uuid);
        if self
            .info(uuid, &id_of)?
            .is_some_and(|info| !has_table(&info))
        {
            let removed = self.dm.device_remove(&id_of, options);
            removed.map_err(failed("to remove what a kill has left"))?;
        }
        self.dm
            .device_create(dm_name, Some(dm_uuid), options)
            .map_err(failed("its creation"))?;
        let made = DevId::Name(dm_name);
        let target = format!("{}:{} {id}", pool.major, pool.minor);
        let table = [(0, size.0 / SECTOR, "thin".to_owned(), target)];
        let loaded = self.dm.table_load(&made, &table, options);
        let done = loaded.map_err(failed("to load its table")).and_then(|_| {
            let resumed = self.dm.device_suspend(&made, options);
            resumed.map_err(failed("to resume it"))
        });
        match done {
            Ok(info) => Ok(described(&info)),
            Err(error) => {
                // Nobody can have seen it, so that this can only fail together with device-mapper.
                let _removed = self.dm.device_remove(&made, options);
                Err(error)
            }
        }
    }

    fn active(&self, what: &str, id: &DevId<'_>) -> Result<Option<DmDevice>, DmError> {
        let info = self.info(what, id)?;
        Ok(info.filter(has_table).map(|info| described(&info)))
    }

    fn info(&self, what: &str, id: &DevId<'_>) -> Result<Option<DeviceInfo>, DmError> {
        match self.dm.device_info(id) {
            Ok(info) => Ok(Some(info)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(source) => Err(ask(what, source)),
        }
    }

    fn status<T>(
        &self,
        uuid: &str,
        wanted: &'static str,
        flags: DmFlags,
    ) -> Result<Option<T>, DmError>
    where
        T: std::str::FromStr<Err = StatusError>,
    {
        let id = DmUuid::new(uuid).map_err(|source| ask(uuid, source))?;
        let options = DmOptions::default().set_flags(flags);
        let targets = match self.dm.table_status(&DevId::Uuid(id), options) {
            Ok((_, targets)) => targets,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(source) => return Err(ask(uuid, source)),
        };
        match targets.as_slice() {
            [] => Ok(None),
            [(_, _, kind, line)] if kind == wanted => {
                line.parse().map(Some).map_err(|source| DmError::Status {
                    device: uuid.to_owned(),
                    source,
                })
            }
            [(_, _, found, _), ..] => Err(DmError::Target {
                device: uuid.to_owned(),
                found: found.clone(),
                wanted,
            }),
        }
    }
}

fn described(info: &DeviceInfo) -> DmDevice {
    DmDevice {
        major: info.device().major,
        minor: info.device().minor,
        name: info.name().map(ToString::to_string).unwrap_or_default(),
        uuid: info.uuid().map(ToString::to_string).unwrap_or_default(),
        open_count: u32::try_from(info.open_count()).unwrap_or(0),
        suspended: info.flags().contains(DmFlags::DM_SUSPEND),
    }
}

/// A device that has no table was just made, or was left so by a kill.
fn has_table(info: &DeviceInfo) -> bool {
    info.flags().contains(DmFlags::DM_ACTIVE_PRESENT)
}

fn ask(device: &str, source: devicemapper::DmError) -> DmError {
    DmError::Ask {
        device: device.to_owned(),
        source,
    }
}

fn is_absent(error: &devicemapper::DmError) -> bool {
    errno(error) == Some(ENXIO)
}

fn errno(error: &devicemapper::DmError) -> Option<i32> {
    match error {
        devicemapper::DmError::Core(devicemapper::errors::Error::Ioctl(_, _, _, errno)) => {
            Some(**errno as i32)
        }
        _ => None,
    }
}
