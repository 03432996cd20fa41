//! The small file system that holds the names of a brick.

use std::fs;
use std::path::{Path, PathBuf};

use bd_model::Bytes;

use super::fstab::{forget, mounted_at, remember};
use super::layout;
use super::program::{ProgramError, lvm, lvm_rows, run};
use crate::CliError;
use crate::interrupt::Interrupt;

/// Its LV. The tag keeps it from being shown as an image.
const LV: &str = "gluster_bd_brick";
/// Where it is mounted, below this and by the name of the VG.
const ROOT: &str = "/srv/gluster-bd";
/// Its kind in fstab. `nofail`: a brick that is missing must not keep the host from starting; glusterd
/// refuses to start a brick whose directory is empty.
const FSTAB: &str = "xfs noatime,nofail,x-systemd.before=glusterd.service";

/// Where the brick of a VG is.
pub(crate) fn brick_dir(vg: &str) -> PathBuf {
    Path::new(ROOT).join(vg).join("brick")
}

/// Makes the LV, the file system, the line in fstab and the mount, as far as they are missing.
pub(crate) fn make(vg: &str, total: Bytes, interrupt: &Interrupt) -> Result<PathBuf, CliError> {
    let device = format!("/dev/{vg}/{LV}");
    let at = Path::new(ROOT).join(vg);
    if !lv_exists(vg)? {
        let size = format!("{}b", layout::names(total).0);
        let tag = ["--addtag", "gluster_bd.hidden"];
        lvm(
            "lvcreate",
            &[&["-q", "-y", "-L", &size, "-n", LV], &tag[..], &[vg]].concat(),
        )?;
        let made = interrupt.check().and_then(|()| {
            run("mkfs.xfs", &["-q", "-f", "-i", "size=512", &device])?;
            interrupt.check()
        });
        if let Err(error) = made {
            drop(lvm("lvremove", &["-q", "-y", &format!("{vg}/{LV}")]));
            return Err(error);
        }
    }
    let path_error = |source| CliError::Path {
        path: at.display().to_string(),
        source,
    };
    fs::create_dir_all(&at).map_err(path_error)?;
    let target = at.display().to_string();
    if mounted_at(&target)?.is_none() {
        run("mount", &["-t", "xfs", &device, &target])?;
    }
    remember(&device, &target, FSTAB)?;
    let dir = brick_dir(vg);
    fs::create_dir_all(&dir).map_err(path_error)?;
    Ok(dir)
}

/// Removes what [`make`] has made. Nothing of it may be in use.
pub(crate) fn remove(vg: &str) -> Result<(), CliError> {
    let device = format!("/dev/{vg}/{LV}");
    let at = Path::new(ROOT).join(vg);
    let target = at.display().to_string();
    if mounted_at(&target)?.is_some() {
        run("umount", &[&target])?;
    }
    forget(|source| source == device)?;
    if lv_exists(vg)? {
        lvm("lvremove", &["-q", "-y", &format!("{vg}/{LV}")])?;
    }
    // Where there is more in it, it stays.
    drop(fs::remove_dir(&at));
    Ok(())
}

fn lv_exists(vg: &str) -> Result<bool, ProgramError> {
    let select = format!("vg_name={vg} && lv_name={LV}");
    let rows: Vec<serde_json::Value> = lvm_rows("lvs", "lv", &["-S", &select, "-o", "lv_name"])?;
    Ok(!rows.is_empty())
}
