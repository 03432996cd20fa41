//! Disks that become a volume group.

use bd_model::VgName;

use super::disk::{Disk, inspect, members};
use super::group::find_group;
use crate::CliError;

/// The nodes of devices that a new group may take, none of them twice.
///
/// # Errors
/// A device is in use, or holds something that is not to be wiped.
pub(crate) fn take(devices: &[String], wipe: bool) -> Result<Vec<String>, CliError> {
    let mut taken = Vec::new();
    for node in nodes(devices)? {
        let disk = inspect(&node)?;
        may_take(&disk, wipe)?;
        if taken.contains(&disk.path) {
            return Err(CliError::Words(format!("{} is named twice", disk.path)));
        }
        taken.push(disk.path);
    }
    Ok(taken)
}

/// As [`take`], for a group of that name; none are left to take where it has been made of them before.
///
/// # Errors
/// As [`take`]; or there is another group of that name.
pub(crate) fn take_for(
    vg: &VgName,
    devices: &[String],
    wipe: bool,
) -> Result<Vec<String>, CliError> {
    if find_group(vg.as_str())?.is_none() {
        return take(devices, wipe);
    }
    let mut wanted = nodes(devices)?;
    let mut present = members(vg.as_str())?;
    wanted.sort();
    present.sort();
    match wanted == present {
        true => Ok(Vec::new()),
        false => Err(CliError::Refused(format!(
            "volume group {vg} exists already, of other disks ({}); choose another name: gluster-bd \
             storage create NAME {}, and name the brick HOST:/NAME",
            present.join(", "),
            devices.join(" ")
        ))),
    }
}

fn nodes(devices: &[String]) -> Result<Vec<String>, CliError> {
    let node = |device: &String| match std::fs::canonicalize(device) {
        Ok(path) => Ok(path.display().to_string()),
        Err(source) => Err(CliError::Path {
            path: device.clone(),
            source,
        }),
    };
    devices.iter().map(node).collect()
}

fn may_take(disk: &Disk, wipe: bool) -> Result<(), CliError> {
    if disk.free || (wipe && !disk.in_use) {
        return Ok(());
    }
    let holds = match disk.holds.is_empty() {
        true => format!("it has only {}", disk.size),
        false => format!("it holds: {}", disk.holds.join(", ")),
    };
    let next = match disk.in_use {
        true => "it is in use; choose another device",
        false => "choose another device, or remove what it holds with --wipe",
    };
    Err(CliError::Refused(format!(
        "cannot take {}: {holds}; {next}",
        disk.path
    )))
}
