//! Clients that change directories, images, copies and snapshots at once.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use loopdev::wait_for;
use nix::libc;

use super::world::{Act, End, Place, Sight, World, explained};
use super::{ACTS, CLIENTS, FORGETFUL, REMEMBERS, at_once, make, merges, number, read};
use crate::bricks::{self, Bricks, TOP};
use crate::images::model::Random;

const DIRS: [&str; 2] = ["x", "y"];
const LEAVES: [&str; 3] = ["p", "q", "base"];
/// What snapshots are made of. It stays where it is, as `ln -s` to what is not there makes a link.
const BASE: Place = (None, 2);

fn path(top: &Path, (dir, leaf): Place) -> PathBuf {
    let dir = dir.map_or(top.to_owned(), |dir| top.join(DIRS[dir]));
    dir.join(LEAVES[leaf])
}

fn choose(random: &mut Random, id: &mut u64) -> Act {
    let mut place = || {
        let dir = random.below(DIRS.len() + 1).checked_sub(1);
        (dir, random.below(LEAVES.len() - 1))
    };
    let (one, other) = (place(), place());
    let dir = random.below(DIRS.len());
    match random.below(16) {
        5..=9 if is_plain() => Act::Read(one),
        0..=2 => {
            *id += 1;
            Act::Create(one, *id)
        }
        3..=4 if one != other => Act::Rename(one, other),
        5..=6 if one != other => Act::Copy(one, other, false),
        7..=8 => Act::Copy(BASE, one, true),
        9 => Act::Merge(one),
        10 => Act::Unlink(one),
        11..=12 => Act::Mkdir(dir),
        13 => Act::Rmdir(dir),
        14 => Act::Move(dir, 1 - dir),
        _ => Act::Read(one),
    }
}

/// Whether plain files are changed instead, as on any volume: without copies.
fn is_plain() -> bool {
    number("GBT_STOCK", 0) > 0
}

fn perform(top: &Path, act: Act) -> End {
    let at = |place: Place| path(top, place);
    let dir = |dir: usize| top.join(DIRS[dir]);
    let done = |result: io::Result<()>| result.map(|()| End::Done);
    let ended = match act {
        Act::Create(place, id) => done(make(&at(place), id)),
        Act::Unlink(place) => done(fs::remove_file(at(place))),
        Act::Read(place) => read(&at(place)).map(End::Found),
        Act::Rename(from, to) => done(fs::rename(at(from), at(to))),
        Act::Copy(from, to, false) => done(fs::hard_link(at(from), at(to))),
        Act::Copy(from, to, true) => done(symlink(at(from), at(to))),
        Act::Merge(place) => done(merges::merge(&at(place))),
        Act::Mkdir(slot) => done(fs::create_dir(dir(slot))),
        Act::Rmdir(slot) => done(fs::remove_dir(dir(slot))),
        Act::Move(from, to) => done(fs::rename(dir(from), dir(to))),
    };
    ended.unwrap_or_else(|error| match error.raw_os_error().unwrap_or_default() {
        // The kernel has asked twice, and found another file each time.
        libc::ENOENT | libc::ESTALE => End::NotFound,
        // So rename(2) may say it, too.
        libc::EEXIST if matches!(act, Act::Move(..)) => End::NotEmpty,
        libc::EEXIST => End::Exists,
        libc::ENOTEMPTY => End::NotEmpty,
        libc::EBUSY => End::Busy,
        libc::EINVAL | libc::EOPNOTSUPP if matches!(act, Act::Merge(_)) => End::NoSnapshot,
        code => End::Failed(code),
    })
}

