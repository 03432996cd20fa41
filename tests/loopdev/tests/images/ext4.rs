//! A file system on an image.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use loopdev::{Bed, Output, cmd, sh};

/// Files to copy: a few hundred real ones of this machine, of all sizes and with odd names.
fn files() -> Result<Output> {
    sh("cd /usr/share/doc && find . -type f | LC_ALL=C sort | sed -n 1,400p")
}

/// Mounts an image by loop. The rig takes it down if the step fails.
fn mount(bed: &mut Bed<'_>, image: &Path, options: &str) -> Result<std::path::PathBuf> {
    let at = bed.rig.folder("inside")?;
    let undo = at.clone();
    bed.rig.on_teardown("the file system on an image", move || {
        cmd(
            "bash",
            &[
                "-c",
                &format!("! mountpoint -q '{0}' || umount '{0}'", undo.display()),
            ],
        )?
        .ok()?;
        Ok(())
    });
    sh(&format!(
        "mount -t ext4 -o loop,{options} '{}' '{}'",
        image.display(),
        at.display()
    ))?;
    Ok(at)
}

/// Unmounts, and waits until the loop device has let the image go.
fn unmount(at: &Path, image: &Path) -> Result<()> {
    sh(&format!("umount '{}'", at.display()))?;
    loopdev::wait_for("the end of the loop device", || {
        Ok(cmd("losetup", &["-n", "-j", &image.to_string_lossy()])?
            .stdout
            .is_empty())
    })
}

pub(crate) fn is_clean_and_equal(bed: &mut Bed<'_>) -> Result<()> {
    let image = bed.at("disk.img");
    let list = bed.rig.dir().join("list");
    fs::write(&list, files()?.stdout + "\n")?;
    sh(&format!(
        "truncate -s 256M '{0}' && mkfs.ext4 -q -F '{0}'",
        image.display()
    ))?;
    let inside = mount(bed, &image, "rw")?;
    sh(&format!(
        "tar -C /usr/share/doc -cf - -T '{}' | tar -C '{}' -xf -",
        list.display(),
        inside.display()
    ))?;
    unmount(&inside, &image)?;
    cmd("e2fsck", &["-f".as_ref(), "-n".as_ref(), image.as_os_str()])?
        .ok()
        .context("after the copy")?;

    bed.remount()?;
    let image = bed.at("disk.img");
    cmd("e2fsck", &["-f".as_ref(), "-n".as_ref(), image.as_os_str()])?
        .ok()
        .context("on a fresh client")?;
    let inside = mount(bed, &image, "ro")?;
    let sums = |folder: &Path| {
        sh(&format!(
            "cd '{}' && tr '\\n' '\\0' < '{}' | xargs -0 sha256sum | sha256sum",
            folder.display(),
            list.display()
        ))
    };
    let (wanted, found) = (sums(Path::new("/usr/share/doc"))?, sums(&inside)?);
    ensure!(wanted.stdout == found.stdout, "the files differ");
    unmount(&inside, &image)
}

/// A clone of a file system that is in use is a file system too, and stays as it was.
pub(crate) fn clone_of_a_mounted_one(bed: &mut Bed<'_>) -> Result<()> {
    let image = bed.at("live.img");
    sh(&format!(
        "truncate -s 64M '{0}' && mkfs.ext4 -q -F '{0}'",
        image.display()
    ))?;
    let inside = mount(bed, &image, "rw")?;
    fs::write(inside.join("before"), vec![7; 300_000])?;
    sh(&format!("sync -f '{}'", inside.display()))?;
    sh(&format!(
        "cd '{}' && ln live.img copy.img && ln -s live.img snap.img",
        bed.images().display()
    ))?;
    fs::write(inside.join("after"), vec![8; 300_000])?;
    unmount(&inside, &image)?;
    for name in ["copy.img", "snap.img"] {
        let copy = bed.at(name);
        // The journal is replayed, as after a power cut.
        let inside = mount(bed, &copy, "rw")?;
        ensure!(
            fs::read(inside.join("before"))? == vec![7; 300_000],
            "{name} lost a synced file"
        );
        ensure!(!inside.join("after").exists(), "{name} has a later file");
        unmount(&inside, &copy)?;
        cmd("e2fsck", &["-f".as_ref(), "-n".as_ref(), copy.as_os_str()])?.ok()?;
    }
    Ok(())
}
