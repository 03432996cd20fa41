use super::*;

/// From LVM 2.03.16: a pool, a hidden LV, a thin LV with a snapshot, a thick LV with a snapshot.
const LVS: &str = include_str!("lvs.json");
/// From LVM 2.03.16: a VG without LVs.
const VGS: &str = include_str!("vgs.json");
/// From LVM 2.03.16: a thin pool as lvcreate makes it.
const POOL: &str = include_str!("pool.json");

fn lv<'a>(vg: &'a VgReport, name: &str) -> &'a LvReport {
    vg.lvs.iter().find(|lv| lv.name.as_str() == name).unwrap()
}

#[test]
fn a_vg_and_its_lvs_are_read() {
    let vg = parse_vg("lvs vg0", LVS).unwrap().unwrap();
    assert_eq!(vg.name.as_str(), "vg0");
    assert_eq!(vg.extent_size, Bytes(4 << 20));
    assert!(vg.writeable && !vg.exported && !vg.partial && !vg.shared);
    assert!(vg.brick().is_some());

    let pool = lv(&vg, "pool");
    assert!(pool.is_internal() && !pool.is_thin());

    let thin = lv(&vg, "thin");
    assert!(thin.is_thin() && !thin.is_internal() && !thin.is_cow());
    assert_eq!(thin.pool.as_ref().map(LvName::as_str), Some("pool"));
    assert!(thin.gfid().is_some());

    let snap = lv(&vg, "snap");
    assert!(snap.is_thin() && !snap.is_cow());
    assert_eq!(snap.origin.as_ref().map(LvName::as_str), Some("thin"));

    let thick = lv(&vg, "thick");
    assert!(!thick.is_thin() && !thick.is_internal());
    assert_eq!(thick.gfid(), None);

    let cow = lv(&vg, "cow");
    assert!(cow.is_cow() && !cow.is_thin() && !cow.is_internal());
    assert_eq!(cow.origin_size, Some(thick.size));
    assert_eq!(lv(&vg, "hidden").tags, [Tag::Hidden]);
}

#[test]
fn an_empty_vg_is_read() {
    let vg = parse_vg("vgs vg0", VGS).unwrap().unwrap();
    assert_eq!(vg.free, vg.extents);
    assert!(vg.lvs.is_empty());
    let none = r#"{"report": [{"lv": []}]}"#;
    assert_eq!(parse_vg("lvs vg0", none).unwrap(), None);
}

#[test]
fn thin_devices_are_read_for_one_pool() {
    let uuid = "AxpdG0-tq3V-Nb2g-9bLy-vp0m-RS3h-zdcSlc";
    let row = |pool: &str, device: &str, transaction: &str| {
        format!(
            r#"{{"lv_uuid":"{uuid}", "pool_lv":"{pool}", "thin_id":"{device}", "transaction_id":"{transaction}"}}"#
        )
    };
    let rows = [
        row("pool", "2", "7"),
        row("other", "1", "0"),
        row("", "", "8"),
    ]
    .join(",");
    let json = format!(r#"{{"report": [{{"lv": [{rows}]}}]}}"#);
    let pool = "pool".parse().unwrap();
    let found = parse_thin_devices("lvs vg0", &pool, &json).unwrap();
    let wanted = ThinDevice {
        uuid: uuid.parse().unwrap(),
        device: 2,
        transaction: 7,
    };
    assert_eq!(found, [wanted]);
    let json = json.replace(r#""2""#, r#""two""#);
    let error = parse_thin_devices("lvs vg0", &pool, &json).unwrap_err();
    assert!(error.to_string().contains("thin_id is \"two\""), "{error}");
}

#[test]
fn a_pool_is_read() {
    let pool = parse_pool("lvs vg0/pool", POOL).unwrap();
    assert_eq!(pool.chunk_size, Bytes(64 << 10));
    assert!(pool.attr.zero && !pool.error_when_full);
    assert_eq!(pool.transaction, 0);
}

#[test]
fn damaged_reports_are_told() {
    let cut = &LVS[..LVS.len() / 2];
    let error = parse_vg("lvs vg0", cut).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("lvs vg0: its report cannot be read"),
        "{error}"
    );
    let odd = VGS.replace("\"4194304\"", "\"4.00m\"");
    let error = parse_vg("vgs vg0", &odd).unwrap_err();
    assert!(
        error.to_string().contains("vg_extent_size is \"4.00m\""),
        "{error}"
    );
}
