//! What the engine needs of the kernel, apart from LVM.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};

use bd_dm_thin::{Dm, DmDevice, DmError, Inherited, PoolState, Spans, ThinState};
use bd_lvm::{LvmUuid, ThinLv, VgLock, VgLocks, dm_name};
use bd_model::{Bytes, Sectors, VgName};
use bd_proto::IoCounters;
use rustix::fs::{CWD, FileType, Mode, OFlags, makedev};

use super::disks::{self, Settled};

/// Spans that one mapping may have: what is behind them counts as mapped.
const MOST_SPANS: usize = 100_000;
/// Where udevd is told what to do, if it runs.
const UDEVD: &str = "/run/udev/control";

/// Devices of active LVs.
pub(super) trait Kernel: std::fmt::Debug + Send + Sync {
    /// The active device of this device-mapper UUID.
    fn by_uuid(&self, uuid: &str) -> Result<Option<DmDevice>, DmError>;
    /// The active device of this device-mapper name.
    fn by_name(&self, name: &str) -> Result<Option<DmDevice>, DmError>;
    /// The active devices whose device-mapper UUIDs start like this.
    fn by_prefix(&self, prefix: &str) -> Result<Vec<DmDevice>, DmError>;
    /// The state of an active thin LV.
    fn thin(&self, uuid: &str) -> Result<Option<ThinState>, DmError>;
    /// The state of an active pool.
    fn pool(&self, uuid: &str) -> Result<Option<PoolState>, DmError>;
    /// As [`Kernel::pool`], after all changes of the pool and what was written before are on stable
    /// storage.
    fn committed(&self, uuid: &str) -> Result<Option<PoolState>, DmError>;
    /// Takes a thin device that is not active out of an active pool; `false` if it is not there.
    fn delete_thin(&self, pool: &str, device: u32) -> Result<bool, DmError>;
    /// The numbers of all thin devices that a pool's metadata snapshot has, on the metadata device of that
    /// device-mapper name.
    fn thin_devices(&self, metadata: &str) -> io::Result<Vec<u32>>;
    /// Makes a metadata snapshot of a pool; it can have one.
    fn reserve_metadata(&self, pool: &str) -> Result<(), DmError>;
    /// The mapped spans of an active thin LV by its pool's metadata snapshot, on the metadata
    /// device of that device-mapper name.
    fn mapped(&self, thin: &str, metadata: &str) -> io::Result<Option<Spans>>;
    /// As [`Kernel::mapped`], the chunks that a thin LV has from another one; see
    /// [`bd_dm_thin::inherited_spans`].
    fn inherited(
        &self,
        thin: &str,
        metadata: &str,
        before: Option<u64>,
    ) -> io::Result<Option<Inherited>>;
    /// Gives up the metadata snapshot of a pool, if it has one.
    fn release_metadata(&self, pool: &str) -> Result<(), DmError>;
    /// What was done to a device since it was activated.
    fn counters(&self, device: &DmDevice) -> io::Result<IoCounters>;
    /// What changes with each change of the metadata of the VG that a device is of; `None` where
    /// its physical volumes do not tell.
    fn mda_headers(&self, device: &DmDevice) -> io::Result<Option<Vec<u8>>>;
    /// Takes LVM's lock of a VG; `None` where only LVM may make its LVs active.
    fn lock(&self, vg: &VgName) -> io::Result<Option<VgLock>>;
    /// The metadata of the VG that a device is of, as they lie on its physical volumes. The VG's lock
    /// is held. `None` where they are not to be had, or not all the same.
    fn metadata(&self, device: &DmDevice) -> io::Result<Option<String>>;
    /// Brings the metadata of a VG, as LVM has left them, to the stable storage of its physical volumes.
    /// Those are looked for at the paths where they were the last time, or else below one of the VG's
    /// devices. `None` where they are not found, or do not agree.
    fn settle(
        &self,
        vg: &LvmUuid,
        known: &[PathBuf],
        device: Option<&DmDevice>,
    ) -> io::Result<Option<Settled>>;
    /// Makes a thin LV active, on an active pool. The VG's lock is held.
    fn activate(&self, vg: &VgName, uuid: &str, lv: &ThinLv, pool: &DmDevice) -> io::Result<()>;
    /// The bytes of a device.
    fn size(&self, device: &DmDevice) -> io::Result<Bytes>;
    /// Opens a device for direct I/O.
    fn open(&self, device: &DmDevice) -> io::Result<Node>;
    /// Makes a range read as zeros, with its blocks allocated.
    fn zero(&self, file: &File, from: Bytes, len: Bytes) -> io::Result<()>;
    /// Frees a range of a thin LV, as far as whole chunks go.
    fn discard(&self, file: &File, from: Bytes, len: Bytes) -> io::Result<()>;
}

