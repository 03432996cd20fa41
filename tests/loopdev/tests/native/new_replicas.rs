//! A volume gets one replica more, and one replica another brick: heal fills both by itself, as on a stock
//! volume, where `heal full` is not needed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use loopdev::{Rig, cmd, gluster_bd, wait_for};

use super::bricks::{Bricks, TOP, on};
use crate::images::tools::pattern;

/// A new brick with its store, on the disk of another one.
fn brick(rig: &Rig, bricks: &Bricks, name: &str) -> Result<(String, PathBuf)> {
    let folder = bricks.stores[0].with_file_name(name);
    let (dir, store) = (folder.join("b"), folder.join(TOP));
    fs::create_dir_all(&dir)?;
    fs::create_dir(&store)?;
    let (dir, store_dir) = (dir.display().to_string(), store.display().to_string());
    let words = [
        "brick", "init", &dir, "--engine", "file", "--store", &store_dir,
    ];
    gluster_bd(&words)?.ok()?;
    Ok((format!("{}:{dir}", rig.host()?), store))
}

/// Waits until heal has brought the image.
fn is_filled(rig: &Rig, volume: &str, store: &Path) -> Result<()> {
    let bytes = pattern(1, 100_000);
    wait_for(&format!("the image in {}", store.display()), || {
        rig.gluster(&["volume", "heal", volume])?;
        let held = fs::read(store.join("a")).unwrap_or_default();
        Ok(held.get(..bytes.len()) == Some(&bytes[..]))
    })
}

#[test]
fn are_filled_by_heal() {
    on(
        "new_replicas::are_filled_by_heal",
        &["replica", "2"],
        2,
        |rig, bricks| {
            fs::write(bricks.at("a"), pattern(1, 100_000))?;
            let volume = bricks.volume.name();
            let [third, other] = [brick(rig, bricks, "third")?, brick(rig, bricks, "other")?];

            let add =
                |words: &[&str]| gluster_bd(&[&["volume", "add-brick", volume], words].concat());
            let few = add(&["replica", "4", &third.0])?;
            ensure!(
                few.code == 2 && few.stderr.contains("2 make 2 replicas 4"),
                "{few}"
            );
            let there = format!("{}:{}", rig.host()?, bricks.volume.bricks()[0].display());
            let twice = add(&["replica", "3", &there])?;
            ensure!(
                twice.code == 5 && twice.stderr.contains("already"),
                "{twice}"
            );
            add(&["replica", "3", &third.0, "force"])?.ok()?;
            is_filled(rig, volume, &third.1).context("one replica more")?;

            let replace = [
                "volume",
                "replace-brick",
                volume,
                &third.0,
                &other.0,
                "commit",
                "force",
            ];
            rig.gluster(&replace)?.ok()?;
            is_filled(rig, volume, &other.1).context("another brick")?;
            gluster_bd(&["check", volume])?.ok()?;
            cmd("rm", &[bricks.at("a")])?.ok()?;
            wait_for("the image to go", || Ok(!other.1.join("a").exists()))?;
            // The end of the test knows two bricks.
            let remove = [
                "volume",
                "remove-brick",
                volume,
                "replica",
                "2",
                &other.0,
                "force",
            ];
            rig.gluster(&remove)?.ok().map(drop)
        },
    );
}
