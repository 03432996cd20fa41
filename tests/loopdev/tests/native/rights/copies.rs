//! Clones and snapshots: who may ask for them, of what, into what.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use loopdev::{Bed, cmd, wait_for};
use nix::libc::{EACCES, EOPNOTSUPP, EPERM};

use super::{
    OTHER, OWNER, Way, by, by_sh, gfid, give, let_users_in, line, make, refused, squash, text,
    through,
};

/// The bytes of an image that others may write, and not read.
const SECRET: &[u8] = b"what nobody else may read";

/// Files of a directory that anybody may change.
struct Files {
    /// Root's image, of which others may only write.
    secret: PathBuf,
    /// Root's empty file, which is nobody's business.
    victim: PathBuf,
    /// An image of the owner's.
    own: PathBuf,
    /// The owner's empty files.
    mine: Vec<PathBuf>,
}

impl Files {
    fn make(bed: &Bed<'_>) -> Result<Files> {
        let open = bed.root().join("open");
        fs::create_dir(&open)?;
        give(&open, 0, 0o777)?;
        let files = Files {
            secret: bed.at("secret"),
            victim: open.join("victim"),
            own: bed.at("own"),
            mine: (0..4)
                .map(|number| open.join(format!("mine{number}")))
                .collect(),
        };
        make(&files.secret, SECRET, 0, 0o622)?;
        make(&files.victim, b"", 0, 0o600)?;
        make(&files.own, b"my own bytes", OWNER, 0o600)?;
        for mine in &files.mine {
            make(mine, b"", OWNER, 0o644)?;
        }
        Ok(files)
    }

    /// Nothing was read and nothing written of what belongs to root.
    fn are_untouched(&self, bed: &Bed<'_>) -> Result<()> {
        ensure!(
            fs::read(&self.victim)?.is_empty(),
            "root's file was written"
        );
        ensure!(fs::read(&self.secret)? == SECRET);
        for mine in &self.mine {
            ensure!(fs::read(mine)?.is_empty(), "{} has bytes", mine.display());
        }
        ensure!(
            bed.store.names()? == ["own", "secret"],
            "{:?}",
            bed.store.names()?
        );
        Ok(())
    }
}

/// What gluster-bd's translators use among themselves is refused from above, also to root.
fn internal_keys_are_for_nobody(bed: &Bed<'_>, files: &Files) -> Result<()> {
    let mine = gfid(&files.mine[0])?;
    for key in bd_model::xattr::INTERNAL {
        for user in [0, OWNER] {
            let set = ["-n", key, "-v", &mine, text(&files.own)?];
            let output = by(user, "setfattr", &set)?.fails()?;
            ensure!(output.stderr.contains("not permitted"), "{key}: {output}");
        }
        let path = format!("/{}/own", bed.top());
        for op in ["set", "fset", "hset"] {
            let told = through(bed, Way::Client, 0, &[line(&[op, &path, key, &mine])])?;
            refused(&format!("{op} {key}"), told[0].0, &[EPERM])?;
        }
    }
    files.are_untouched(bed)
}

/// Each way to have an image's bytes, or to have them written into a file.
fn theft(bed: &Bed<'_>, files: &Files, user: u32) -> Result<()> {
    let (top, mine, victim) = (bed.top(), gfid(&files.mine[0])?, gfid(&files.victim)?);
    let (secret, own) = (format!("/{top}/secret"), format!("/{top}/own"));
    let mut lines = Vec::new();
    for op in ["set", "fset", "hset"] {
        for key in ["glusterfs.bd.clone", "glusterfs.bd.snapshot"] {
            lines.push(line(&[op, &secret, key, &mine]));
            lines.push(line(&[op, &own, key, &victim]));
            lines.push(line(&[op, &own, key, &mine]));
        }
        let (secret_gfid, own_gfid) = (gfid(&files.secret)?, gfid(&files.own)?);
        lines.push(line(&[
            op,
            "/open/mine0",
            "glusterfs.bd.copy-of",
            &secret_gfid,
        ]));
        lines.push(line(&[
            op,
            "/open/victim",
            "glusterfs.bd.copy-of",
            &own_gfid,
        ]));
        lines.push(line(&[op, &own, "glusterfs.bd.merge.promise", &mine]));
        lines.push(line(&[op, &own, "glusterfs.bd.merge.call-off", "1"]));
    }
    let told = through(bed, Way::Bare, user, &lines)?;
    for (line, (code, _)) in lines.iter().zip(told) {
        refused(
            &format!("user {user}: {line}"),
            code,
            &[EPERM, EACCES, EOPNOTSUPP],
        )?;
    }
    files.are_untouched(bed)
}

