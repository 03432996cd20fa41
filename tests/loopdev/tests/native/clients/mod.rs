//! Clients that change names of the same images at once.

mod dirs;
mod merges;
mod model;
mod pairs;
mod world;

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use nix::libc;

use self::model::{Act, End, Names, explains};
use super::bricks::{self, Bricks, TOP};
use crate::images::model::Random;
use crate::images::tools::sh_in;

/// Clients that remember nothing, so that what they see is what the brick has.
const FORGETFUL: [&str; 2] = ["--attribute-timeout=0", "--entry-timeout=0"];
/// What clients have that tells of what was there a second ago.
const REMEMBERS: [&str; 4] = [
    "performance.stat-prefetch",
    "performance.quick-read",
    "performance.open-behind",
    "performance.readdir-ahead",
];
const CLIENTS: usize = 3;
/// What each of them does in a round.
const ACTS: usize = 2;
const NAMES: [&str; 6] = ["a", "b", "sub/c", "links/d", "links/e", "links/f"];
/// The first name of the directory where a link is a second name.
const FIRST_LINK: usize = 3;

fn number(variable: &str, usual: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn choose(random: &mut Random, id: &mut u64) -> Act {
    let (one, other) = (random.below(NAMES.len()), random.below(NAMES.len()));
    let link = |name: usize| FIRST_LINK + name % (NAMES.len() - FIRST_LINK);
    match random.below(10) {
        0..=2 => {
            *id += 1;
            Act::Create(one, *id)
        }
        3..=4 if one != other => Act::Rename(one, other),
        5 if link(one) != link(other) => Act::Link(link(one), link(other)),
        6..=7 => Act::Unlink(one),
        _ => Act::Read(one),
    }
}

fn make(path: &Path, id: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(format!("{id:08}").as_bytes())
}

fn read(path: &Path) -> io::Result<Option<u64>> {
    Ok(fs::read_to_string(path)?.parse().ok())
}

fn end(act: io::Result<End>) -> End {
    match act {
        Ok(end) => end,
        Err(error) => match error.kind() {
            ErrorKind::NotFound => End::NotFound,
            ErrorKind::AlreadyExists => End::Exists,
            _ => End::Failed(error.raw_os_error().unwrap_or_default()),
        },
    }
}

fn perform(top: &Path, act: Act) -> End {
    let at = |name: usize| top.join(NAMES[name]);
    let done = |result: io::Result<()>| result.map(|()| End::Done);
    let end = end(match act {
        Act::Create(name, id) => done(make(&at(name), id)),
        Act::Rename(from, to) => done(fs::rename(at(from), at(to))),
        Act::Link(from, to) => done(fs::hard_link(at(from), at(to))),
        Act::Unlink(name) => done(fs::remove_file(at(name))),
        Act::Read(name) => read(&at(name)).map(End::Found),
    });
    match (act, end) {
        // The kernel looks the name up first, and then asks for the file.
        (Act::Link(..) | Act::Read(_), End::Failed(libc::ESTALE)) => End::NotFound,
        _ => end,
    }
}

/// What is there when all is quiet.
fn names(top: &Path) -> Result<Names> {
    let mut names = Names::new();
    for (number, name) in NAMES.iter().enumerate() {
        match read(&top.join(name)) {
            Ok(Some(id)) => drop(names.insert(number, id)),
            Ok(None) => bail!("{name} has nobody's bytes"),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| (*name).to_owned()),
        }
    }
    for dir in ["", "sub", "links"] {
        for entry in fs::read_dir(top.join(dir))? {
            let entry = entry?;
            let name = Path::new(dir).join(entry.file_name());
            let known = NAMES.iter().position(|known| Path::new(known) == name);
            let is_there = known.is_some_and(|number| names.contains_key(&number));
            ensure!(
                is_there || entry.file_type()?.is_dir(),
                "{} is listed",
                name.display()
            );
        }
    }
    Ok(names)
}

/// The clients do what they have chosen at once; each act with what came of it.
fn at_once<Act: Copy + Send + Sync, End: Send>(
    tops: &[PathBuf],
    chosen: &[Vec<Act>],
    perform: impl Fn(&Path, Act) -> End + Sync,
) -> Vec<Vec<(Act, End)>> {
    let barrier = Barrier::new(tops.len());
    thread::scope(|scope| {
        let threads: Vec<_> = tops
            .iter()
            .zip(chosen)
            .map(|(top, acts)| {
                scope.spawn(|| {
                    barrier.wait();
                    acts.iter().map(|act| (*act, perform(top, *act))).collect()
                })
            })
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("a client");
        threads.into_iter().map(join).collect()
    })
}

/// The clients do what they have chosen at once, and there must be an order that explains it.
fn round(tops: &[PathBuf], before: &Names, random: &mut Random, id: &mut u64) -> Result<Names> {
    let chosen: Vec<Vec<Act>> = (0..tops.len())
        .map(|_| (0..ACTS).map(|_| choose(random, id)).collect())
        .collect();
    let seen = at_once(tops, &chosen, perform);
    let after = names(&tops[0]).with_context(|| format!("{before:?} {seen:?}"))?;
    let clients: Vec<&[(Act, End)]> = seen.iter().map(Vec::as_slice).collect();
    ensure!(
        explains(before, &clients, &after),
        "no order explains it: {before:?}, {seen:?}, {after:?}"
    );
    Ok(after)
}

fn change_names(tops: &[PathBuf], bricks: Option<&Bricks>) -> Result<()> {
    let seed = number("GBT_SEED", 7);
    let rounds = number("GBT_ROUNDS", 120);
    let mut random = Random::new(seed);
    let (mut known, mut id) = (Names::new(), 0);
    for number in 0..rounds {
        known = round(tops, &known, &mut random, &mut id)
            .with_context(|| format!("seed {seed}, round {number}"))?;
    }
    println!(
        "measured: seed {seed}, {rounds} rounds of {CLIENTS} clients, {id} files, each round explained"
    );
    let Some(bricks) = bricks else { return Ok(()) };
    let mut files: Vec<u64> = known.into_values().collect();
    files.sort_unstable();
    files.dedup();
    loopdev::wait_for("the volumes to be those of the files", || {
        Ok(bricks.count()? == files.len() * bricks.stores.len())
    })
}

const DIRS: &str = "mkdir sub links; setfattr -n user.glusterfs.bd.dir -v thin,link=hardlink links";

#[test]
fn act_one_after_the_other() {
    bricks::on("clients::act_one_after_the_other", &[], 1, |rig, bricks| {
        for option in REMEMBERS {
            bricks.volume.set(option, "off")?;
        }
        let mut tops = Vec::new();
        for _ in 0..CLIENTS {
            tops.push(rig.mount(&bricks.volume, &FORGETFUL)?.join(TOP));
        }
        sh_in(&tops[0], DIRS)?;
        change_names(&tops, Some(bricks))?;
        sh_in(&tops[0], "find . -type f -delete; rmdir sub links")?;
        Ok(())
    });
}
