//! Physical volumes: the disks of a VG.

use std::fmt;
use std::str::FromStr;

use bd_model::{Bytes, Extents, VgName};
use serde::Deserialize;

use crate::LvmError;

/// The node of a physical volume, in letters that LVM takes as they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PvName(String);

/// Why a text is not the node of a physical volume.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the node of a disk, as in /dev/sdb; it may have letters, digits and ._+-/")]
pub struct PvNameError(String);

impl FromStr for PvName {
    type Err = PvNameError;

    fn from_str(text: &str) -> Result<PvName, PvNameError> {
        // No colon and no at sign: LVM sees ranges and tags in them.
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+-/".contains(c);
        let is_node = text.strip_prefix("/dev/").is_some_and(|rest| {
            let mut parts = rest.split('/');
            parts.all(|part| !matches!(part, "" | "." | "..") && !part.starts_with('-'))
        });
        match is_node && text.chars().all(plain) {
            true => Ok(PvName(text.to_owned())),
            false => Err(PvNameError(text.to_owned())),
        }
    }
}

impl fmt::Display for PvName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A physical volume, and what lies on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PvReport {
    /// Its node as LVM calls it.
    pub name: PvName,
    /// Its VG.
    pub vg: VgName,
    /// Bytes of an extent.
    pub extent_size: Bytes,
    /// Its extents that belong to LVs.
    pub used: Extents,
    /// Extents of other physical volumes of the VG that belong to no LV.
    pub free_elsewhere: Extents,
    /// The first stretch that belongs to an LV: its first extent, and how many there are.
    pub first: Option<(u64, Extents)>,
}

const FIELDS: &str = "pv_name,vg_name,vg_extent_size,vg_free_count,pv_pe_count,\
                      pv_pe_alloc_count,pvseg_start,pvseg_size,segtype";

pub(crate) fn pv_line(pv: &PvName) -> String {
    format!("pvs --reportformat json --units b --nosuffix --segments -o {FIELDS} {pv}")
}

#[derive(Deserialize)]
struct Document {
    report: Vec<Section>,
}

#[derive(Deserialize)]
struct Section {
    #[serde(default, alias = "pvseg")]
    pv: Vec<Row>,
}

/// A move of extents that is under way, or that was cut short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveReport {
    /// The physical volume that they leave.
    pub pv: PvName,
    /// What is moved in all.
    pub size: Bytes,
}

/// Moves are mirrors, which only `-a` shows; they alone have a source.
pub(crate) fn moves_line(vg: &VgName) -> String {
    format!(
        "lvs -a --reportformat json --units b --nosuffix -o move_pv,lv_size -S move_pv=~^/ {vg}"
    )
}

#[derive(Deserialize)]
struct MovesDocument {
    report: Vec<MovesSection>,
}

#[derive(Deserialize)]
struct MovesSection {
    #[serde(default)]
    lv: Vec<MoveRow>,
}

#[derive(Deserialize)]
struct MoveRow {
    move_pv: String,
    lv_size: String,
}

/// Reads what [`moves_line`] gave.
pub(crate) fn parse_moves(operation: &str, json: &str) -> Result<Vec<MoveReport>, LvmError> {
    let unreadable = |what: &dyn fmt::Display| {
        LvmError::failed(operation, format!("its report cannot be read: {what}"))
    };
    let document: MovesDocument = serde_json::from_str(json).map_err(|e| unreadable(&e))?;
    let rows = document.report.into_iter().flat_map(|s| s.lv);
    rows.map(|row| {
        Ok(MoveReport {
            pv: row.move_pv.parse().map_err(|e| unreadable(&e))?,
            size: Bytes(row.lv_size.parse().map_err(|e| unreadable(&e))?),
        })
    })
    .collect()
}

/// LVM 2.03.16 gives each value as text.
#[derive(Deserialize)]
struct Row {
    pv_name: String,
    vg_name: String,
    vg_extent_size: String,
    vg_free_count: String,
    pv_pe_count: String,
    pv_pe_alloc_count: String,
    pvseg_start: String,
    pvseg_size: String,
    segtype: String,
}