/// An open device.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) file: File,
    /// Alignment of direct I/O.
    pub(super) block_size: u32,
    /// Alignment of discards; zero where there is none.
    pub(super) discard_granularity: u64,
}

/// The kernel of this host.
#[derive(Debug)]
pub(super) struct Host {
    dm: Dm,
    locks: Option<VgLocks>,
}

impl Host {
    pub(super) fn new() -> Result<Host, DmError> {
        let locks = VgLocks::of_host().unwrap_or_else(|error| {
            tracing::warn!("{error}; each LV is made active by LVM");
            None
        });
        Dm::open().map(|dm| Host { dm, locks })
    }

    /// The device of that device-mapper name, which must be active.
    fn active(&self, name: &str) -> io::Result<DmDevice> {
        let device = self.dm.by_name(name).map_err(io::Error::other)?;
        device.ok_or_else(|| io::Error::other(format!("{name} is not active")))
    }

    /// Lets `read` read what thin_dump(8) says of an active thin LV in its pool's metadata snapshot;
    /// `None` where something else than zeros lies below the LV. Fails with `NotConnected` if the LV
    /// is not active.
    fn dump<T>(
        &self,
        thin: &str,
        metadata: &str,
        read: impl FnOnce(BufReader<ChildStdout>) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        let table = self.dm.thin_table(thin).map_err(io::Error::other)?;
        let inactive = || io::Error::new(io::ErrorKind::NotConnected, "it is not active");
        let table = table.ok_or_else(inactive)?;
        if table.has_external_origin {
            return Ok(None);
        }
        let device = self.active(metadata)?;
        let mut dump = Command::new("thin_dump")
            .arg("--metadata-snap")
            .args(["--dev-id", &table.id.to_string()])
            .arg(node_of(&device))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| io::Error::new(e.kind(), format!("cannot run thin_dump: {e}")))?;
        let told = match dump.stdout.take() {
            Some(text) => read(BufReader::new(text)),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        // Its output is closed by now: it ends even if it has more to say.
        let ended = dump.wait_with_output()?;
        told.map(Some).map_err(|error| {
            let said = String::from_utf8_lossy(&ended.stderr);
            io::Error::other(format!(
                "{error}; thin_dump: {} {}",
                ended.status,
                said.trim()
            ))
        })
    }
}

impl Kernel for Host {
    fn by_uuid(&self, uuid: &str) -> Result<Option<DmDevice>, DmError> {
        self.dm.by_uuid(uuid)
    }

    fn by_name(&self, name: &str) -> Result<Option<DmDevice>, DmError> {
        self.dm.by_name(name)
    }

    fn by_prefix(&self, prefix: &str) -> Result<Vec<DmDevice>, DmError> {
        self.dm.by_prefix(prefix)
    }

    fn thin(&self, uuid: &str) -> Result<Option<ThinState>, DmError> {
        self.dm.thin(uuid)
    }

    fn pool(&self, uuid: &str) -> Result<Option<PoolState>, DmError> {
        self.dm.pool(uuid)
    }

    fn committed(&self, uuid: &str) -> Result<Option<PoolState>, DmError> {
        self.dm.committed_pool(uuid)
    }

    fn delete_thin(&self, pool: &str, device: u32) -> Result<bool, DmError> {
        self.dm.delete_thin(pool, device)
    }

