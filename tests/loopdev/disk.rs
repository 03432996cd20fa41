//! Loop devices and small file systems.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::mounts;
use crate::rig::Rig;
use crate::sh::{cmd, sh};
use crate::wait::wait_for;

const MIB: u64 = 1 << 20;

impl Rig {
    /// A loop device on a new sparse file of `mib` MiB. Gives its path, `/dev/loopN`.
    pub fn loop_device(&mut self, name: &str, mib: u64) -> Result<PathBuf> {
        let file = self.dir().join(format!("{name}.img"));
        fs::File::create_new(&file)
            .and_then(|image| image.set_len(mib * MIB))
            .with_context(|| format!("cannot make {}", file.display()))?;
        // losetup tries again when another process takes the free device before it is configured.
        let output = sh(&format!("losetup --find --show '{}'", file.display()))?;
        let device = PathBuf::from(&output.stdout);
        let owned = device.clone();
        self.on_teardown(format!("loop device {}", device.display()), move || {
            let ours = || backing(&owned).as_deref() == Some(file.as_path());
            if ours() {
                cmd("losetup", &["-d".as_ref(), owned.as_os_str()])?.ok()?;
            }
            // The kernel detaches at the last close, and udevd may be looking at the device.
            wait_for(&format!("the end of {}", owned.display()), || Ok(!ours()))
        });
        Ok(device)
    }

    /// A mounted XFS file system of `mib` MiB (300 at least), with reflinks: the place for bricks
    /// and for the file engine's store. Gives its mount point.
    pub fn filesystem(&mut self, name: &str, mib: u64) -> Result<PathBuf> {
        let device = self.loop_device(name, mib)?;
        self.filesystem_on(name, &device)
    }

    /// As [`Rig::filesystem`], on a device which the caller has prepared.
    pub fn filesystem_on(&mut self, name: &str, device: &Path) -> Result<PathBuf> {
        sh(&format!("mkfs.xfs -q -K -m reflink=1 {}", device.display()))?;
        self.mounted(name, device)
    }

    /// Mounts a device that has a file system, until the test ends.
    pub fn mounted(&mut self, name: &str, device: &Path) -> Result<PathBuf> {
        let at = self.folder(name)?;
        cmd("mount", &[device.as_os_str(), at.as_os_str()])?.ok()?;
        let mount = at.clone();
        self.on_teardown(format!("file system {}", at.display()), move || {
            mounts::unmount(&mount)
        });
        Ok(at)
    }

    /// Copies what the disk of a [`filesystem`](Rig::filesystem) holds at this moment: what a power cut
    /// would leave.
    pub fn disk_of(&self, filesystem: &Path) -> Result<PowerCut> {
        let device = device_of(filesystem)?;
        let disk = backing(&device).with_context(|| format!("{} has no file", device.display()))?;
        let held = disk.with_extension("cut");
        sh(&format!(
            "cp --sparse=always '{}' '{}'",
            disk.display(),
            held.display()
        ))?;
        Ok(PowerCut {
            filesystem: filesystem.to_owned(),
            device,
            disk,
            held,
        })
    }
}

/// The device of a mounted file system.
pub fn device_of(filesystem: &Path) -> Result<PathBuf> {
    let source = sh(&format!("findmnt -no SOURCE '{}'", filesystem.display()))?;
    Ok(PathBuf::from(source.stdout))
}

/// What a power cut has left of a file system.
#[derive(Debug)]
pub struct PowerCut {
    filesystem: PathBuf,
    device: PathBuf,
    disk: PathBuf,
    held: PathBuf,
}

impl PowerCut {
    /// Mounts the file system as it is after the cut. Whoever used it has ended.
    pub fn mount(self) -> Result<()> {
        let at = self.filesystem.display();
        sh(&format!(
            "umount '{at}' && mv '{}' '{}.new' && cat '{1}.new' > '{1}' && rm '{1}.new' &&
             blockdev --flushbufs '{device}' && mount '{device}' '{at}'",
            self.held.display(),
            self.disk.display(),
            device = self.device.display(),
        ))?;
        Ok(())
    }
}

/// The file behind a loop device, if it has one.
pub(crate) fn backing(device: &Path) -> Option<PathBuf> {
    let node = device.file_name()?.to_str()?;
    let path = fs::read_to_string(format!("/sys/block/{node}/loop/backing_file")).ok()?;
    Some(PathBuf::from(path.trim_end()))
}

/// Loop devices whose file is below `dir`.
pub(crate) fn loops_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    entries
        .map(|entry| Path::new("/dev").join(entry.file_name()))
        .filter(|device| backing(device).is_some_and(|file| file.starts_with(dir)))
        .collect()
}
