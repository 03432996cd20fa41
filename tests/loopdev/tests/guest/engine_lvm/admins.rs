//! Changes that an admin makes with LVM behind the engine.

use anyhow::{Context, Result};
use bd_engine::{Engine, Removed};
use bd_lvm::{Command, Lvm, Tag};
use bd_model::{Bytes, Gfid, ImageKind, LvName};
use bd_proto::FaultKind;
use loopdev::{Place, run};

use super::{
    MIB, activate, all_of, create, done, executor, idle, name, open, path, put, refused, uuid_of,
};

#[test]
fn an_admins_changes_are_met() {
    run(
        "guest::engine_lvm::admins::an_admins_changes_are_met",
        Place::Guest,
        |rig| {
            let vg = rig.vg("vg", &[512])?;
            vg.thin_pool("pool", 128)?;
            let executor = executor(&vg)?;
            let engine = done(open(&executor, &vg, Some("pool")))?;
            let mut images = Vec::new();
            for (lv, kind) in [
                ("a", ImageKind::Thin),
                ("b", ImageKind::Thin),
                ("c", ImageKind::Thick),
            ] {
                let (gfid, _) = create(&engine, lv, kind, 8)?;
                put(&engine, gfid, 0, lv.as_bytes())?;
                images.push(gfid);
            }
            let (a, b, c) = (images[0], images[1], images[2]);
            // Names change places behind the engine's back: each image keeps its own bytes.
            let rename = |from: &str, to: &str| -> Result<()> {
                vg.lvm("lvrename", &[vg.name(), from, to])?.ok()?;
                Ok(())
            };
            rename("a", "x")?;
            rename("b", "a")?;
            rename("x", "b")?;
            let made = done(engine.snapshot(a, Gfid::random(), &name("sa"), None))?;
            assert_eq!(made.origin, Some(name("b")));
            assert_eq!(all_of(&engine, made.gfid.context("no gfid")?)?[0], b'a');
            done(engine.resize(b, Bytes(4 * MIB)))?;
            assert_eq!(done(engine.find(b))?.context("gone")?.name, name("a"));
            assert_eq!(vg.field("a", "lv_size")?, (4 * MIB).to_string());
            assert_eq!(vg.field("b", "lv_size")?, (8 * MIB).to_string());
            rename("c", "d")?;
            done(engine.resize(c, Bytes(16 * MIB)))?;
            assert_eq!(all_of(&engine, c)?[0], b'c');
            rename("d", "e")?;
            assert_eq!(done(engine.rename(c, &name("c")))?.name, name("c"));

            // Inactive, and renamed.
            vg.lvm("lvchange", &["-an", &path(&vg, "b")])?.ok()?;
            assert_eq!(done(engine.allocated(&[a]))?, [None]);
            rename("b", "f")?;
            assert_eq!(all_of(&engine, a)?[0], b'a');

            // A name that the engine does not know to be taken.
            vg.lvm("lvcreate", &["-L", "4m", "-n", "taken", vg.name()])?
                .ok()?;
            let (gfid, volume) = create(&engine, "taken", ImageKind::Thin, 4)?;
            assert_eq!(volume.name, LvName::for_gfid(gfid));
            let foreign: Vec<_> = done(engine.volumes())?
                .into_iter()
                .filter(|v| v.gfid.is_none())
                .collect();
            assert_eq!(
                foreign.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(),
                ["taken"]
            );

            // A snapshot that the engine does not know of is not taken along.
            let args = ["-s", "-L", "8m", "-n", "backup", &path(&vg, "c")];
            vg.lvm("lvcreate", &args)?.ok()?;
            let deferred = done(engine.remove(c))?;
            assert!(
                matches!(&deferred, Removed::Deferred(why) if why.contains("backup")),
                "{deferred:?}"
            );
            assert!(vg.lvs()?.contains(&"backup".to_owned()));
            vg.lvm("lvremove", &["-y", &path(&vg, "backup")])?.ok()?;
            assert_eq!(done(engine.remove(c))?, Removed::Gone);

            // Removed and renamed by the admin.
            vg.lvm("lvremove", &["-y", &path(&vg, "a")])?.ok()?;
            assert_eq!(done(engine.remove(b))?, Removed::Gone);
            assert_eq!(done(engine.remove(b))?, Removed::AlreadyGone);

            // Hidden and internal LVs are nobody's image.
            let tag = Tag::Hidden.to_string();
            let args = ["-L", "4m", "-n", "meta", "--addtag", &tag, vg.name()];
            vg.lvm("lvcreate", &args)?.ok()?;
            assert!(
                done(engine.volumes())?
                    .iter()
                    .all(|v| v.name != name("meta"))
            );
            refused(
                engine.adopt(&name("meta"), Gfid::random()),
                FaultKind::Invalid,
                &["not for images"],
            );
            refused(
                engine.adopt(&name("pool"), Gfid::random()),
                FaultKind::Invalid,
                &["not for images"],
            );
            drop(engine);
            // On the same group, which takes long to make.
            idle::images_rest(&executor, &vg)?;
            activate::without_lvm(&executor, &vg)
        },
    );
}

#[test]
fn an_unknown_identity_is_left_alone() {
    run(
        "guest::engine_lvm::admins::an_unknown_identity_is_left_alone",
        Place::Guest,
        |rig| {
            let vg = rig.vg("vg", &[128])?;
            let executor = executor(&vg)?;
            for lv in ["one", "two"] {
                vg.lvm("lvcreate", &["-L", "4m", "-n", lv, vg.name()])?
                    .ok()?;
            }
            // The identity of one under the name of the other: LVM reports success and does nothing,
            // and the executor tells.
            let uuid: bd_lvm::LvmUuid = uuid_of(&vg, "one")?.parse()?;
            let group = vg.name().parse()?;
            let retag = Command::Retag {
                name: name("two"),
                uuid: uuid.clone(),
                add: vec![Tag::Hidden],
                del: vec![],
            };
            assert_eq!(executor.change(&group, &retag)?, bd_lvm::Done::NotThere);
            assert_eq!(vg.field("two", "lv_tags")?, "");
            assert_eq!(
                executor.change(
                    &group,
                    &Command::Remove {
                        uuids: vec![uuid.clone()]
                    }
                )?,
                bd_lvm::Done::Changed
            );
            assert_eq!(
                executor.change(&group, &Command::Remove { uuids: vec![uuid] })?,
                bd_lvm::Done::NotThere
            );
            assert_eq!(vg.lvs()?, ["two"]);
            Ok(())
        },
    );
}
