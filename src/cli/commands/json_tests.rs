//! The JSON of each command is what docs/json.md shows.

use bd_model::{BrickId, Bytes, Gfid, ImageKind, LvName};
use bd_proto::{
    Adoption, BrickInfo, EngineSpec, JobInfo, JobKind, JobState, OldImage, OldStep, OldVolume,
};
use serde_json::{Value, json, to_value};

use crate::image::{ImageReport, Known, Listed, Row, lineage};
use crate::server::BrickReport;
use crate::storage::{Disk, Group, Pool};

fn image(name: &str, origin: Option<&str>) -> ImageReport {
    ImageReport {
        volume: "vms".into(),
        path: format!("/vg0/{name}"),
        known: Known {
            size: Bytes(10 << 30),
            allocated: Bytes(4 << 20),
            kind: ImageKind::Thin,
            gfid: Gfid::from_bytes([7; 16]),
            lv: name.parse().unwrap(),
            lv_size: Bytes(10 << 30),
            pool: Some("pool".parse().unwrap()),
            origin: origin.map(|origin| origin.parse().unwrap()),
        },
    }
}

fn group() -> Group {
    Group {
        vg: "vg0".into(),
        size: 107_369_988_096,
        free: 9_663_676_416,
        tags: "gluster_bd.brick=07070707-0707-0707-0707-070707070707".into(),
    }
}

fn pool() -> Pool {
    Pool {
        vg: "vg0".into(),
        pool: "pool".into(),
        size: 94_489_280_512,
        metadata_size: 1 << 30,
        data_percent: Some(12.5),
        metadata_percent: Some(1.04),
        chunk_size: 64 << 10,
        zeroing: true,
        when_full: "error".into(),
        group_free: 9_663_676_416,
        autoactivation: false,
    }
}

fn old_brick() -> Adoption {
    let gfid = Gfid::from_bytes([7; 16]);
    let image = OldImage {
        path: "/vm1".into(),
        gfid: Some(gfid),
        lv: Some(LvName::for_gfid(gfid)),
        kind: Some(ImageKind::Thin),
        size: Some(Bytes(10 << 30)),
        steps: vec![OldStep::Tag, OldStep::Size, OldStep::Mark],
        notes: vec!["its mark said 10737418000 bytes".into()],
        unfit: None,
    };
    let unfit = OldImage {
        path: "/vm2".into(),
        gfid: None,
        lv: None,
        kind: None,
        size: None,
        steps: Vec::new(),
        notes: Vec::new(),
        unfit: Some(
            "it has no gfid, so that nobody knows its LV; let it be no image: setfattr -x \
             user.glusterfs.bd /bd-meta/vm2"
                .into(),
        ),
    };
    Adoption {
        refused: Vec::new(),
        images: vec![image, unfit],
        others: vec![OldVolume {
            lv: "scratch".parse().unwrap(),
            size: Bytes(1 << 30),
            what: "shown as the file /vg0/scratch".into(),
        }],
        brick: None,
    }
}

fn job(state: JobState) -> JobInfo {
    JobInfo {
        id: 3,
        kind: JobKind::Hydrate,
        state,
        vg: "vg0".parse().unwrap(),
        brick: "/srv/gluster-bd/vg0/brick".into(),
        gfid: Some(Gfid::from_bytes([7; 16])),
        name: "/vg0/clone".into(),
        done: Bytes(2_684_354_560),
        total: Some(Bytes(10_737_418_240)),
        rate: Bytes(104_857_600),
        created: 1_795_221_169,
        started: Some(1_795_221_170),
        ended: None,
        reason: None,
    }
}

fn brick() -> BrickReport {
    let info = BrickInfo {
        id: "07070707-0707-0707-0707-070707070707"
            .parse::<BrickId>()
            .unwrap(),
        engine: EngineSpec::Lvm {
            vg: "vg0".parse().unwrap(),
            pool: Some("pool".parse().unwrap()),
        },
        top: "vg0".into(),
        kind: ImageKind::Thin,
        extent_size: Bytes(4 << 20),
        adopt: true,
        volume: None,
    };
    BrickReport::new("/srv/gluster-bd/vg0/brick".as_ref(), info)
}

