use bd_model::{BrickId, Bytes, Extents, Gfid, LvName, VgName};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{LvAttr, LvmError, LvmErrorKind, LvmUuid, Tag};

/// A VG and its visible LVs, as one report tells them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VgReport {
    /// Its name.
    pub name: VgName,
    /// Its identity.
    pub uuid: LvmUuid,
    /// Bytes of an extent.
    pub extent_size: Bytes,
    /// All extents.
    pub extents: Extents,
    /// Extents that belong to no LV.
    pub free: Extents,
    /// The host it belongs to; empty for any.
    pub system_id: String,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Whether its metadata may be changed.
    pub writeable: bool,
    /// Whether it was exported to be moved to another host.
    pub exported: bool,
    /// Whether some of its disks are missing.
    pub partial: bool,
    /// Whether several hosts share it, by clvmd or lvmlockd.
    pub shared: bool,
    /// Its visible LVs.
    pub lvs: Vec<LvReport>,
}

/// A visible LV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LvReport {
    /// Its name.
    pub name: LvName,
    /// Its identity.
    pub uuid: LvmUuid,
    /// Its bytes; of a copy-on-write snapshot, those of its store of changes.
    pub size: Bytes,
    /// Of a copy-on-write snapshot: the bytes that its users see.
    pub origin_size: Option<Bytes>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Its thin pool.
    pub pool: Option<LvName>,
    /// The LV that it is a snapshot of.
    pub origin: Option<LvName>,
    /// Words like `linear`, `thin`, `sparse`, `pool`.
    pub layout: Vec<String>,
    /// Words like `public`, `origin`, `thickorigin`, `snapshot`, `thicksnapshot`.
    pub role: Vec<String>,
}

impl LvReport {
    /// Whether it is a thin LV.
    pub fn is_thin(&self) -> bool {
        self.layout("thin") && !self.layout("pool")
    }

    /// Whether it is a pool of any kind, or part of one.
    pub fn is_internal(&self) -> bool {
        self.layout("pool") || !self.role("public")
    }

    /// Whether it is a copy-on-write snapshot.
    pub fn is_cow(&self) -> bool {
        self.role("thicksnapshot")
    }

    /// The image it belongs to, if its tags say so.
    pub fn gfid(&self) -> Option<Gfid> {
        self.tags.iter().find_map(|tag| match tag {
            Tag::Gfid(gfid) => Some(*gfid),
            _ => None,
        })
    }

    fn layout(&self, word: &str) -> bool {
        self.layout.iter().any(|w| w == word)
    }

    fn role(&self, word: &str) -> bool {
        self.role.iter().any(|w| w == word)
    }
}

impl VgReport {
    /// The brick it was taken for, if its tags say so.
    pub fn brick(&self) -> Option<BrickId> {
        self.tags.iter().find_map(|tag| match tag {
            Tag::Brick(brick) => Some(*brick),
            _ => None,
        })
    }
}

/// What is set for a thin pool, and how it is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolReport {
    /// Its identity.
    pub uuid: LvmUuid,
    /// The `lv_attr` of lvs(8).
    pub attr: LvAttr,
    /// Bytes of a chunk; zero if it is no thin pool.
    pub chunk_size: Bytes,
    /// Whether writes fail at once when it is full.
    pub error_when_full: bool,
    /// LVM's count of changes to the pool's set of LVs; the kernel's is the same unless a command
    /// was cut short.
    pub transaction: u64,
}

/// A thin LV as its pool knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThinDevice {
    /// The LV.
    pub uuid: LvmUuid,
    /// The pool's number for it.
    pub device: u32,
    /// LVM's count of changes to the pool's set of LVs before this one was made.
    pub transaction: u64,
}

const VG_FIELDS: &str = "vg_name,vg_uuid,vg_extent_size,vg_extent_count,vg_free_count,vg_systemid,\
                         vg_tags,vg_permissions,vg_exported,vg_partial,vg_clustered,vg_shared";
/// Only fields from LVM's metadata: anything that asks the kernel costs a call for each LV.
const LV_FIELDS: &str =
    "lv_name,lv_uuid,lv_size,origin_size,lv_tags,pool_lv,origin,lv_layout,lv_role";
