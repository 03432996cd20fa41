use bd_model::{Bytes, VgName};
use serde::{Deserialize, Deserializer, Serialize};

use super::layout;
use super::layout::Share;
use super::program::{ProgramError, lvm, lvm_rows, run};
use crate::CliError;
use crate::interrupt::Interrupt;

/// A volume group, as LVM reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// Its name.
    #[serde(rename(deserialize = "vg_name"))]
    pub(crate) vg: String,
    /// All its bytes.
    #[serde(rename(deserialize = "vg_size"), deserialize_with = "number")]
    pub(crate) size: u64,
    /// Bytes that belong to no LV.
    #[serde(rename(deserialize = "vg_free"), deserialize_with = "number")]
    pub(crate) free: u64,
    /// Its tags, with commas between them.
    #[serde(rename(deserialize = "vg_tags"))]
    pub(crate) tags: String,
}

impl Group {
    /// Whether a brick has taken it.
    pub(crate) fn holds_brick(&self) -> bool {
        let mut tags = self.tags.split(',');
        tags.any(|tag| tag.starts_with("gluster_bd.brick="))
    }
}

/// A thin pool, as LVM reports it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pool {
    /// Its VG.
    #[serde(rename(deserialize = "vg_name"))]
    pub(crate) vg: String,
    /// Its name.
    #[serde(rename(deserialize = "lv_name"))]
    pub(crate) pool: String,
    /// Bytes for data.
    #[serde(rename(deserialize = "lv_size"), deserialize_with = "number")]
    pub(crate) size: u64,
    /// Bytes of its metadata.
    #[serde(rename(deserialize = "lv_metadata_size"), deserialize_with = "number")]
    pub(crate) metadata_size: u64,
    /// Percent of the data bytes in use; none while the pool is not active.
    #[serde(deserialize_with = "percent")]
    pub(crate) data_percent: Option<f64>,
    /// Percent of the metadata in use; none while the pool is not active.
    #[serde(deserialize_with = "percent")]
    pub(crate) metadata_percent: Option<f64>,
    /// Bytes of a chunk.
    #[serde(deserialize_with = "number")]
    pub(crate) chunk_size: u64,
    /// Whether new chunks read as zeros.
    #[serde(rename(deserialize = "zero"), deserialize_with = "zeroes")]
    pub(crate) zeroing: bool,
    /// `error` or `queue`: what happens to writes when it is full.
    #[serde(rename(deserialize = "lv_when_full"))]
    pub(crate) when_full: String,
    /// Bytes of the VG that it can still grow by.
    #[serde(rename(deserialize = "vg_free"), deserialize_with = "number")]
    pub(crate) group_free: u64,
    /// Whether the host activates it at its start.
    #[serde(rename(deserialize = "lv_autoactivation"), deserialize_with = "set")]
    pub(crate) autoactivation: bool,
}

/// LVM 2.03.16 prints each number as text.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(serde::de::Error::custom)
}

fn percent<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    match String::deserialize(from)?.as_str() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

fn zeroes<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(matches!(
        String::deserialize(from)?.as_str(),
        "zero" | "1" | "yes"
    ))
}

pub(super) fn set<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(matches!(
        String::deserialize(from)?.as_str(),
        "enabled" | "1" | "yes"
    ))
}

/// The volume groups of this host.
pub(crate) fn groups() -> Result<Vec<Group>, ProgramError> {
    lvm_rows("vgs", "vg", &["-o", "vg_name,vg_size,vg_free,vg_tags"])
}

/// The group of that name.
pub(crate) fn find_group(name: &str) -> Result<Option<Group>, ProgramError> {
    Ok(groups()?.into_iter().find(|group| group.vg == name))
}

/// The thin pools of this host.
pub(crate) fn pools() -> Result<Vec<Pool>, ProgramError> {
    let fields = "vg_name,lv_name,lv_size,lv_metadata_size,data_percent,metadata_percent,\
                  chunk_size,zero,lv_when_full,vg_free,lv_autoactivation";
    lvm_rows("lvs", "lv", &["-S", "segtype=thin-pool", "-o", fields])
}

/// What a new volume group shall be.
#[derive(Clone, Debug)]
pub(crate) struct NewGroup {
    /// Its name.
    pub(crate) name: VgName,
    /// Its disks.
    pub(crate) disks: Vec<String>,
    /// Space of the pool.
    pub(crate) pool: Option<Share>,
    /// Space of the pool's metadata.
    pub(crate) metadata: Option<Bytes>,
    /// Whether each byte of the pool is on two disks.
    pub(crate) raid1: bool,
    /// Whether what the disks hold is removed first.
    pub(crate) wipe: bool,
}