    fn thin_devices(&self, metadata: &str) -> io::Result<Vec<u32>> {
        let listed = Command::new("thin_ls")
            .args(["--metadata-snap", "--no-headers", "--format", "DEV"])
            .arg(node_of(&self.active(metadata)?))
            .stdin(Stdio::null())
            .output()
            .map_err(|e| io::Error::new(e.kind(), format!("cannot run thin_ls: {e}")))?;
        if !listed.status.success() {
            let said = String::from_utf8_lossy(&listed.stderr);
            let text = format!("thin_ls: {} {}", listed.status, said.trim());
            return Err(io::Error::other(text));
        }
        let text = String::from_utf8_lossy(&listed.stdout);
        text.split_whitespace()
            .map(|word| word.parse().map_err(io::Error::other))
            .collect()
    }

    fn reserve_metadata(&self, pool: &str) -> Result<(), DmError> {
        self.dm.reserve_metadata(pool)
    }

    fn mapped(&self, thin: &str, metadata: &str) -> io::Result<Option<Spans>> {
        let told = self.dump(thin, metadata, |text| {
            bd_dm_thin::mapped_spans(text, MOST_SPANS)
        });
        match told {
            // Nobody has it open, and so nobody needs to know.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(None),
            told => told,
        }
    }

    fn inherited(
        &self,
        thin: &str,
        metadata: &str,
        before: Option<u64>,
    ) -> io::Result<Option<Inherited>> {
        self.dump(thin, metadata, |text| {
            bd_dm_thin::inherited_spans(text, before, MOST_SPANS)
        })
    }

    fn release_metadata(&self, pool: &str) -> Result<(), DmError> {
        self.dm.release_metadata(pool)
    }

    fn counters(&self, device: &DmDevice) -> io::Result<IoCounters> {
        let path = format!("/sys/dev/block/{}:{}/stat", device.major, device.minor);
        counters(&fs::read_to_string(path)?).ok_or(io::ErrorKind::InvalidData.into())
    }

    fn mda_headers(&self, device: &DmDevice) -> io::Result<Option<Vec<u8>>> {
        disks::mda_headers(device)
    }

    fn lock(&self, vg: &VgName) -> io::Result<Option<VgLock>> {
        self.locks.as_ref().map(|locks| locks.take(vg)).transpose()
    }

    fn metadata(&self, device: &DmDevice) -> io::Result<Option<String>> {
        disks::metadata(device)
    }

    fn settle(
        &self,
        vg: &LvmUuid,
        known: &[PathBuf],
        device: Option<&DmDevice>,
    ) -> io::Result<Option<Settled>> {
        disks::settle(vg, known, device)
    }

    fn activate(&self, vg: &VgName, uuid: &str, lv: &ThinLv, pool: &DmDevice) -> io::Result<()> {
        let name = dm_name(vg, &lv.name);
        let made = self.dm.activate_thin(&name, uuid, lv.size, pool, lv.device);
        let device = made.map_err(io::Error::other)?;
        if Path::new(UDEVD).exists() {
            return Ok(());
        }
        make_nodes(vg, lv, &device)
    }

    fn size(&self, device: &DmDevice) -> io::Result<Bytes> {
        let folder = PathBuf::from(format!("/sys/dev/block/{}:{}", device.major, device.minor));
        // In sectors, whatever the device's block size.
        let sectors = Sectors(setting(&folder, "size")?);
        sectors.bytes().ok_or(io::ErrorKind::InvalidData.into())
    }

    fn open(&self, device: &DmDevice) -> io::Result<Node> {
        let file = open_number(device)?;
        let queue = PathBuf::from(format!(
            "/sys/dev/block/{}:{}/queue",
            device.major, device.minor
        ));
        let discards = setting(&queue, "discard_max_bytes")? > 0;
        let granularity = setting(&queue, "discard_granularity")?;
        Ok(Node {
            block_size: rustix::fs::ioctl_blksszget(&file)?,
            discard_granularity: if discards { granularity } else { 0 },
            file,
        })
    }

