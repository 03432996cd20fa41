//! Commands as LVM is given them, and as people are told of them.

use std::fmt::Write;

use bd_model::{LvName, VgName};

use crate::{Command, LvmUuid, Tag};

/// Chunk of copy-on-write snapshots: a compromise between copying too much at a write and a
/// table of exceptions that is too large for the kernel's memory.
pub(crate) const COW_CHUNK_KIB: u64 = 64;

fn add_tags(line: &mut String, option: &str, tags: &[Tag]) {
    for tag in tags {
        let _ = write!(line, " --{option} {tag}");
    }
}

/// Selects LVs by their identities.
fn any_of(uuids: &[LvmUuid]) -> String {
    let each: Vec<String> = uuids.iter().map(|uuid| format!("lv_uuid={uuid}")).collect();
    each.join(" || ")
}

/// Every new LV is active, is not wiped by LVM, and carries the flag that keeps it inactive at
/// the host's start: guests' VGs inside LVs must stay invisible to the host.
const NEW: &str = "-ay -K -ky -Wn";

/// Where LVM activates what a move or a conversion has not finished, it would fork this process to
/// watch it to its end.
const NO_POLL: &str = "--poll n";

impl Command {
    /// The LVM command and its arguments, without settings.
    ///
    /// No part comes from free text: names, tags, numbers and identities are validated types
    /// without white space and quotes, and none starts with a hyphen.
    pub(crate) fn line(&self, vg: &VgName) -> String {
        match self {
            Command::CreateThin {
                name,
                pool,
                size,
                tags,
            } => {
                let mut line = format!("lvcreate {NEW} -n {name} -V {}b", size.0);
                add_tags(&mut line, "addtag", tags);
                let _ = write!(line, " --thinpool {pool} {vg}");
                line
            }
            Command::CreateThick {
                name,
                extents,
                tags,
            } => {
                let mut line = format!(
                    "lvcreate {NEW} -Zn --type linear -n {name} -l {}",
                    extents.0
                );
                add_tags(&mut line, "addtag", tags);
                let _ = write!(line, " {vg}");
                line
            }
            Command::SnapshotThin { name, origin, tags } => {
                let mut line = format!("lvcreate -ay -K -ky -s -n {name}");
                add_tags(&mut line, "addtag", tags);
                let _ = write!(line, " {vg}/{origin}");
                line
            }
            Command::SnapshotCow {
                name,
                origin,
                extents,
                tags,
            } => {
                let mut line = format!(
                    "lvcreate -ay -K -ky -s --chunksize {COW_CHUNK_KIB}k -n {name} -l {}",
                    extents.0
                );
                add_tags(&mut line, "addtag", tags);
                let _ = write!(line, " {vg}/{origin}");
                line
            }
            Command::Extend { name, extents } => {
                format!("lvextend --nofsck -l {} {vg}/{name}", extents.0)
            }
            Command::Reduce { name, extents } => {
                format!("lvreduce -f -y --nofsck -l {} {vg}/{name}", extents.0)
            }
            Command::Rename { from, to } => format!("lvrename {vg} {from} {to}"),
            Command::Remove { uuids } => {
                let any = any_of(uuids);
                format!("lvremove -y -S \"({any}) && lv_role!={{thickorigin}}\" {vg}")
            }
            // LVM asks before it activates the origin of a copy-on-write snapshot along with it.
            Command::Activate { name, uuid } => {
                format!("lvchange -ay -y {NO_POLL} -K -S lv_uuid={uuid} {vg}/{name}")
            }
            Command::Deactivate { uuids } => format!("lvchange -an -S \"{}\" {vg}", any_of(uuids)),
            Command::Retag {
                name,
                uuid,
                add,
                del,
            } => {
                let mut line = "lvchange".to_owned();
                add_tags(&mut line, "deltag", del);
                add_tags(&mut line, "addtag", add);
                let _ = write!(line, " -S lv_uuid={uuid} {vg}/{name}");
                line
            }
            Command::RetagVg { add, del } => {
                let mut line = "vgchange".to_owned();
                add_tags(&mut line, "deltag", del);
                add_tags(&mut line, "addtag", add);
                let _ = write!(line, " {vg}");
                line
            }
            Command::ActivatePool { pool } => format!("lvchange -ay {NO_POLL} -K {vg}/{pool}"),
            Command::ExtendPool { pool, by } => format!("lvextend -l +{} {vg}/{pool}", by.0),
            Command::ExtendPoolMetadata { pool, by } => {
                format!("lvextend --poolmetadatasize +{}b {vg}/{pool}", by.0)
            }
            Command::DeactivatePoolParts { pool } => {
                format!("lvchange -an -y {vg}/{pool}_tmeta {vg}/{pool}_tdata")
            }
            Command::RefreshVg => format!("vgchange --refresh {NO_POLL} {vg}"),
            // It looks for the end without a pause: the moves are small.
            Command::Move { pv, first, last } => format!("pvmove -i 0 {pv}:{first}-{last}"),
            Command::AbortMove { pv } => format!("pvmove -i 0 --abort {pv}"),
            Command::Allocate { pv, allow: true } => format!("pvchange -x y {pv}"),
            Command::Allocate { pv, allow: false } => format!("pvchange -x n {pv}"),
            Command::ErrorWhenFull { pool } => format!("lvchange --errorwhenfull y {vg}/{pool}"),
        }
    }

