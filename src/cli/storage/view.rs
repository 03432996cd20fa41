//! How this host's LVM sees images, and what else looks after pools.

use serde::{Deserialize, Deserializer};

use super::group::{Pool, set};
use super::program::{ProgramError, lvm_rows, read_json, run};

/// An LV that belongs to an image.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ImageVolume {
    /// Its group.
    #[serde(rename = "vg_name")]
    pub(crate) vg: String,
    /// Its name.
    #[serde(rename = "lv_name")]
    pub(crate) lv: String,
    /// Its tags, with commas between them.
    #[serde(rename = "lv_tags")]
    pub(crate) tags: String,
    /// Its node below the group's folder.
    #[serde(rename = "lv_path")]
    pub(crate) path: String,
    /// Its node below /dev/mapper.
    #[serde(rename = "lv_dm_path")]
    pub(crate) dm_path: String,
    /// Whether the start of a host activates it.
    #[serde(rename = "lv_autoactivation", deserialize_with = "set")]
    pub(crate) autoactivation: bool,
    /// Whether an activation passes it over that does not insist.
    #[serde(rename = "lv_skip_activation", deserialize_with = "present")]
    pub(crate) skip_activation: bool,
}

impl ImageVolume {
    /// Whether the start of the host activates it.
    pub(crate) fn autoactivated(&self) -> bool {
        self.autoactivation && !self.skip_activation
    }
}

fn present<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    let text = String::deserialize(from)?;
    Ok(!matches!(text.as_str(), "" | "0"))
}

/// The LVs of images on this host.
pub(crate) fn image_volumes() -> Result<Vec<ImageVolume>, ProgramError> {
    let fields = "vg_name,lv_name,lv_tags,lv_path,lv_dm_path,lv_autoactivation,lv_skip_activation";
    let mut volumes: Vec<ImageVolume> = lvm_rows("lvs", "lv", &["-o", fields])?;
    // Selections of LVM compare whole tags only.
    volumes.retain(|volume| volume.tags.contains("gluster_bd.gfid="));
    Ok(volumes)
}

#[derive(Deserialize)]
struct Pv {
    pv_name: String,
    vg_name: String,
}

/// The physical volumes that LVM shows with this host's own settings, each with its group.
pub(crate) fn own_view() -> Result<Vec<(String, String)>, ProgramError> {
    let fields = "pv_name,vg_name";
    let text = run("pvs", &["--reportformat", "json", "-o", fields])?;
    let report: serde_json::Value = read_json("pvs", &text)?;
    let rows = report["report"][0]["pv"].clone();
    let rows: Vec<Pv> = serde_json::from_value(rows).map_err(|source| ProgramError::Output {
        program: "pvs".to_owned(),
        source,
    })?;
    Ok(rows
        .into_iter()
        .map(|pv| (pv.pv_name, pv.vg_name))
        .collect())
}

/// A setting of this host's lvm.conf, or its default.
fn setting(name: &str) -> Option<String> {
    let said = run("lvmconfig", &["--typeconfig", "full", name]).ok()?;
    Some(said.trim().split_once('=')?.1.to_owned())
}

/// Whether LVM looks for physical volumes inside logical ones.
pub(crate) fn scans_volumes() -> bool {
    setting("devices/scan_lvs").is_some_and(|value| value != "0")
}

/// dmeventd, where it extends pools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dmeventd {
    at: u64,
    monitored: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Monitored {
    vg_name: String,
    lv_name: String,
    seg_monitor: String,
}

impl Dmeventd {
    /// From which percentage on it extends a pool.
    pub(crate) fn extends(&self, pool: &Pool) -> Option<u64> {
        let mut monitored = self.monitored.iter();
        monitored
            .any(|(vg, lv)| *vg == pool.vg && *lv == pool.pool)
            .then_some(self.at)
    }
}

/// What dmeventd does; `None` if it extends nothing or cannot be asked.
pub(crate) fn dmeventd() -> Option<Dmeventd> {
    let at = setting("activation/thin_pool_autoextend_threshold")?;
    let at = at.parse().ok().filter(|at| *at < 100)?;
    let fields = "vg_name,lv_name,seg_monitor";
    let rows: Vec<Monitored> =
        lvm_rows("lvs", "lv", &["-S", "segtype=thin-pool", "-o", fields]).ok()?;
    let monitored = rows
        .into_iter()
        .filter(|row| row.seg_monitor == "monitored");
    Some(Dmeventd {
        at,
        monitored: monitored.map(|row| (row.vg_name, row.lv_name)).collect(),
    })
}