/// An example of each shape, by its heading.
fn examples() -> Vec<(&'static str, Value)> {
    let listed = |more| super::list::Images {
        volume: "vms".into(),
        images: vec![Row {
            listed: Listed {
                path: "/vg0/vm1".into(),
                size: Bytes(10 << 30),
                allocated: Bytes(4 << 20),
                modified: 1_795_221_169,
            },
            more,
        }],
    };
    let disk = Disk {
        path: "/dev/sdb1".into(),
        kind: "part".into(),
        size: Bytes(1 << 40),
        holds: vec!["xfs".into(), "mounted on /srv".into()],
        in_use: true,
        free: false,
    };
    vec![
        ("An image", to_value(image("vm1", None)).unwrap()),
        ("Images in a list", to_value(listed(None)).unwrap()),
        (
            "Images of all volumes",
            to_value([listed(Some(image("vm1", None).into()))]).unwrap(),
        ),
        (
            "Images as a tree",
            to_value(super::tree::Images {
                volume: "vms".into(),
                images: lineage(vec![image("vm1", None), image("snap", Some("vm1"))]),
            })
            .unwrap(),
        ),
        (
            "A merge",
            to_value(super::merge::Merged {
                snapshot: "/vg0/snap".into(),
                origin: image("vm1", None),
            })
            .unwrap(),
        ),
        (
            "Deleted images",
            to_value([super::delete::Deleted {
                volume: "vms".into(),
                path: "/vg0/vm1".into(),
            }])
            .unwrap(),
        ),
        ("Disks", to_value([disk]).unwrap()),
        (
            "A new volume group",
            to_value(super::storage_create::Made {
                group: group(),
                pool: pool(),
            })
            .unwrap(),
        ),
        (
            "Pools",
            to_value([super::pool_status::Status {
                pool: pool(),
                full_in: Some(432_000),
                metadata_full_in: None,
            }])
            .unwrap(),
        ),
        (
            "Busy images",
            to_value([super::top::Busy {
                brick: "/srv/gluster-bd/vg0/brick".into(),
                lv: "vm1".into(),
                reads: Some(12.5),
                read_bytes: Some(51_200.0),
                writes: Some(200.0),
                written_bytes: Some(819_200.0),
                growth_bytes: Some(65_536.0),
                allocated: Some(4 << 20),
            }])
            .unwrap(),
        ),
        (
            "An extended pool",
            to_value(super::pool_extend::Extended {
                pool: pool(),
                size_before: 85_899_345_920,
                metadata_size_before: 1 << 30,
            })
            .unwrap(),
        ),
        ("A brick", to_value(brick()).unwrap()),
        (
            "An old brick",
            to_value(super::adopt::Adopted {
                dir: "/bd-meta".into(),
                fits: false,
                told: old_brick(),
            })
            .unwrap(),
        ),
        (
            "A removed brick",
            to_value(super::brick_remove::Removed {
                brick: brick(),
                kept: vec!["vm1".parse().unwrap()],
            })
            .unwrap(),
        ),
        (
            "A new volume",
            to_value(super::volume_create::Made {
                volume: "vms".into(),
                bricks: vec![super::volume_create::MadeBrick {
                    host: "server1".into(),
                    dir: "/srv/gluster-bd/vg0/brick".into(),
                    vg: Some("vg0".parse().unwrap()),
                }],
                set: Vec::new(),
            })
            .unwrap(),
        ),
        (
            "A volume that is deleted",
            to_value(super::volume_delete::Gone {
                volume: "vms".into(),
                deleted: vec!["/vms/vm1".into()],
                left: vec!["volume group vms; remove it with: vgremove vms".into()],
            })
            .unwrap(),
        ),
        (
            "Options of a volume",
            to_value(super::volume_set_virt::Set {
                volume: "vms".into(),
                group: "gluster-bd-virt",
            })
            .unwrap(),
        ),
        (
            "Jobs",
            to_value([
                job(JobState::Running),
                JobInfo {
                    reason: Some("the image was removed".into()),
                    ended: Some(1_795_221_269),
                    rate: Bytes(0),
                    ..job(JobState::Cancelled)
                },
                JobInfo {
                    kind: JobKind::Evacuate,
                    gfid: None,
                    name: "/dev/sdb".into(),
                    ..job(JobState::Running)
                },
            ])
            .unwrap(),
        ),
        ("A job", to_value(job(JobState::Running)).unwrap()),
        (
            "Findings of a check",
            to_value(super::check::Checked {
                dir: Some("/srv/gluster-bd/vg0/brick".into()),
                volume: None,
                findings: vec![crate::health::Finding {
                    kind: "too_small".into(),
                    message: "/srv/gluster-bd/vg0/brick/.glusterfs/07/07/07070707-0707-0707-0707-\
                              070707070707 has 9 bytes, but volume vm1 holds only 8"
                        .into(),
                    advice: false,
                    repaired: true,
                }],
            })
            .unwrap(),
        ),
    ]
}

#[test]
fn the_shapes_are_those_of_the_documentation() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/json.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut documented = Vec::new();
    for section in text.split("\n## ").skip(1) {
        let title = section.lines().next().unwrap();
        let block = section.split("```json\n").nth(1).unwrap();
        let block = block.split("```").next().unwrap();
        let value: Value = serde_json::from_str(block).unwrap();
        documented.push(json!([title, value]));
    }
    let examples: Vec<Value> = examples()
        .into_iter()
        .map(|(title, value)| json!([title, value]))
        .collect();
    if std::env::var_os("SHOW_JSON").is_some() {
        println!("{}", serde_json::to_string_pretty(&examples).unwrap());
    }
    assert_eq!(documented, examples);
}