/// What is there when all is quiet.
fn sight(top: &Path) -> Result<Sight> {
    let mut dirs = Vec::new();
    let mut files = BTreeMap::new();
    let slots = [None].into_iter().chain((0..DIRS.len()).map(Some));
    for dir in slots {
        let folder = dir.map_or(top.to_owned(), |dir| top.join(DIRS[dir]));
        let listed = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            listed => listed?,
        };
        dirs.extend(dir);
        for entry in listed {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                continue;
            }
            let name = entry.file_name();
            let leaf = LEAVES.iter().position(|leaf| name == *leaf);
            let leaf = leaf.with_context(|| format!("{} is listed", entry.path().display()))?;
            // A copy that was given up goes after a while; one that is made is a file soon.
            let mut found = None;
            wait_for("a file to be whole", || match read(&entry.path()) {
                Ok(id) => {
                    found = id;
                    Ok(id.is_some())
                }
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(false),
                Err(error) => Err(error).with_context(|| format!("{}", entry.path().display())),
            })?;
            files.insert((dir, leaf), found.unwrap_or_default());
        }
    }
    Ok((dirs, files))
}

/// The clients do what they have chosen at once; what is there then, if an order explains it.
fn round(
    tops: &[PathBuf],
    before: &World,
    random: &mut Random,
    id: &mut u64,
    seen: &mut Tally,
) -> Result<World> {
    let chosen: Vec<Vec<Act>> = (0..tops.len())
        .map(|_| (0..ACTS).map(|_| choose(random, id)).collect())
        .collect();
    let acts = at_once(tops, &chosen, perform);
    let after = sight(&tops[0]).with_context(|| format!("{before:?} {acts:?}"))?;
    for (act, end) in acts.iter().flatten() {
        if *end == End::Done {
            seen.note(*act);
        }
    }
    match explained(before, &acts, &after) {
        Some(world) => Ok(world),
        None => bail!("no order explains it: {before:?}, {acts:?}, {after:?}"),
    }
}

/// How often what was done.
#[derive(Debug, Default)]
struct Tally {
    files: usize,
    copies: usize,
    merges: usize,
    renames: usize,
    dirs: usize,
}

impl Tally {
    fn note(&mut self, act: Act) {
        match act {
            Act::Create(..) => self.files += 1,
            Act::Copy(..) => self.copies += 1,
            Act::Merge(_) => self.merges += 1,
            Act::Rename(..) => self.renames += 1,
            Act::Mkdir(_) | Act::Rmdir(_) | Act::Move(..) => self.dirs += 1,
            Act::Unlink(_) | Act::Read(_) => {}
        }
    }
}

fn change(tops: &[PathBuf], bricks: &Bricks) -> Result<()> {
    let seed = number("GBT_SEED", 7);
    let rounds = number("GBT_ROUNDS", 120);
    let mut random = Random::new(seed);
    let (mut id, mut seen) = (0, Tally::default());
    let base = vec![vec![(
        Act::Create(BASE, id),
        perform(&tops[0], Act::Create(BASE, id)),
    )]];
    let mut world = explained(&World::default(), &base, &sight(&tops[0])?).context("no base")?;
    for number in 0..rounds {
        world = round(tops, &world, &mut random, &mut id, &mut seen)
            .with_context(|| format!("seed {seed}, round {number}"))?;
    }
    println!(
        "measured: seed {seed}, {rounds} rounds of {CLIENTS} clients, each explained: {seen:?}"
    );
    if is_plain() {
        return Ok(());
    }
    ensure!(
        seen.copies > 0 && seen.dirs > 0 && seen.merges > 0,
        "{seen:?}"
    );
    let files = world.sight().context("something is not finished")?.1.len();
    wait_for("the volumes to be those of the files", || {
        Ok(bricks.count()? == files)
    })
}

#[test]
fn change_one_after_the_other() {
    let name = "clients::dirs::change_one_after_the_other";
    bricks::on(name, &[], 1, |rig, bricks| {
        for option in REMEMBERS {
            bricks.volume.set(option, "off")?;
        }
        let mut tops = Vec::new();
        for _ in 0..CLIENTS {
            let dir = if is_plain() { "plain" } else { TOP };
            tops.push(rig.mount(&bricks.volume, &FORGETFUL)?.join(dir));
        }
        fs::create_dir_all(&tops[0])?;
        if !is_plain() {
            merges::are_told_of_once(&tops)?;
        }
        change(&tops, bricks)?;
        crate::images::tools::sh_in(&tops[0], "rm -rf x y p q base")?;
        Ok(())
    });
}
