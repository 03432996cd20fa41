//! What breaks in a storm, and how it is mended.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use loopdev::{Place, Rig};

use super::growth::{Growth, has_left, leave};
use super::layout::Layout;
use crate::PLACE;
use crate::bricks::{Bricks, ended};
use crate::images::model::Random;

/// The most groups of bricks that a volume grows to.
const GROUPS: usize = 3;

/// Something that happens under load. Of a group of replicas, one at most is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// kill -9 of a brick.
    Brick(usize),
    /// kill -9 of its gluster-bdd.
    Server(usize),
    /// Both at once.
    Host(usize),
    /// A brick loses all that it has, and is put in again, empty.
    Replace(usize),
    /// Files move to the bricks on which they belong.
    Rebalance,
    /// One group of bricks more, and files move there.
    Grow,
    /// This group of bricks goes, and its files move to the others.
    Shrink(usize),
}

impl Fault {
    /// What can happen there, by names.
    pub(super) fn kinds(layout: &Layout, stock: bool) -> Result<Vec<&'static str>> {
        let mut kinds = vec!["brick"];
        if !stock {
            kinds.extend(["server", "host"]);
        }
        // On volume groups only what changes nothing but processes.
        if layout.replicas > 1 && !stock && PLACE == Place::Native {
            kinds.push("replace");
        }
        let Ok(wanted) = std::env::var("GBT_FAULTS") else {
            kinds.retain(|kind| !layout.spared.contains(kind));
            return Ok(layout.only.map_or(kinds, <[_]>::to_vec));
        };
        // Not without being asked for: see docs/testing.md.
        if layout.bricks > layout.replicas {
            kinds.push("rebalance");
        }
        if PLACE == Place::Native {
            kinds.extend(["grow", "shrink"]);
        }
        let known = kinds.clone();
        kinds.retain(|kind| wanted.split(',').any(|one| one == *kind));
        ensure!(!kinds.is_empty(), "GBT_FAULTS has none of {known:?}");
        Ok(kinds)
    }

    pub(super) fn choose(kind: &str, layout: &Layout, random: &mut Random) -> Fault {
        let mut brick = random.below(layout.bricks);
        // An arbiter has no gluster-bdd, and nothing that could be lost but names.
        while kind != "brick" && layout.is_arbiter(brick) {
            brick = random.below(layout.bricks);
        }
        let groups = layout.bricks / layout.replicas;
        match kind {
            "grow" if groups < GROUPS => Fault::Grow,
            "shrink" if groups == 1 => Fault::Grow,
            // Pieces are looked at by their numbers, which have no gaps as long as the last ones go.
            "grow" | "shrink" if layout.is_dispersed() => Fault::Shrink(groups - 1),
            "grow" | "shrink" => Fault::Shrink(random.below(groups)),
            "server" => Fault::Server(brick),
            "host" => Fault::Host(brick),
            "replace" => Fault::Replace(brick),
            "rebalance" => Fault::Rebalance,
            _ => Fault::Brick(brick),
        }
    }

    /// Whether files move to other bricks.
    pub(super) fn moves_files(self) -> bool {
        matches!(self, Fault::Rebalance | Fault::Grow | Fault::Shrink(_))
    }

    pub(super) fn strike(
        self,
        rig: &mut Rig,
        bricks: &mut Bricks,
        layout: &Layout,
        growth: &mut Growth,
    ) -> Result<()> {
        match self {
            Fault::Brick(brick) => kill_brick(rig, bricks, brick),
            Fault::Server(brick) => bricks.server(brick).borrow().kill9(),
            Fault::Host(brick) => {
                bricks.server(brick).borrow().kill9()?;
                kill_brick(rig, bricks, brick)
            }
            Fault::Replace(brick) => lose_all(rig, bricks, brick),
            Fault::Rebalance => {
                let volume = bricks.volume.name();
                rig.gluster(&["volume", "rebalance", volume, "start", "force"])?
                    .ok()
                    .map(drop)
            }
            Fault::Grow => growth.grow(rig, bricks, layout),
            Fault::Shrink(group) => leave(rig, bricks, layout, group),
        }
    }

    pub(super) fn mend(self, rig: &mut Rig, bricks: &Bricks, layout: &Layout) -> Result<()> {
        match self {
            Fault::Brick(_) => bricks.volume.start(),
            Fault::Server(brick) => start_server(rig, bricks, brick),
            Fault::Host(brick) => {
                start_server(rig, bricks, brick)?;
                bricks.volume.start()
            }
            Fault::Replace(brick) => put_in_again(rig, bricks, brick),
            Fault::Rebalance | Fault::Grow => ended(rig, &bricks.volume),
            Fault::Shrink(group) => has_left(rig, bricks, layout, group),
        }
    }

    /// What is to be done when the load is over.
    pub(super) fn settle(
        self,
        rig: &mut Rig,
        bricks: &mut Bricks,
        layout: &Layout,
        growth: &mut Growth,
    ) -> Result<()> {
        match self {
            Fault::Shrink(group) => growth.shrink(rig, bricks, layout, group),
            _ => Ok(()),
        }
    }
}

/// Takes a brick away, and all that it has.
pub(crate) fn lose_all(rig: &Rig, bricks: &Bricks, brick: usize) -> Result<()> {
    reset(rig, bricks, brick, &["start"])?;
    if bricks.servers.len() > 1 {
        bricks.server(brick).borrow().kill9()?;
    }
    for folder in [&bricks.volume.bricks()[brick], &bricks.stores[brick]] {
        fs::remove_dir_all(folder)
            .and_then(|()| fs::create_dir(folder))
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    Ok(())
}

/// Makes that brick anew in its place.
pub(crate) fn put_in_again(rig: &mut Rig, bricks: &Bricks, brick: usize) -> Result<()> {
    if bricks.servers.len() > 1 {
        start_server(rig, bricks, brick)?;
    }
    init(bricks, brick, &bricks.volume.bricks()[brick])?;
    let place = place(rig, bricks, brick)?;
    reset(rig, bricks, brick, &[&place, "commit", "force"])?;
    bricks.volume.start()
}

fn kill_brick(rig: &Rig, bricks: &Bricks, brick: usize) -> Result<()> {
    let pids = bricks.volume.brick_pids()?;
    rig.kill9(*pids.get(brick).context("a brick has no process")?)
}

fn start_server(rig: &mut Rig, bricks: &Bricks, brick: usize) -> Result<()> {
    let server = bricks.host(brick).start(rig)?;
    bricks.server(brick).replace(server);
    Ok(())
}

pub(super) fn init(bricks: &Bricks, brick: usize, dir: &Path) -> Result<()> {
    let store = bricks.stores[brick].display().to_string();
    let dir = dir.display().to_string();
    let words = ["brick", "init", &dir, "--engine", "file", "--store", &store];
    bricks.host(brick).gluster_bd(&words)?.ok().map(drop)
}

fn place(rig: &Rig, bricks: &Bricks, brick: usize) -> Result<String> {
    let dir = bricks.volume.bricks()[brick].display();
    Ok(format!("{}:{dir}", rig.host()?))
}

fn reset(rig: &Rig, bricks: &Bricks, brick: usize, words: &[&str]) -> Result<()> {
    let place = place(rig, bricks, brick)?;
    let reset = ["volume", "reset-brick", bricks.volume.name(), &place];
    rig.gluster(&[&reset[..], words].concat())?.ok().map(drop)
}
