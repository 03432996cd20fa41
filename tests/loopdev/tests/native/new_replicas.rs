//! A volume gets one replica more, and one replica another brick: heal fills both by itself, as on a stock
//! volume, where `heal full` is not needed. Or it gets a whole group of bricks, and rebalance moves images there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use loopdev::{Host, Rig, cmd, gluster_bd, wait_for};

use super::bricks::{Bricks, TOP, emptied, ended, on};
use crate::images::tools::{pattern, sh_in};

/// Images of all kinds.
const IMAGES: &str = "for n in 0 1 2 3 4 5 6 7; do head -c 100000 /dev/urandom >i$n; done; mkdir d; cp i0 d/x
    ln i1 clone; ln -s i2 snapshot; ln d/x d/y; echo changed >>clone; echo bytes >>snapshot; truncate -s 5M sparse";
/// How many they are.
const COUNT: usize = 13;

/// What they hold, as a client sees it that has looked at nothing yet.
fn sums(rig: &mut Rig, bricks: &Bricks) -> Result<String> {
    let mount = rig.mount(&bricks.volume, &[])?;
    let told = sh_in(&mount.join(TOP), "find . -type f | sort | xargs md5sum")?.stdout;
    rig.unmount(&mount)?;
    ensure!(told.lines().count() == COUNT, "{told}");
    Ok(told)
}

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

/// A volume whose group has three bricks gets another group, the last brick of which is plain if it is an arbiter.
fn gets_a_group(name: &str, words: &[&str], copies: usize) {
    on(&format!("new_replicas::{name}"), words, 3, |rig, bricks| {
        sh_in(&bricks.mount.join(TOP), IMAGES)?;
        let before = sums(rig, bricks)?;
        let volume = bricks.volume.name();
        let (mut dirs, mut stores) = (bricks.volume.bricks().to_vec(), bricks.stores.clone());
        let mut add = vec![
            "volume".to_owned(),
            "add-brick".to_owned(),
            volume.to_owned(),
        ];
        for number in 0..3 {
            let (place, store) = match number < copies {
                true => brick(rig, bricks, &format!("new{number}"))?,
                false => plain(rig, bricks, "arbiter")?,
            };
            let (_, dir) = place.split_once(':').context("no host")?;
            dirs.push(dir.into());
            stores.push(store);
            add.push(place);
        }
        add.push("force".to_owned());
        gluster_bd(&add)?.ok()?;
        rig.gluster(&["volume", "rebalance", volume, "start", "force"])?
            .ok()?;
        ended(rig, &bricks.volume)?;
        let grown = Bricks {
            volume: rig.adopt_volume(volume, &dirs),
            mount: bricks.mount.clone(),
            stores,
            hosts: vec![Host::shared()],
            servers: Vec::new(),
            groups: Vec::new(),
        };
        grown.healed(rig)?;
        let after = sums(rig, &grown)?;
        ensure!(after == before, "{before}\n{after}");
        gluster_bd(&["check", volume])?.ok()?;
        // Each image has its bytes in one group, and an arbiter has none.
        let (all, old) = (grown.count()?, bricks.count()?);
        ensure!(all == COUNT * copies, "{all} volumes");
        ensure!(
            old < all && old.is_multiple_of(copies),
            "{old} of {all} stayed"
        );
        if copies == 2 {
            another_arbiter(rig, bricks)?;
        }
        sh_in(&bricks.mount.join(TOP), "rm -r d")?;
        emptied(rig, &grown)
    });
}

/// A brick that has names only.
fn plain(rig: &Rig, bricks: &Bricks, name: &str) -> Result<(String, PathBuf)> {
    let folder = bricks.stores[0].with_file_name(name);
    let (dir, store) = (folder.join("b"), folder.join(TOP));
    fs::create_dir_all(&dir)?;
    fs::create_dir(&store)?;
    Ok((format!("{}:{}", rig.host()?, dir.display()), store))
}

/// A new arbiter gets the image directory also from a client that goes on with what it knows.
fn another_arbiter(rig: &Rig, bricks: &Bricks) -> Result<()> {
    let (arbiter, _) = plain(rig, bricks, "arbiter2")?;
    let places = [
        brick(rig, bricks, "more0")?.0,
        brick(rig, bricks, "more1")?.0,
        arbiter.clone(),
    ];
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    let volume = bricks.volume.name();
    rig.gluster(&[&["volume", "add-brick", volume], &places[..], &["force"]].concat())?
        .ok()?;
    let (_, dir) = arbiter.split_once(':').context("no host")?;
    wait_for("the image directory on the arbiter", || {
        fs::metadata(bricks.at("d/x"))?;
        Ok(Path::new(dir).join(TOP).is_dir())
    })
}

#[test]
fn with_an_arbiter() {
    gets_a_group("with_an_arbiter", &["replica", "3", "arbiter", "1"], 2);
}

#[test]
fn of_pieces() {
    gets_a_group("of_pieces", &["disperse", "3", "redundancy", "1"], 3);
}
