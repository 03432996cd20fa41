use bd_model::Bytes;
use serde::{Deserialize, Serialize};

use super::program::{ProgramError, lvm_rows, run_json};

/// A block device and what is on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Disk {
    /// Its node.
    pub(crate) path: String,
    /// `disk`, `part`, `loop`, ...
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Its bytes.
    pub(crate) size: Bytes,
    /// What it holds, in words; empty if nothing was found.
    pub(crate) holds: Vec<String>,
    /// Whether somebody uses it now, so that not even `--wipe` may take it.
    pub(crate) in_use: bool,
    /// Whether `storage create` takes it.
    pub(crate) free: bool,
}

/// What lsblk says of a device.
#[derive(Clone, Debug, Deserialize)]
struct Device {
    path: String,
    #[serde(rename = "type")]
    kind: String,
    size: u64,
    fstype: Option<String>,
    pttype: Option<String>,
    #[serde(default)]
    mountpoints: Vec<Option<String>>,
    ro: bool,
    #[serde(default)]
    children: Vec<Device>,
}

#[derive(Deserialize)]
struct Tree {
    blockdevices: Vec<Device>,
}

/// A row of pvs.
#[derive(Clone, Debug, Deserialize)]
struct Pv {
    pv_name: String,
    vg_name: String,
}

/// What wipefs found.
#[derive(Deserialize)]
struct Signatures {
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    #[serde(rename = "type")]
    kind: String,
}

const COLUMNS: &str = "PATH,TYPE,SIZE,FSTYPE,PTTYPE,MOUNTPOINTS,RO";

/// Smaller devices are not offered: nothing useful fits.
const LEAST: u64 = 64 << 20;

/// The disks, partitions and loop devices of this host.
pub(crate) fn disks() -> Result<Vec<Disk>, ProgramError> {
    let pvs = pvs()?;
    Ok(devices()?
        .iter()
        .map(|device| judge(device, &pvs, &[]))
        .collect())
}

/// Devices that say they are physical volumes, but which LVM does not show.
pub(crate) fn unseen_members() -> Result<Vec<String>, ProgramError> {
    let pvs = pvs()?;
    Ok(devices()?
        .into_iter()
        .filter(|device| {
            device.fstype.as_deref() == Some("LVM2_member")
                && !pvs.iter().any(|pv| pv.pv_name == device.path)
        })
        .map(|device| device.path)
        .collect())
}

/// All devices but logical volumes and what is on them, each once.
fn devices() -> Result<Vec<Device>, ProgramError> {
    let tree: Tree = run_json("lsblk", &["--json", "--bytes", "--output", COLUMNS])?;
    let mut found: Vec<Device> = Vec::new();
    let mut waiting: Vec<Device> = tree.blockdevices.into_iter().rev().collect();
    while let Some(device) = waiting.pop() {
        if matches!(device.kind.as_str(), "lvm" | "dm") {
            continue;
        }
        waiting.extend(device.children.iter().rev().cloned());
        let shown = device.kind != "rom" && device.size > 0;
        if shown && !found.iter().any(|other| other.path == device.path) {
            found.push(device);
        }
    }
    Ok(found)
}

/// One device, looked at more closely.
pub(crate) fn inspect(path: &str) -> Result<Disk, ProgramError> {
    let tree: Tree = run_json(
        "lsblk",
        &["--json", "--bytes", "--output", COLUMNS, "--", path],
    )?;
    let found: Option<Signatures> = run_json("wipefs", &["--no-act", "--json", "--", path])?;
    let signatures: Vec<String> = found
        .map(|found| found.signatures)
        .unwrap_or_default()
        .into_iter()
        .map(|signature| signature.kind)
        .collect();
    let device = tree.blockdevices.first();
    let device = device.ok_or_else(|| ProgramError::Failed {
        command: format!("lsblk {path}"),
        said: "no such device".to_owned(),
    })?;
    Ok(judge(device, &pvs()?, &signatures))
}

fn pvs() -> Result<Vec<Pv>, ProgramError> {
    lvm_rows("pvs", "pv", &["-o", "pv_name,vg_name"])
}

/// The devices of a volume group.
pub(super) fn members(vg: &str) -> Result<Vec<String>, ProgramError> {
    let all = pvs()?.into_iter().filter(|pv| pv.vg_name == vg);
    Ok(all.map(|pv| pv.pv_name).collect())
}

