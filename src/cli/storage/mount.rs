//! The small file system that holds the names of a brick.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use bd_model::Bytes;

use super::layout;
use super::program::{ProgramError, lvm, lvm_rows, run};
use crate::CliError;
use crate::interrupt::Interrupt;

/// Its LV. The tag keeps it from being shown as an image.
const LV: &str = "gluster_bd_brick";
/// Where it is mounted, below this and by the name of the VG.
const ROOT: &str = "/srv/gluster-bd";

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
    if !is_mounted(&target)? {
        run("mount", &["-t", "xfs", &device, &target])?;
    }
    remember(&device, &target)?;
    let dir = brick_dir(vg);
    fs::create_dir_all(&dir).map_err(path_error)?;
    Ok(dir)
}

fn lv_exists(vg: &str) -> Result<bool, ProgramError> {
    let select = format!("vg_name={vg} && lv_name={LV}");
    let rows: Vec<serde_json::Value> = lvm_rows("lvs", "lv", &["-S", &select, "-o", "lv_name"])?;
    Ok(!rows.is_empty())
}

fn is_mounted(at: &str) -> Result<bool, CliError> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    Ok(mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(at)))
}

/// Puts the mount into fstab. `nofail`: a brick that is missing must not keep the host from
/// starting; glusterd refuses to start a brick whose directory is empty.
fn remember(device: &str, at: &str) -> Result<(), CliError> {
    const FSTAB: &str = "/etc/fstab";
    let path_error = |source| CliError::Path {
        path: FSTAB.to_owned(),
        source,
    };
    let present = match fs::read_to_string(FSTAB) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(path_error(error)),
    };
    if present
        .lines()
        .any(|line| line.split_whitespace().nth(1) == Some(at))
    {
        return Ok(());
    }
    let newline = match present.is_empty() || present.ends_with('\n') {
        true => "",
        false => "\n",
    };
    let line = format!(
        "{newline}{device} {at} xfs noatime,nofail,x-systemd.before=glusterd.service 0 0\n"
    );
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(FSTAB)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .map_err(path_error)
}
