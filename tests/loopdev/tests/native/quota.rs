//! Limits of directories.

use std::fs;

use anyhow::{Context, Result, ensure};
use loopdev::{Output, Rig, cmd, wait_for};
use nix::libc;

use super::bricks::{self, Bricks, TOP};
use crate::images::tools::{MIB, pattern};

/// Bytes that quota has counted in the image directory.
fn counted(rig: &Rig, bricks: &Bricks) -> Result<u64> {
    let dir = format!("/{TOP}");
    let told = rig.gluster(&[
        "volume",
        "quota",
        bricks.volume.name(),
        "list",
        &dir,
        "--xml",
    ])?;
    let told = told.ok()?.stdout;
    let used = told
        .split_once("<used_space>")
        .and_then(|(_, rest)| rest.split_once('<'));
    let (used, _) = used.with_context(|| told.clone())?;
    Ok(used.parse()?)
}

#[test]
fn counts_copies() {
    bricks::on("quota::counts_copies", &[], 1, |rig, bricks| {
        let quota = |words: &[&str]| -> Result<()> {
            let volume = ["volume", "quota", bricks.volume.name()];
            rig.gluster(&[&volume[..], words].concat())?.ok().map(drop)
        };
        quota(&["enable"])?;
        quota(&["limit-usage", &format!("/{TOP}"), "10MB"])?;
        quota(&["soft-timeout", "0"])?;
        quota(&["hard-timeout", "0"])?;
        fs::write(bricks.at("a"), pattern(1, 4 << 20))?;
        let reaches = |bytes| {
            wait_for("the bytes to be counted", || {
                Ok(counted(rig, bricks)? >= bytes)
            })
        };
        reaches(4 * MIB)?;
        let copy = |name: &str, options: &[&str]| {
            let (from, to) = (bricks.at("a"), bricks.at(name));
            let paths = [from.display().to_string(), to.display().to_string()];
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            cmd("ln", &[options, &paths].concat())
        };
        copy("b", &[])?.ok()?;
        reaches(8 * MIB)?;
        for options in [&[][..], &["-s"]] {
            let output = copy("c", options)?.fails()?;
            let text = std::io::Error::from_raw_os_error(libc::EDQUOT).to_string();
            let text = text.split(" (os").next().unwrap_or_default();
            ensure!(output.stderr.contains(text), "{output}");
            ensure!(!bricks.at("c").exists());
        }
        // A thick image has all of its bytes, also one that is made of a plain file.
        let plain = bricks.at("plain");
        fs::create_dir(&plain)?;
        let path = plain.display().to_string();
        cmd("setfattr", &["-x", "user.glusterfs.bd.dir", &path])?.ok()?;
        fs::write(plain.join("file"), "bytes")?;
        let path = plain.join("file").display().to_string();
        let set = |value: &str| cmd("setfattr", &["-n", "user.glusterfs.bd", "-v", value, &path]);
        let refused = |output: Output| {
            ensure!(output.stderr.contains("quota exceeded"), "{output}");
            Ok(())
        };
        let images = bricks.count()?;
        refused(set("lv:800M")?.fails()?)?;
        ensure!(bricks.count()? == images && fs::read(&path)? == b"bytes");
        cmd("getfattr", &["-n", "user.glusterfs.bd", &path])?.fails()?;
        set("lv:1M")?.ok()?;
        ensure!(bricks.count()? == images + 1);
        refused(set("lv:800M")?.fails()?)?;
        refused(cmd("truncate", &["-s", "800M", &path])?.fails()?)?;
        ensure!(fs::metadata(&path)?.len() == MIB);
        fs::remove_dir_all(&plain)?;
        fs::remove_file(bricks.at("b"))?;
        wait_for("the removal to be counted", || {
            Ok(counted(rig, bricks)? < 5 * MIB)
        })?;
        copy("c", &["-s"])?.ok()?;
        reaches(8 * MIB)
    });
}