    /// The program that does it, as in `lvcreate`.
    pub fn program(&self) -> &'static str {
        self.words().0.split(' ').next().unwrap_or_default()
    }

    /// The command and its object, for messages.
    pub(crate) fn title(&self, vg: &VgName) -> String {
        match (self, self.words()) {
            (Command::Remove { uuids } | Command::Deactivate { uuids }, (command, _)) => {
                let of: Vec<String> = uuids.iter().map(LvmUuid::to_string).collect();
                format!("{command} {vg} {}", of.join(" "))
            }
            (_, (command, Some(name))) => format!("{command} {vg}/{name}"),
            (_, (command, None)) => format!("{command} {vg}"),
        }
    }

    /// The command and the LV that it is about.
    fn words(&self) -> (&'static str, Option<&LvName>) {
        match self {
            Command::CreateThin { name, .. } | Command::CreateThick { name, .. } => {
                ("lvcreate", Some(name))
            }
            Command::SnapshotThin { name, .. } | Command::SnapshotCow { name, .. } => {
                ("lvcreate -s", Some(name))
            }
            Command::Extend { name, .. } => ("lvextend", Some(name)),
            Command::Reduce { name, .. } => ("lvreduce", Some(name)),
            Command::Rename { from, .. } => ("lvrename", Some(from)),
            Command::Remove { .. } => ("lvremove", None),
            Command::Activate { name, .. } => ("lvchange -ay", Some(name)),
            Command::Deactivate { .. } => ("lvchange -an", None),
            Command::Retag { name, .. } => ("lvchange --addtag", Some(name)),
            Command::RetagVg { .. } => ("vgchange --addtag", None),
            Command::RefreshVg => ("vgchange --refresh", None),
            Command::ActivatePool { pool } => ("lvchange -ay", Some(pool)),
            Command::ExtendPool { pool, .. } => ("lvextend", Some(pool)),
            Command::ExtendPoolMetadata { pool, .. } => ("lvextend --poolmetadatasize", Some(pool)),
            Command::DeactivatePoolParts { pool } => ("lvchange -an", Some(pool)),
            Command::Move { .. } => ("pvmove", None),
            Command::AbortMove { .. } => ("pvmove --abort", None),
            Command::Allocate { .. } => ("pvchange -x", None),
            Command::ErrorWhenFull { pool } => ("lvchange --errorwhenfull y", Some(pool)),
        }
    }
}

#[cfg(test)]
mod tests {
    use bd_model::{Bytes, Extents};

    use super::*;

    fn name(text: &str) -> LvName {
        text.parse().unwrap()
    }

