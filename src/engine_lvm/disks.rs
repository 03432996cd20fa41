//! The physical volumes of a VG: what its metadata are there.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;

use bd_dm_thin::DmDevice;
use bd_lvm::{LvmUuid, MDA_HEADER_AT, MDA_HEADER_LEN, TextPlace, disks_of_vg, mda_header};
use rustix::fs::{OFlags, major, minor};

/// Layers of devices between an LV and its physical volumes: a pool on RAID has four.
const LAYERS: u32 = 6;

/// A physical volume with metadata.
#[derive(Debug)]
struct Disk {
    path: PathBuf,
    file: File,
    header: Vec<u8>,
}

/// Physical volumes by the numbers of their devices.
type Disks = BTreeMap<u64, Disk>;

/// Metadata that are on the stable storage of all physical volumes which were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// Their text, as LVM writes it.
    pub(super) text: String,
    /// Where the physical volumes are.
    pub(super) disks: Vec<PathBuf>,
}

/// The headers of metadata areas of the physical volumes below a device; `None` where there is none.
pub(super) fn mda_headers(device: &DmDevice) -> io::Result<Option<Vec<u8>>> {
    let disks = below(device)?;
    let bytes: Vec<u8> = disks.into_values().flat_map(|disk| disk.header).collect();
    Ok((!bytes.is_empty()).then_some(bytes))
}

/// The metadata on the physical volumes below a device; `None` where they are not all the same.
pub(super) fn metadata(device: &DmDevice) -> io::Result<Option<String>> {
    text_of(&below(device)?)
}

/// See [`Kernel::settle`](super::kernel::Kernel::settle).
pub(super) fn settle(
    vg: &LvmUuid,
    known: &[PathBuf],
    device: Option<&DmDevice>,
) -> io::Result<Option<Settled>> {
    let at_known = known_disks(known);
    let found = match of_vg(vg, &at_known)? {
        Some(found) => Some((at_known, found)),
        // They have other paths by now.
        None => match device {
            Some(device) => {
                let below = below(device)?;
                of_vg(vg, &below)?.map(|found| (below, found))
            }
            None => None,
        },
    };
    let Some((mut disks, (text, paths))) = found else {
        return Ok(None);
    };
    let new = paths.iter().filter(|path| !known.contains(path));
    let new = known_disks(&new.cloned().collect::<Vec<_>>());
    for (number, disk) in new {
        if disk_text(&disk)?.as_ref() == Some(&text) {
            disks.insert(number, disk);
        }
    }
    if disks.len() < paths.len() {
        tracing::debug!(
            "{} of {} physical volumes are found",
            disks.len(),
            paths.len()
        );
    }
    flush(&disks)?;
    Ok(Some(Settled {
        text,
        disks: disks.into_values().map(|disk| disk.path).collect(),
    }))
}

/// The metadata on some disks, and the paths of all physical volumes that they name; `None` unless the
/// disks are of that VG and agree.
fn of_vg(vg: &LvmUuid, disks: &Disks) -> io::Result<Option<(String, Vec<PathBuf>)>> {
    let Some(text) = text_of(disks)? else {
        return Ok(None);
    };
    Ok(disks_of_vg(&text, vg).map(|paths| (text, paths)))
}

fn flush(disks: &Disks) -> io::Result<()> {
    let mut files = disks.values().map(|disk| &disk.file);
    let Some(first) = files.next() else {
        return Ok(());
    };
    // All at once: a disk may take a while.
    thread::scope(|scope| {
        let others: Vec<_> = files.map(|file| scope.spawn(|| file.sync_data())).collect();
        let flushed = first.sync_data();
        let mut others = others.into_iter().map(|other| {
            let ended = other.join();
            ended.unwrap_or_else(|_| Err(io::Error::other("a flush has panicked")))
        });
        others.try_fold((), |(), other| other).and(flushed)
    })
}

