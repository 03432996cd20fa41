//! The attributes that say what a file or directory is: who sees them, sets them and takes them away.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use loopdev::{Bed, Output, cmd, gluster_bd, wait_for};
use nix::libc::{EINVAL, EIO};

use super::{OTHER, OWNER, Way, by, give, let_users_in, line, make, text, through};

const MARK: &str = "user.glusterfs.bd";
const POLICY: &str = "user.glusterfs.bd.dir";

fn get(path: &Path, name: &str) -> Result<Output> {
    cmd(
        "getfattr",
        &["--absolute-names", "--only-values", "-n", name, text(path)?],
    )
}

fn set(user: u32, path: &Path, name: &str, value: &str) -> Result<Output> {
    by(user, "setfattr", &["-n", name, "-v", value, text(path)?])
}

/// A mark that nobody can read is refused; one that came by other means is an error, and never a plain
/// file or directory, until `check --repair` has written it anew.
pub(super) fn are_text(bed: &mut Bed<'_>) -> Result<()> {
    let_users_in(bed)?;
    let (image, dir, plain) = (bed.at("image"), bed.at("dir"), bed.root().join("plain"));
    make(&image, b"bytes on an LV", OWNER, 0o600)?;
    make(&plain, b"", OWNER, 0o600)?;
    fs::create_dir(&dir)?;
    give(&dir, OWNER, 0o755)?;
    let (to_image, to_dir) = (
        format!("/{}/image", bed.top()),
        format!("/{}/dir", bed.top()),
    );
    for value in ["0xc328", "on", "", "thin:x"] {
        for (path, name) in [(&image, MARK), (&plain, MARK), (&dir, POLICY)] {
            let output = set(OWNER, path, name, value)?.fails()?;
            ensure!(
                output.stderr.contains("Invalid argument"),
                "{name} {value}: {output}"
            );
        }
    }
    let wrong = "\\xc3\\x28";
    for op in ["set", "fset", "hset"] {
        let lines = [
            line(&[op, &to_image, MARK, wrong]),
            line(&[op, "/plain", MARK, wrong]),
            line(&["hset", &to_dir, POLICY, wrong]),
        ];
        for way in [Way::Client, Way::Bare] {
            for (line, (code, _)) in lines.iter().zip(through(bed, way, OWNER, &lines)?) {
                ensure!(code == EINVAL, "{line}: errno {code}");
            }
        }
    }
    ensure!(fs::read(&plain)?.is_empty() && bed.store.names()? == ["image"]);
    // As a release before this one would have left them.
    bed.volume.stop()?;
    let on_brick = bed.brick().join(bed.top());
    for (name, key) in [("image", MARK), ("dir", POLICY)] {
        cmd(
            "setfattr",
            &["-n", key, "-v", "0xc328", text(&on_brick.join(name))?],
        )?
        .ok()?;
    }
    bed.volume.start()?;
    bed.remount()?;
    let (image, dir) = (bed.at("image"), bed.at("dir"));
    let eio = |result: std::io::Result<()>| result.err().and_then(|error| error.raw_os_error());
    wait_for("the volume to answer", || {
        Ok(fs::metadata(bed.images()).is_ok())
    })?;
    ensure!(eio(fs::read(&image).map(drop)) == Some(EIO));
    ensure!(eio(fs::write(&image, "lost on the stub")) == Some(EIO));
    ensure!(eio(fs::write(dir.join("new"), "plain")) == Some(EIO));
    ensure!(eio(fs::create_dir(dir.join("sub"))) == Some(EIO));
    let brick = bed.brick().display().to_string();
    let found = gluster_bd(&["check", &brick])?;
    ensure!(found.code == 1, "{found}");
    let expected = [
        on_brick.join("dir").display().to_string(),
        "volume image".to_owned(),
    ];
    for part in &expected {
        ensure!(found.stdout.contains(part), "{part}: {found}");
    }
    gluster_bd(&["check", &brick, "--repair"])?;
    gluster_bd(&["check", &brick])?.ok()?;
    ensure!(fs::read(&image)? == b"bytes on an LV");
    fs::write(dir.join("new"), "on an LV")?;
    ensure!(bed.store.names()?.len() == 2, "{:?}", bed.store.names()?);
    Ok(())
}