const POOL_FIELDS: &str = "lv_uuid,lv_attr,chunk_size,lv_when_full,transaction_id";
/// Fields of segments, for which LVs of several segments have several rows; thin LVs have one.
const THIN_FIELDS: &str = "lv_uuid,pool_lv,thin_id,transaction_id";
const HOW: &str = "--reportformat json --units b --nosuffix";

pub(crate) fn lvs_line(vg: &VgName) -> String {
    format!("lvs {HOW} -o {VG_FIELDS},{LV_FIELDS} {vg}")
}

pub(crate) fn vgs_line(vg: &VgName) -> String {
    format!("vgs {HOW} -o {VG_FIELDS} {vg}")
}

pub(crate) fn vg_of_line(vg: &LvmUuid) -> String {
    format!("vgs {HOW} -o {VG_FIELDS} -S vg_uuid={vg}")
}

pub(crate) fn pool_line(vg: &VgName, pool: &LvName) -> String {
    format!("lvs {HOW} -o {POOL_FIELDS} {vg}/{pool}")
}

pub(crate) fn thin_devices_line(vg: &VgName) -> String {
    format!("lvs {HOW} -o {THIN_FIELDS} {vg}")
}

#[derive(Deserialize)]
struct Document {
    report: Vec<Section>,
}

#[derive(Deserialize)]
struct Section {
    #[serde(default)]
    lv: Vec<LvRow>,
    #[serde(default)]
    vg: Vec<VgRow>,
}

/// LVM 2.03.16 gives each value as text.
#[derive(Deserialize)]
struct VgRow {
    vg_name: String,
    vg_uuid: String,
    vg_extent_size: String,
    vg_extent_count: String,
    vg_free_count: String,
    vg_systemid: String,
    vg_tags: String,
    vg_permissions: String,
    vg_exported: String,
    vg_partial: String,
    vg_clustered: String,
    vg_shared: String,
}

#[derive(Deserialize)]
struct LvRow {
    #[serde(flatten)]
    vg: VgRow,
    lv_name: String,
    lv_uuid: String,
    lv_size: String,
    origin_size: String,
    lv_tags: String,
    pool_lv: String,
    origin: String,
    lv_layout: String,
    lv_role: String,
}

/// A report of LVs alone.
#[derive(Deserialize)]
struct LvDocument<Row> {
    report: Vec<LvSection<Row>>,
}

#[derive(Deserialize)]
struct LvSection<Row> {
    lv: Vec<Row>,
}

#[derive(Deserialize)]
struct ThinRow {
    lv_uuid: String,
    pool_lv: String,
    thin_id: String,
    transaction_id: String,
}

#[derive(Deserialize)]
struct PoolRow {
    lv_uuid: String,
    lv_attr: String,
    chunk_size: String,
    lv_when_full: String,
    transaction_id: String,
}

fn unreadable(operation: &str, what: impl std::fmt::Display) -> LvmError {
    LvmError::failed(operation, format!("its report cannot be read: {what}"))
}

fn number<N: std::str::FromStr>(operation: &str, field: &str, text: &str) -> Result<N, LvmError> {
    text.parse()
        .map_err(|_| unreadable(operation, format!("{field} is {text:?}")))
}