fn judge(device: &Device, pvs: &[Pv], signatures: &[String]) -> Disk {
    let mut holds = Vec::new();
    let pv = pvs.iter().find(|pv| pv.pv_name == device.path);
    if let Some(table) = &device.pttype
        && device.kind != "part"
    {
        holds.push(format!("partition table {table}"));
    }
    match (pv, device.fstype.as_deref()) {
        (Some(pv), _) if pv.vg_name.is_empty() => holds.push("physical volume".to_owned()),
        (Some(pv), _) => holds.push(format!("physical volume of {}", pv.vg_name)),
        (None, Some("LVM2_member")) => holds.push("physical volume that LVM does not show".into()),
        (None, Some(format)) => holds.push(format.to_owned()),
        (None, None) => {}
    }
    for name in signatures {
        let known = holds
            .iter()
            .any(|held| held.split(' ').any(|word| word == name))
            || (name == "LVM2_member" && pv.is_some());
        if !known {
            holds.push(name.clone());
        }
    }
    for at in device.mountpoints.iter().flatten() {
        holds.push(match at.as_str() {
            "[SWAP]" => "swap in use".to_owned(),
            at => format!("mounted on {at}"),
        });
    }
    for child in &device.children {
        if child.kind != "part" && pv.is_none() {
            holds.push(format!("used by {}", child.path));
        }
    }
    if device.ro {
        holds.push("read-only".to_owned());
    }
    Disk {
        path: device.path.clone(),
        kind: device.kind.clone(),
        size: Bytes(device.size),
        in_use: is_used(device, pvs),
        free: holds.is_empty() && device.children.is_empty() && device.size >= LEAST,
        holds,
    }
}

/// Whether the device or one of its partitions is in use now.
fn is_used(device: &Device, pvs: &[Pv]) -> bool {
    let in_group = |pv: &Pv| pv.pv_name == device.path && !pv.vg_name.is_empty();
    device.ro
        || device.mountpoints.iter().flatten().next().is_some()
        || pvs.iter().any(in_group)
        || device
            .children
            .iter()
            .any(|child| child.kind != "part" || is_used(child, pvs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(text: serde_json::Value) -> Device {
        serde_json::from_value(text).unwrap()
    }

    fn pv(name: &str, vg: &str) -> Pv {
        Pv {
            pv_name: name.to_owned(),
            vg_name: vg.to_owned(),
        }
    }

    #[test]
    fn what_a_disk_holds_is_named() {
        let empty = device(serde_json::json!({
            "path": "/dev/sda", "type": "disk", "size": 1_u64 << 30, "fstype": null,
            "pttype": null, "mountpoints": [null], "ro": false
        }));
        let disk = judge(&empty, &[], &[]);
        assert!(disk.free && disk.holds.is_empty() && !disk.in_use);
        let disk = judge(&empty, &[], &["ext4".to_owned()]);
        assert!(!disk.free && !disk.in_use);
        assert_eq!(disk.holds, ["ext4"]);
        let disk = judge(
            &empty,
            &[pv("/dev/sda", "vg0")],
            &["LVM2_member".to_owned()],
        );
        assert!(!disk.free && disk.in_use);
        assert_eq!(disk.holds, ["physical volume of vg0"]);
        let disk = judge(&empty, &[pv("/dev/sda", "")], &[]);
        assert!(!disk.free && !disk.in_use);
    }

    #[test]
    fn a_mounted_partition_protects_its_disk() {
        let disk = device(serde_json::json!({
            "path": "/dev/sda", "type": "disk", "size": 1_u64 << 40, "fstype": null,
            "pttype": "gpt", "mountpoints": [null], "ro": false,
            "children": [{
                "path": "/dev/sda1", "type": "part", "size": 1_u64 << 30, "fstype": "ext4",
                "pttype": "gpt", "mountpoints": ["/"], "ro": false
            }]
        }));
        let whole = judge(&disk, &[], &["gpt".to_owned(), "PMBR".to_owned()]);
        assert!(!whole.free && whole.in_use);
        assert_eq!(whole.holds, ["partition table gpt", "PMBR"]);
        let part = judge(&disk.children[0], &[], &[]);
        assert_eq!(part.holds, ["ext4", "mounted on /"]);
    }
}