/// The pool of a group that [`make_group`] makes.
pub(crate) const POOL: &str = "pool";

/// Makes a volume group with a thin pool on disks as [`take`](super::take) has found them, with what is usual.
pub(crate) fn make_plain_group(
    name: &VgName,
    disks: &[String],
    wipe: bool,
) -> Result<(Group, Pool), CliError> {
    make_group(&NewGroup {
        name: name.clone(),
        disks: disks.to_vec(),
        pool: None,
        metadata: None,
        raid1: false,
        wipe,
    })
}

/// Makes a volume group with a thin pool; on failure, the disks are no physical volumes again.
pub(crate) fn make_group(new: &NewGroup) -> Result<(Group, Pool), CliError> {
    let interrupt = Interrupt::watch()?;
    let disks: Vec<&str> = new.disks.iter().map(String::as_str).collect();
    let vg = new.name.as_str();
    for disk in &disks {
        if new.wipe {
            run("wipefs", &["--all", "--quiet", "--", disk])?;
        }
        interrupt.check_or("nothing was made, but devices may be wiped")?;
    }
    let made = (|| {
        // Metadata is written whole at each change; with thousands of LVs it needs room.
        lvm(
            "pvcreate",
            &[&["-q", "-y", "--metadatasize", "64m"], &disks[..]].concat(),
        )?;
        interrupt.check()?;
        lvm("vgcreate", &[&["-q", vg], &disks[..]].concat())?;
        interrupt.check()?;
        make_pool(new, &interrupt)
    })();
    match made {
        Ok(made) => Ok(made),
        Err(error) => {
            // The first failure is the one to tell; these clean up what there is.
            drop(lvm("vgremove", &["-q", "-ff", "-y", vg]));
            drop(lvm("pvremove", &[&["-q", "-y"], &disks[..]].concat()));
            Err(error)
        }
    }
}

fn make_pool(new: &NewGroup, interrupt: &Interrupt) -> Result<(Group, Pool), CliError> {
    let vg = new.name.as_str();
    let gone = || CliError::Failed(format!("volume group {vg} is gone right after it was made"));
    let group = find_group(vg)?.ok_or_else(gone)?;
    let total = Bytes(if new.raid1 {
        group.size / 2
    } else {
        group.size
    });
    let metadata = new.metadata.unwrap_or_else(|| layout::metadata(total));
    let size = layout::pool(total, metadata, new.pool).ok_or_else(|| {
        CliError::Failed(format!(
            "cannot make the pool: {vg} has {total} for it, {metadata} twice for its metadata and \
             {} for names; choose smaller ones or add disks",
            layout::names(total)
        ))
    })?;
    let (size, metadata) = (format!("{}b", size.0), format!("{}b", metadata.0));
    let pool = format!("{vg}/{POOL}");
    if new.raid1 {
        let mirrored = ["-q", "-y", "--type", "raid1", "-m", "1"];
        lvm(
            "lvcreate",
            &[&mirrored[..], &["-L", &size, "-n", POOL, vg]].concat(),
        )?;
        lvm(
            "lvcreate",
            &[&mirrored[..], &["-L", &metadata, "-n", "pool_meta", vg]].concat(),
        )?;
        interrupt.check()?;
        let meta = format!("{vg}/pool_meta");
        let words = ["--poolmetadata", &meta, "-Z", "y", &pool];
        lvm(
            "lvconvert",
            &[&["-q", "-y", "--type", "thin-pool"][..], &words].concat(),
        )?;
    } else {
        let words = ["-Z", "y", "-n", POOL, vg];
        let sizes = ["-L", &size, "--poolmetadatasize", &metadata];
        lvm(
            "lvcreate",
            &[&["-q", "-y", "--type", "thin-pool"][..], &sizes, &words].concat(),
        )?;
    }
    lvm("lvchange", &["-q", "--errorwhenfull", "y", &pool])?;
    // gluster-bdd activates what it needs; a host must not touch the bytes of its guests.
    lvm("lvchange", &["-q", "--setautoactivation", "n", &pool])?;
    interrupt.check()?;
    let group = find_group(vg)?.ok_or_else(gone)?;
    let pool = pools()?.into_iter().find(|pool| pool.vg == vg);
    Ok((group, pool.ok_or_else(gone)?))
}