/// A copy is for who may read its source, in a file of the caller's own, whatever the client.
pub(super) fn are_for_who_may_read(bed: &mut Bed<'_>) -> Result<()> {
    let_users_in(bed)?;
    let files = Files::make(bed)?;
    internal_keys_are_for_nobody(bed, &files)?;
    theft(bed, &files, OWNER)?;
    theft(bed, &files, OTHER)?;
    squash(bed, true)?;
    let squashed = theft(bed, &files, 0);
    squash(bed, false)?;
    squashed?;
    // What is asked for on a mount, as in GlusterFS 5.
    let old = |key: &str, source: &PathBuf, dest: &PathBuf| {
        by(
            OWNER,
            "setfattr",
            &["-n", key, "-v", &gfid(dest)?, text(source)?],
        )
    };
    for key in ["clone", "snapshot"] {
        old(key, &files.secret, &files.mine[0])?.fails()?;
        old(key, &files.own, &files.victim)?.fails()?;
        files.are_untouched(bed)?;
    }
    old("clone", &files.own, &files.mine[0])?.ok()?;
    old("snapshot", &files.own, &files.mine[1])?.ok()?;
    // With consent to one copy nobody gets another one.
    let (own, third) = (gfid(&files.own)?, gfid(&files.mine[2])?);
    let path = |name: &str| format!("/{}/{name}", bed.top());
    let lines = [
        line(&["set", "/open/mine2", "glusterfs.bd.copy-of", &own]),
        line(&["set", &path("secret"), "glusterfs.bd.clone", &third]),
        line(&["set", &path("own"), "glusterfs.bd.clone", &third]),
        line(&["set", &path("own"), "glusterfs.bd.clone", &third]),
    ];
    let codes = through(bed, Way::Bare, OWNER, &lines)?;
    let codes: Vec<i32> = codes.iter().map(|(code, _)| *code).collect();
    ensure!(codes == [0, EPERM, 0, EPERM], "{codes:?}");
    for mine in &files.mine[..3] {
        // The mount may remember for a second that it was empty.
        wait_for("the bytes of the copy", || {
            Ok(fs::read(mine)? == b"my own bytes")
        })?;
    }
    ensure!(fs::read(&files.victim)?.is_empty());
    // And by links, in a directory of one's own.
    let dir = bed.at("dir");
    fs::create_dir(&dir)?;
    give(&dir, OWNER, 0o755)?;
    let at = dir.display();
    by_sh(
        OWNER,
        &format!("cd {at} && ln ../own a && ln -s ../own b && cmp a b"),
    )?
    .ok()?;
    for how in ["ln", "ln -s"] {
        by_sh(OWNER, &format!("cd {at} && {how} ../secret c"))?.fails()?;
    }
    ensure!(!dir.join("c").exists());
    // Also where root is squashed: what the caller may not only read, and nothing is left of the rest.
    make(&bed.at("public"), b"for all to read", 0, 0o644)?;
    squash(bed, true)?;
    let line = "ln ../own c && ln -s ../own d && cmp c d && ! ln -s ../public e && test ! -e e";
    let squashed = by_sh(OWNER, &format!("cd {at} && {line}"));
    squash(bed, false)?;
    squashed?.ok()?;
    Ok(())
}