    #[test]
    fn lines_are_what_lvm_reads() {
        let vg = "vg0".parse().unwrap();
        let gfid = Tag::Gfid("0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f".parse().unwrap());
        let tag = "gluster_bd.gfid=0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f";
        let tags = vec![gfid.clone()];
        let uuid: LvmUuid = "AEDpcB-oVT6-yxJT-L1Eu-tUnU-jEyk-oNpHta".parse().unwrap();
        for (change, line) in [
            (
                Command::CreateThin {
                    name: name("vm1"),
                    pool: name("pool"),
                    size: Bytes(4 << 20),
                    tags: tags.clone(),
                },
                format!(
                    "lvcreate -ay -K -ky -Wn -n vm1 -V 4194304b --addtag {tag} --thinpool pool vg0"
                ),
            ),
            (
                Command::CreateThick {
                    name: name("vm1"),
                    extents: Extents(3),
                    tags: vec![gfid.clone(), Tag::Zeroing(Bytes(0))],
                },
                format!(
                    "lvcreate -ay -K -ky -Wn -Zn --type linear -n vm1 -l 3 --addtag {tag} \
                     --addtag gluster_bd.zeroing=0 vg0"
                ),
            ),
            (
                Command::SnapshotThin {
                    name: name("s"),
                    origin: name("vm1"),
                    tags: tags.clone(),
                },
                format!("lvcreate -ay -K -ky -s -n s --addtag {tag} vg0/vm1"),
            ),
            (
                Command::SnapshotCow {
                    name: name("s"),
                    origin: name("vm1"),
                    extents: Extents(4),
                    tags: tags.clone(),
                },
                format!("lvcreate -ay -K -ky -s --chunksize 64k -n s -l 4 --addtag {tag} vg0/vm1"),
            ),
            (
                Command::Extend {
                    name: name("vm1"),
                    extents: Extents(4),
                },
                "lvextend --nofsck -l 4 vg0/vm1".to_owned(),
            ),
            (
                Command::Reduce {
                    name: name("vm1"),
                    extents: Extents(1),
                },
                "lvreduce -f -y --nofsck -l 1 vg0/vm1".to_owned(),
            ),
            (
                Command::Rename {
                    from: name("a"),
                    to: name("b"),
                },
                "lvrename vg0 a b".to_owned(),
            ),
            (
                Command::Remove {
                    uuids: vec![uuid.clone(); 2],
                },
                format!(
                    "lvremove -y -S \"(lv_uuid={uuid} || lv_uuid={uuid}) && \
                     lv_role!={{thickorigin}}\" vg0"
                ),
            ),
            (
                Command::Activate {
                    name: name("a"),
                    uuid: uuid.clone(),
                },
                format!("lvchange -ay -y --poll n -K -S lv_uuid={uuid} vg0/a"),
            ),
            (
                Command::Retag {
                    name: name("a"),
                    uuid: uuid.clone(),
                    add: tags.clone(),
                    del: vec![Tag::Unfinished],
                },
                format!(
                    "lvchange --deltag gluster_bd.unfinished --addtag {tag} -S lv_uuid={uuid} vg0/a"
                ),
            ),
            (
                Command::Deactivate {
                    uuids: vec![uuid.clone(); 2],
                },
                format!("lvchange -an -S \"lv_uuid={uuid} || lv_uuid={uuid}\" vg0"),
            ),
            (
                Command::DeactivatePoolParts { pool: name("pool") },
                "lvchange -an -y vg0/pool_tmeta vg0/pool_tdata".to_owned(),
            ),
            (
                Command::ExtendPool {
                    pool: name("pool"),
                    by: Extents(7),
                },
                "lvextend -l +7 vg0/pool".to_owned(),
            ),
            (
                Command::ExtendPoolMetadata {
                    pool: name("pool"),
                    by: Bytes(8 << 20),
                },
                "lvextend --poolmetadatasize +8388608b vg0/pool".to_owned(),
            ),
            (
                Command::Move {
                    pv: "/dev/sdb".parse().unwrap(),
                    first: 8,
                    last: 23,
                },
                "pvmove -i 0 /dev/sdb:8-23".to_owned(),
            ),
            (
                Command::AbortMove {
                    pv: "/dev/sdb".parse().unwrap(),
                },
                "pvmove -i 0 --abort /dev/sdb".to_owned(),
            ),
            (
                Command::Allocate {
                    pv: "/dev/sdb".parse().unwrap(),
                    allow: false,
                },
                "pvchange -x n /dev/sdb".to_owned(),
            ),
            (
                Command::ErrorWhenFull { pool: name("pool") },
                "lvchange --errorwhenfull y vg0/pool".to_owned(),
            ),
        ] {
            assert_eq!(change.line(&vg), line);
        }
    }
}