/// The one text that all these disks have.
fn text_of(disks: &Disks) -> io::Result<Option<String>> {
    let mut places = disks.values().map(|disk| TextPlace::of(&disk.header));
    let Some(Some(first)) = places.next() else {
        return Ok(None);
    };
    if !places.all(|place| place.is_some_and(|place| first.is_same_text(&place))) {
        return Ok(None);
    }
    match disks.values().next() {
        Some(disk) => disk_text(disk),
        None => Ok(None),
    }
}

fn disk_text(disk: &Disk) -> io::Result<Option<String>> {
    let Some(place) = TextPlace::of(&disk.header) else {
        return Ok(None);
    };
    let mut text = Vec::new();
    for (at, len) in place.pieces() {
        text.extend(read_aligned(&disk.file, at, len)?);
    }
    Ok(place.text(text))
}

/// The physical volumes at these paths, as far as there are any.
fn known_disks(paths: &[PathBuf]) -> Disks {
    let disks = paths.iter().filter_map(|path| {
        let (file, number) = open_direct(path).ok()?;
        Some((number, disk(path.clone(), file).ok()??))
    });
    disks.collect()
}

/// The physical volumes below a device.
fn below(device: &DmDevice) -> io::Result<Disks> {
    let folder = PathBuf::from(format!("/sys/dev/block/{}:{}", device.major, device.minor));
    let mut disks = Disks::new();
    collect(&folder, LAYERS, &mut disks)?;
    Ok(disks)
}

/// Takes the physical volumes below a device. `folder` is the device's in /sys.
fn collect(folder: &Path, layers: u32, disks: &mut Disks) -> io::Result<()> {
    let slaves = match fs::read_dir(folder.join("slaves")) {
        // A partition has none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        slaves => slaves?,
    };
    for entry in slaves {
        let entry = entry?;
        // The kernel writes ! for / in the names of devices.
        let node = entry.file_name().to_string_lossy().replace('!', "/");
        let path = Path::new("/dev").join(node);
        let number = fs::read_to_string(entry.path().join("dev"))?;
        let (file, found) = open_direct(&path)?;
        if number.trim() != format!("{}:{}", major(found), minor(found)) {
            let message = format!("{} is not device {number}", path.display());
            return Err(io::Error::other(message));
        }
        if disks.contains_key(&found) {
            continue;
        }
        match disk(path, file)? {
            Some(disk) => drop(disks.insert(found, disk)),
            None if layers > 0 => collect(&entry.path(), layers - 1, disks)?,
            None => {}
        }
    }
    Ok(())
}

/// The physical volume that a device is, if it is one with metadata.
fn disk(path: PathBuf, file: File) -> io::Result<Option<Disk>> {
    let bytes = read_aligned(&file, MDA_HEADER_AT, MDA_HEADER_LEN as u64)?;
    let header = mda_header(&bytes).map(<[u8]>::to_vec);
    Ok(header.map(|header| Disk { path, file, header }))
}

/// Opens a device to be read past the page cache; gives its number, too.
fn open_direct(path: &Path) -> io::Result<(File, u64)> {
    let flags =
        i32::try_from((OFlags::DIRECT | OFlags::CLOEXEC).bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let number = file.metadata()?.rdev();
    Ok((file, number))
}

/// Reads bytes of a disk, in the whole pages that they lie in.
fn read_aligned(file: &File, at: u64, len: u64) -> io::Result<Vec<u8>> {
    const PAGE: u64 = MDA_HEADER_LEN as u64;
    let (from, to) = (at / PAGE * PAGE, (at + len).next_multiple_of(PAGE));
    let sizes = (
        usize::try_from(to - from),
        usize::try_from(at - from),
        usize::try_from(len),
    );
    let (Ok(size), Ok(skip), Ok(len)) = sizes else {
        return Err(io::ErrorKind::OutOfMemory.into());
    };
    let mut memory = vec![0; size + MDA_HEADER_LEN];
    let start = memory.as_ptr().align_offset(MDA_HEADER_LEN);
    let bytes = memory
        .get_mut(start..start + size)
        .ok_or(io::ErrorKind::OutOfMemory)?;
    file.read_exact_at(bytes, from)?;
    Ok(bytes[skip..skip + len].to_vec())
}