/// The server is asked whether somebody may read a file: with an access control list the group bits of
/// the mode are no rights of the group.
pub(super) fn go_by_access_lists(bed: &mut Bed<'_>) -> Result<()> {
    let dir = bed.at("dir");
    fs::create_dir(&dir)?;
    give(&dir, 0, 0o777)?;
    let_users_in(bed)?;
    let with_lists = bed.another_mount(&["--acl"])?;
    for name in ["named", "masked"] {
        make(&bed.at(name), name.as_bytes(), 0, 0o600)?;
    }
    let set = |entries: &str, name: &str| {
        let path = with_lists.join(bed.top()).join(name);
        cmd("setfacl", &["-m", entries, text(&path)?])?.ok()
    };
    set(&format!("u:{OWNER}:r"), "named")?;
    // The mask, which the mode shows as the rights of the group, lets through what no entry gives it.
    set(&format!("u:{OTHER}:rw,g::-"), "masked")?;
    cmd(
        "chgrp",
        &[OWNER.to_string().as_str(), text(&bed.at("masked"))?],
    )?
    .ok()?;
    // Without the option acl the kernel itself looks at the mode of what `ln` is given.
    let linked = with_lists.join(bed.top()).join("dir");
    let link = |user, how: &str, name: &str, to: &str| {
        let line = format!("cd {} && {how} ../{name} {to}", linked.display());
        by_sh(user, &line)
    };
    for (number, how) in ["ln", "ln -s"].into_iter().enumerate() {
        link(OWNER, how, "named", &format!("named{number}"))?.ok()?;
        link(OTHER, how, "masked", &format!("masked{number}"))?.ok()?;
        for (user, name) in [(OTHER, "named"), (OWNER, "masked")] {
            let output = link(user, how, name, "stolen")?.fails()?;
            ensure!(
                output.stderr.contains("Permission denied"),
                "{how} {name}: {output}"
            );
            ensure!(fs::symlink_metadata(dir.join("stolen")).is_err());
        }
    }
    let line = format!("cd {} && ln -s ../masked stolen", dir.display());
    by_sh(OWNER, &line)?.fails()?;
    // Nor is a way found where the caller may not go.
    let closed = bed.at("closed");
    fs::create_dir(&closed)?;
    make(&closed.join("a"), b"closed", 0, 0o644)?;
    give(&closed, 0, 0o700)?;
    let output = link(OTHER, "ln", "closed/a", "stolen")?.fails()?;
    ensure!(output.stderr.contains("Permission denied"), "{output}");
    link(OTHER, "ln -s", "closed/a", "link")?.ok()?;
    ensure!(
        fs::symlink_metadata(dir.join("link"))?.is_symlink(),
        "a snapshot was made"
    );
    bed.rig.unmount(&with_lists)
}

/// Virtual paths lead to the same files, with the same rights, and the brick's own folder to nowhere.
pub(super) fn have_no_back_door(bed: &mut Bed<'_>) -> Result<()> {
    let_users_in(bed)?;
    let files = Files::make(bed)?;
    let by_gfid = bed.another_mount(&["--aux-gfid-mount"])?;
    let at = |path: &PathBuf| Ok::<_, anyhow::Error>(by_gfid.join(".gfid").join(gfid(path)?));
    let set = |user: u32, key: &str, value: &str, path: &PathBuf| {
        by(user, "setfattr", &["-n", key, "-v", value, text(path)?])
    };
    let (secret, own, top) = (at(&files.secret)?, at(&files.own)?, at(&bed.images())?);
    let mine = gfid(&files.mine[0])?;
    for key in bd_model::xattr::INTERNAL {
        set(OWNER, key, &mine, &own)?.fails()?;
        set(0, key, &mine, &own)?.fails()?;
    }
    for key in ["clone", "snapshot"] {
        set(OWNER, key, &mine, &secret)?.fails()?;
        set(OWNER, key, &gfid(&files.victim)?, &own)?.fails()?;
    }
    for user in [OWNER, OTHER] {
        set(user, "user.glusterfs.bd.dir", "lv", &top)?.fails()?;
        by(
            user,
            "setfattr",
            &["-x", "user.glusterfs.bd.dir", text(&top)?],
        )?
        .fails()?;
        by(user, "setfattr", &["-x", "user.glusterfs.bd", text(&own)?])?.fails()?;
    }
    let listed = cmd(
        "getfattr",
        &["--absolute-names", "-d", "-m", "-", text(&own)?],
    )?
    .ok()?;
    ensure!(!listed.stdout.contains("glusterfs.bd"), "{listed}");
    for mount in [bed.root(), &by_gfid] {
        for path in [".glusterfs", ".glusterfs/gluster-bd", ".glusterfs/00"] {
            ensure!(
                fs::symlink_metadata(mount.join(path)).is_err(),
                "{path} is there"
            );
        }
    }
    files.are_untouched(bed)?;
    set(OWNER, "clone", &mine, &own)?.ok()?;
    bed.rig.unmount(&by_gfid)
}