fn words(text: &str) -> Vec<String> {
    text.split(',')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Reads what [`lvs_line`] or [`vgs_line`] gave; `None` if there is no row at all.
pub(crate) fn parse_vg(operation: &str, json: &str) -> Result<Option<VgReport>, LvmError> {
    let document: Document = serde_json::from_str(json).map_err(|e| unreadable(operation, e))?;
    let mut vg = None;
    for section in document.report {
        for row in section.vg {
            vg.get_or_insert(vg_report(operation, &row)?);
        }
        for row in section.lv {
            let report = match vg.as_mut() {
                Some(report) => report,
                None => vg.insert(vg_report(operation, &row.vg)?),
            };
            match lv_report(operation, &row)? {
                Some(lv) => report.lvs.push(lv),
                None => {
                    tracing::warn!(vg = %report.name, lv = row.lv_name, "an LV of this name is left out")
                }
            }
        }
    }
    Ok(vg)
}

fn vg_report(operation: &str, row: &VgRow) -> Result<VgReport, LvmError> {
    let num = |field, text| number(operation, field, text);
    Ok(VgReport {
        name: row.vg_name.parse().map_err(|e| unreadable(operation, e))?,
        uuid: row.vg_uuid.parse().map_err(|e| unreadable(operation, e))?,
        extent_size: Bytes(num("vg_extent_size", &row.vg_extent_size)?),
        extents: Extents(num("vg_extent_count", &row.vg_extent_count)?),
        free: Extents(num("vg_free_count", &row.vg_free_count)?),
        system_id: row.vg_systemid.clone(),
        tags: Tag::parse_list(&row.vg_tags).map_err(|e| unreadable(operation, e))?,
        writeable: row.vg_permissions == "writeable",
        exported: !row.vg_exported.is_empty(),
        partial: !row.vg_partial.is_empty(),
        shared: !row.vg_clustered.is_empty() || !row.vg_shared.is_empty(),
        lvs: Vec::new(),
    })
}

/// `None` for names that are not for images: LVM gives them only to internal LVs.
fn lv_report(operation: &str, row: &LvRow) -> Result<Option<LvReport>, LvmError> {
    let Ok(name) = row.lv_name.parse() else {
        return Ok(None);
    };
    let origin_size = match row.origin_size.as_str() {
        "" => None,
        text => Some(Bytes(number(operation, "origin_size", text)?)),
    };
    Ok(Some(LvReport {
        name,
        uuid: row.lv_uuid.parse().map_err(|e| unreadable(operation, e))?,
        size: Bytes(number(operation, "lv_size", &row.lv_size)?),
        origin_size,
        tags: Tag::parse_list(&row.lv_tags).map_err(|e| unreadable(operation, e))?,
        pool: row.pool_lv.parse().ok(),
        origin: row.origin.parse().ok(),
        layout: words(&row.lv_layout),
        role: words(&row.lv_role),
    }))
}

fn lv_rows<Row: DeserializeOwned>(
    operation: &str,
    json: &str,
) -> Result<impl Iterator<Item = Row> + use<Row>, LvmError> {
    let document: LvDocument<Row> =
        serde_json::from_str(json).map_err(|e| unreadable(operation, e))?;
    Ok(document.report.into_iter().flat_map(|section| section.lv))
}

/// Reads what [`thin_devices_line`] gave of the LVs of one pool.
pub(crate) fn parse_thin_devices(
    operation: &str,
    pool: &LvName,
    json: &str,
) -> Result<Vec<ThinDevice>, LvmError> {
    lv_rows::<ThinRow>(operation, json)?
        .filter(|row| row.pool_lv == pool.as_str())
        .map(|row| {
            Ok(ThinDevice {
                uuid: row.lv_uuid.parse().map_err(|e| unreadable(operation, e))?,
                device: number(operation, "thin_id", &row.thin_id)?,
                transaction: number(operation, "transaction_id", &row.transaction_id)?,
            })
        })
        .collect()
}

/// Reads what [`pool_line`] gave.
pub(crate) fn parse_pool(operation: &str, json: &str) -> Result<PoolReport, LvmError> {
    let row: PoolRow = lv_rows(operation, json)?.next().ok_or_else(|| LvmError {
        kind: LvmErrorKind::NotFound,
        operation: operation.to_owned(),
        cause: "no such LV".to_owned(),
    })?;
    // Of what is no pool, both are empty.
    let number_or_none = |field, text: &str| match text {
        "" => Ok(0),
        text => number(operation, field, text),
    };
    Ok(PoolReport {
        uuid: row.lv_uuid.parse().map_err(|e| unreadable(operation, e))?,
        attr: row.lv_attr.parse().map_err(|e| unreadable(operation, e))?,
        chunk_size: Bytes(number_or_none("chunk_size", &row.chunk_size)?),
        transaction: number_or_none("transaction_id", &row.transaction_id)?,
        error_when_full: row.lv_when_full == "error",
    })
}

#[cfg(test)]
mod tests;