/// Reads what [`pv_line`] gave.
pub(crate) fn parse_pv(operation: &str, json: &str) -> Result<PvReport, LvmError> {
    let unreadable = |what: &dyn fmt::Display| {
        LvmError::failed(operation, format!("its report cannot be read: {what}"))
    };
    let document: Document = serde_json::from_str(json).map_err(|e| unreadable(&e))?;
    let rows: Vec<Row> = document.report.into_iter().flat_map(|s| s.pv).collect();
    let row = rows
        .first()
        .ok_or_else(|| LvmError::failed(operation, "it is no physical volume"))?;
    let number = |text: &str| text.parse::<u64>().map_err(|e| unreadable(&e));
    let used = number(&row.pv_pe_alloc_count)?;
    let own_free = number(&row.pv_pe_count)?.saturating_sub(used);
    let mut first: Option<(u64, Extents)> = None;
    for row in rows.iter().filter(|row| row.segtype != "free") {
        let start = number(&row.pvseg_start)?;
        if first.is_none_or(|(before, _)| start < before) {
            first = Some((start, Extents(number(&row.pvseg_size)?)));
        }
    }
    Ok(PvReport {
        name: row.pv_name.parse().map_err(|e| unreadable(&e))?,
        vg: row
            .vg_name
            .parse()
            .map_err(|_| LvmError::failed(operation, "it belongs to no volume group"))?,
        extent_size: Bytes(number(&row.vg_extent_size)?),
        used: Extents(used),
        free_elsewhere: Extents(number(&row.vg_free_count)?.saturating_sub(own_free)),
        first: first.filter(|_| used > 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_disks_are_plain_words() {
        for good in ["/dev/sdb", "/dev/mapper/mpath-a_1", "/dev/disk/by-id/x.y+z"] {
            assert_eq!(good.parse::<PvName>().unwrap().to_string(), good);
        }
        for bad in [
            "sdb",
            "/dev/",
            "/dev/sdb:0-3",
            "/dev/a b",
            "/dev/../x",
            "/dev//x",
            "/dev/-x",
            "@tag",
            "/dev/'x",
        ] {
            assert!(bad.parse::<PvName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_first_stretch_in_use_is_found() {
        let row = |start: u64, size: u64, kind: &str| {
            format!(
                r#"{{"pv_name":"/dev/sdb","vg_name":"vg0","vg_extent_size":"4194304",
                 "vg_free_count":"60","pv_pe_count":"100","pv_pe_alloc_count":"70",
                 "pvseg_start":"{start}","pvseg_size":"{size}","segtype":"{kind}"}}"#
            )
        };
        let report =
            |rows: &[String]| format!(r#"{{"report":[{{"pvseg":[{}]}}]}}"#, rows.join(","));
        let rows = [
            row(0, 30, "free"),
            row(60, 40, "linear"),
            row(30, 30, "linear"),
        ];
        let pv = parse_pv("pvs", &report(&rows)).unwrap();
        assert_eq!((pv.used, pv.free_elsewhere), (Extents(70), Extents(30)));
        assert_eq!(pv.first, Some((30, Extents(30))));
        assert!(parse_pv("pvs", r#"{"report":[{"pv":[]}]}"#).is_err());
        let nobodys = row(0, 1, "free").replace("vg0", "");
        let error = parse_pv("pvs", &report(&[nobodys])).unwrap_err();
        assert!(error.to_string().contains("belongs to no volume group"));
    }

    #[test]
    fn moves_are_found() {
        let json = r#"{"report":[{"lv":[{"move_pv":"/dev/sdb","lv_size":"67108864"}]}]}"#;
        let moves = parse_moves("lvs", json).unwrap();
        let (pv, size) = ("/dev/sdb".parse().unwrap(), Bytes(64 << 20));
        assert_eq!(moves, [MoveReport { pv, size }]);
        assert_eq!(parse_moves("lvs", r#"{"report":[{"lv":[]}]}"#).unwrap(), []);
        let vg = "vg0".parse().unwrap();
        assert!(moves_line(&vg).ends_with("-S move_pv=~^/ vg0"));
    }
}