    fn zero(&self, file: &File, from: Bytes, len: Bytes) -> io::Result<()> {
        bd_lvm::zero_out(file, from, len)
    }

    fn discard(&self, file: &File, from: Bytes, len: Bytes) -> io::Result<()> {
        bd_lvm::discard(file, from, len)
    }
}

/// Makes what udevd would make below /dev, as LVM does where that does not run: the node of a device,
/// and a link to it in its group's folder. What an earlier device has left there is replaced.
fn make_nodes(vg: &VgName, lv: &ThinLv, device: &DmDevice) -> io::Result<()> {
    let node = Path::new("/dev/mapper").join(&device.name);
    let folder = Path::new("/dev").join(vg.as_str());
    let link = folder.join(lv.name.as_str());
    fs::create_dir_all(&folder)?;
    for path in [&node, &link] {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    let number = makedev(device.major, device.minor);
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP;
    rustix::fs::mknodat(CWD, &node, FileType::BlockDevice, mode, number)?;
    std::os::unix::fs::symlink(&node, &link)
}

/// Reads the counters of a block device (Linux, Documentation/block/stat.rst): reads, merged ones,
/// sectors, milliseconds, and the same of writes. Sectors have 512 bytes, whatever the device's.
fn counters(text: &str) -> Option<IoCounters> {
    let numbers: Option<Vec<u64>> = text.split_whitespace().map(|n| n.parse().ok()).collect();
    let numbers = numbers?;
    Some(IoCounters {
        reads: *numbers.first()?,
        read: Sectors(*numbers.get(2)?).bytes()?,
        writes: *numbers.get(4)?,
        written: Sectors(*numbers.get(6)?).bytes()?,
    })
}

fn setting(queue: &Path, name: &str) -> io::Result<u64> {
    let text = fs::read_to_string(queue.join(name))?;
    text.trim()
        .parse()
        .map_err(|_| io::Error::other(format!("{name} is {text:?}")))
}

/// A name of a device for another program: by its number where the kernel fills /dev.
fn node_of(device: &DmDevice) -> PathBuf {
    let node = PathBuf::from(format!("/dev/dm-{}", device.minor));
    if node.exists() {
        node
    } else {
        Path::new("/dev/mapper").join(&device.name)
    }
}

/// Opens a device by its number: links below /dev/mapper are udev's, and come when they come.
fn open_number(device: &DmDevice) -> io::Result<File> {
    let node = PathBuf::from(format!("/dev/dm-{}", device.minor));
    match open_checked(&node, device) {
        Ok(file) => return Ok(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // A /dev that the kernel does not fill, as in a container: a node of our own, for a moment.
    let own = PathBuf::from(format!(
        "/dev/.gluster-bdd.{}.{}.{}",
        std::process::id(),
        device.major,
        device.minor
    ));
    let number = makedev(device.major, device.minor);
    let mode = Mode::RUSR | Mode::WUSR;
    match rustix::fs::mknodat(CWD, &own, FileType::BlockDevice, mode, number) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let file = open_checked(&own, device);
    let _ = fs::remove_file(&own);
    file
}

fn open_checked(path: &Path, device: &DmDevice) -> io::Result<File> {
    let flags = i32::try_from((OFlags::DIRECT | OFlags::CLOEXEC | OFlags::NOFOLLOW).bits())
        .map_err(io::Error::other)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)?;
    let found = file.metadata()?;
    if !found.file_type().is_block_device() || found.rdev() != makedev(device.major, device.minor) {
        return Err(io::Error::other(format!(
            "{} is not device {}:{}",
            path.display(),
            device.major,
            device.minor
        )));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_a_device_are_read() {
        let text = "     102        0     2048       36       50        7     1600       20        0 \
                    56       56        0        0        0        0        0        0\n";
        let expected = IoCounters {
            reads: 102,
            read: Bytes(2048 * 512),
            writes: 50,
            written: Bytes(1600 * 512),
        };
        assert_eq!(counters(text), Some(expected));
        assert_eq!(counters("1 2 3"), None);
        assert_eq!(counters("1 2 3 4 5 6 x"), None);
    }
}
