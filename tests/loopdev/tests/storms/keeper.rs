//! Keepers: each makes, changes, copies, merges and removes images of its own, and knows what must be
//! there.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::layout::Layout;
use super::register::Register;
use super::tally::Tally;
use super::work::{Bytes, Copies, INSIDE, Image, Tree, Work, below, copy_register, remove_tree};
use crate::images::model::Random;
use crate::images::tools::same;

/// Names of a keeper's images in its own directory, and of directories there.
const NAMES: usize = 7;
const DIRS: usize = 3;
/// No more is begun while nobody knows the end of so much.
const DOUBTS: usize = 8;
/// Caches of attributes keep what they have for a second.
const CACHED: Duration = Duration::from_secs(3);
/// Bytes of an image, for the most part.
const SIZE: usize = 200_000;

/// Somebody with images of its own, in a directory of its own and below.
pub(super) struct Keeper {
    /// What its names begin with.
    letter: char,
    copies: Copies,
    renames_dirs: bool,
    merges: bool,
    moves: bool,
    /// Bricks come and go.
    changes: bool,
    /// A lookup may tell an old size.
    is_dispersed: bool,
    /// Where a brick can fail alone, DHT may leave a rename over a file of another brick half done.
    replaces: bool,
    tree: Tree,
    /// What was asked for and not acknowledged.
    doubts: Vec<Doubt>,
    random: Random,
}

#[derive(Clone, Debug)]
enum Doubt {
    Work(Work),
    /// A copy by that name: its source may change meanwhile.
    Copy(String, Bytes, Option<u64>),
}

impl Doubt {
    fn touches(&self) -> Vec<&String> {
        match self {
            Doubt::Work(work) => work.touches(),
            Doubt::Copy(path, ..) => vec![path],
        }
    }
}

impl Keeper {
    pub(super) fn new(
        letter: char,
        seed: u64,
        copies: Copies,
        layout: &Layout,
        faults: &[&str],
    ) -> Keeper {
        let changes = faults.iter().any(|kind| ["grow", "shrink"].contains(kind));
        let moves = layout.bricks > layout.replicas || changes;
        let bricks_stay = !faults.iter().any(|kind| ["brick", "host"].contains(kind));
        Keeper {
            letter,
            copies,
            // Where a directory is on several groups, its rename may be done on some of them.
            renames_dirs: !moves,
            merges: !layout.is_dispersed(),
            moves,
            changes,
            is_dispersed: layout.is_dispersed(),
            replaces: layout.replicas > 1 || bricks_stay,
            tree: Tree::default(),
            doubts: Vec::new(),
            random: Random::new(seed),
        }
    }

    /// The directory where nobody else adds or removes names. AFR merges a directory where somebody is at work
    /// just then (it is "dirty"), and so brings names back that were removed while a brick was away.
    pub(super) fn home(&self) -> String {
        format!("k{}", self.letter)
    }

    /// Works until told to stop.
    pub(super) fn work(&mut self, registers: &[Register], top: &Path, tally: &Tally) {
        while !tally.stopped() {
            match self.random.below(20) {
                // A client that copies byte by byte may have old ones in its caches.
                0 if self.copies == Copies::Links => self.copy(registers, top, tally),
                1 if self.letter == 'a' && !self.keeps_names(tally) => {
                    self.move_register(registers, top, tally);
                }
                2..5 => self.read(top, tally),
                _ => match self.choose() {
                    Some(work) if !(work.ends_names() && self.keeps_names(tally)) => {
                        self.run(work, top, tally);
                    }
                    _ => self.read(top, tally),
                },
            }
        }
    }

    /// While bricks come and go, clients have old layouts: DHT brings back names that end meanwhile, on any
    /// volume.
    fn keeps_names(&self, tally: &Tally) -> bool {
        self.changes && tally.is_disturbed() && std::env::var_os("GBT_END_NAMES").is_none()
    }

    fn run(&mut self, work: Work, top: &Path, tally: &Tally) {
        let done = work.run(top, self.copies);
        tally.note(&format!("{}: {work:?}: {done:?}", self.letter));
        match done {
            Ok(()) => {
                self.tree.apply(&work);
                tally.did();
            }
            Err(error) => {
                // Heal may have it open. One that has moved is a snapshot no more.
                let refused = match error.kind() {
                    ErrorKind::ResourceBusy => true,
                    ErrorKind::InvalidInput => self.moves,
                    _ => false,
                };
                let busy = matches!(work, Work::Merge { .. }) && refused;
                if !busy {
                    tally.failed(&format!("{work:?}"), &error);
                }
                let doubt = self.copy_of(&work).unwrap_or(Doubt::Work(work));
                self.doubts.push(doubt);
            }
        }
    }

    /// What a copy is of which nobody knows whether it was made.
    fn copy_of(&self, work: &Work) -> Option<Doubt> {
        let (Work::Clone(from, to) | Work::Snapshot(from, to)) = work else {
            return None;
        };
        let source = self.tree.images.get(from)?;
        let origin = matches!(work, Work::Snapshot(..)).then_some(source.id);
        Some(Doubt::Copy(to.clone(), source.bytes.clone(), origin))
    }

    fn copy(&mut self, registers: &[Register], top: &Path, tally: &Tally) {
        let register = &registers[self.random.below(registers.len())];
        let thin = self.random.below(2) == 0;
        let Some(to) = self.free() else { return };
        let (made, moment) = copy_register(register, top, &to, thin);
        tally.note(&format!(
            "{}: copy of a register to {to}, thin {thin}: {made:?}",
            self.letter
        ));
        match made {
            Ok(()) => {
                self.tree.insert(&to, Bytes::Of(moment), None);
                tally.did();
            }
            Err(error) => {
                tally.failed(&format!("a copy of a register to {to}"), &error);
                self.doubts.push(Doubt::Copy(to, Bytes::Of(moment), None));
            }
        }
    }

    fn move_register(&mut self, registers: &[Register], top: &Path, tally: &Tally) {
        let number = self.random.below(registers.len());
        let names = [
            format!("r{number}"),
            format!("r{number}-b"),
            format!("rd/r{number}"),
        ];
        let to = &names[self.random.below(names.len())];
        let moved = registers[number].rename(top, to);
        tally.note(&format!("rename of register {number} to {to}: {moved:?}"));
        match moved {
            Ok(()) => tally.did(),
            Err(error) => tally.failed(&format!("a rename of a register to {to}"), &error),
        }
    }

    /// What was acknowledged is there at once, whatever is broken, if an answer comes.
    fn read(&mut self, top: &Path, tally: &Tally) {
        let Some(path) = self.any(|_| true) else {
            return;
        };
        match fs::read(top.join(&path)) {
            Ok(bytes) => {
                if let Err(error) = self.tree.images[&path].holds(&top.join(&path), &bytes) {
                    // Whether it is so for a moment, or stays.
                    let size = fs::metadata(top.join(&path)).map(|meta| meta.len());
                    let again = fs::read(top.join(&path)).map(|bytes| bytes.len());
                    tally.note(&format!(
                        "{path} has {size:?} bytes, and {again:?} can be read now"
                    ));
                    let excused = self.moves || self.is_dispersed;
                    if !(excused && self.is_right_soon(&top.join(&path), &path)) {
                        tally.wrong(format!("read at once: {path}: {error:#}"));
                    }
                }
                tally.did();
            }
            Err(error) => tally.failed(&format!("read of {path}"), &error),
        }
    }

    /// While DHT moves a file it answers a write with the sum of both sizes; EC looks without a lock, and
    /// where the bricks do not agree at that moment it takes the answer of any, even one that missed
    /// a write. Caches keep that for a second.
    fn is_right_soon(&self, at: &Path, path: &str) -> bool {
        let start = Instant::now();
        while start.elapsed() < CACHED {
            if fs::read(at).is_ok_and(|bytes| self.tree.images[path].holds(at, &bytes).is_ok()) {
                return true;
            }
            thread::sleep(CACHED / 20);
        }
        false
    }

    /// An image that is known, and of which that is true.
    fn any(&mut self, wanted: impl Fn(&Image) -> bool) -> Option<String> {
        let images = self.tree.images.iter();
        let known = images.filter(|(path, image)| wanted(image) && !self.in_doubt(path));
        let known: Vec<&String> = known.map(|(path, _)| path).collect();
        match known.len() {
            0 => None,
            count => Some(known[self.random.below(count)].clone()),
        }
    }

    /// A place for an image: it may be taken.
    fn place(&mut self) -> Option<String> {
        let inside = self.random.below(2) == 0;
        let path = match self.any_dir().filter(|_| inside) {
            Some(dir) => format!("{dir}/f{}", self.random.below(INSIDE)),
            None => format!(
                "{}/{}{}",
                self.home(),
                self.letter,
                self.random.below(NAMES)
            ),
        };
        (!self.in_doubt(&path)).then_some(path)
    }

    fn free(&mut self) -> Option<String> {
        self.place()
            .filter(|path| !self.tree.images.contains_key(path))
    }

    fn any_dir(&mut self) -> Option<String> {
        let dirs: Vec<&String> = self.tree.dirs.iter().collect();
        let dirs: Vec<_> = dirs.into_iter().filter(|dir| !self.in_doubt(dir)).collect();
        match dirs.len() {
            0 => None,
            count => Some(dirs[self.random.below(count)].clone()),
        }
    }

    /// Whether something above, below or at that path is in doubt.
    fn in_doubt(&self, path: &str) -> bool {
        let mut touched = self.doubts.iter().flat_map(Doubt::touches);
        touched.any(|other| other == path || below(other, path) || below(path, other))
    }

    /// Something that makes sense now.
    fn choose(&mut self) -> Option<Work> {
        if self.doubts.len() >= DOUBTS {
            return None;
        }
        match self.random.below(17) {
            0 | 1 => return Some(Work::Create(self.free()?)),
            2 => return Some(Work::Clone(self.any(|_| true)?, self.free()?)),
            3 | 4 => return Some(Work::Snapshot(self.any(|_| true)?, self.free()?)),
            5 | 6 => {
                let (from, to) = (self.any(|_| true)?, self.place()?);
                let replaces = self.tree.images.contains_key(&to);
                let goes = from != to && (self.replaces || !replaces);
                return goes.then_some(Work::Rename(from, to));
            }
            7 => return Some(Work::Remove(self.any(|_| true)?)),
            8 | 9 => return self.merge(),
            10 => return self.dirs(),
            11 => {
                let path = self.any(Image::is_known)?;
                return Some(Work::Resize(path, self.random.below(SIZE)));
            }
            _ => {}
        }
        Some(Work::Write {
            path: self.any(Image::is_known)?,
            at: self.random.below(SIZE),
            len: 1 + self.random.below(20_000),
            seed: self.random.below(1 << 30) as u64,
        })
    }

    fn merge(&mut self) -> Option<Work> {
        if !self.merges {
            return None;
        }
        let there: BTreeSet<u64> = self.tree.images.values().map(|image| image.id).collect();
        let snapshot = self.any(|image| image.origin.is_some_and(|id| there.contains(&id)))?;
        let origin = self.tree.images[&snapshot].origin?;
        let origin = self.tree.path_of(origin)?.clone();
        (!self.in_doubt(&origin)).then_some(Work::Merge { snapshot, origin })
    }

    fn dirs(&mut self) -> Option<Work> {
        let name = format!(
            "{}/{}d{}",
            self.home(),
            self.letter,
            self.random.below(DIRS)
        );
        let there = self.tree.dirs.contains(&name);
        if self.in_doubt(&name) {
            return None;
        }
        if !there {
            let other = self
                .any_dir()
                .filter(|dir| self.renames_dirs && !dir.ends_with("/e"));
            return Some(match other.filter(|_| self.random.below(2) == 0) {
                Some(dir) => Work::RenameDir(dir, name),
                None => Work::MakeDir(name),
            });
        }
        let inner = format!("{name}/e");
        match self.random.below(3) {
            0 if !self.tree.dirs.contains(&inner) => Some(Work::MakeDir(inner)),
            1 => Some(Work::RemoveTree(name)),
            _ => None,
        }
    }

    /// Heal has made the volumes of a brick anew, which are no snapshots. With the bricks that know better
    /// gone one after the other, nobody does.
    pub(super) fn forget_origins(&mut self) {
        for image in self.tree.images.values_mut() {
            image.origin = None;
        }
    }

    /// Whether nobody knows the end of a write or merge: caches of clients may have other bytes.
    pub(super) fn doubts_bytes(&self) -> bool {
        let mut doubts = self.doubts.iter();
        doubts.any(|doubt| matches!(doubt, Doubt::Work(Work::Write { .. } | Work::Merge { .. })))
    }

    /// After all has healed: finds out how what was in doubt has ended.
    pub(super) fn settle(&mut self, top: &Path) -> Result<()> {
        for doubt in std::mem::take(&mut self.doubts) {
            let failed = || format!("{:?} had failed", doubt.touches());
            self.resolve(top, &doubt).with_context(failed)?;
        }
        Ok(())
    }

    /// Compares all with what was acknowledged. Answers how many images were looked at.
    pub(super) fn verify(&mut self, top: &Path) -> Result<u64> {
        let mut count = 0;
        for (path, image) in &mut self.tree.images {
            let at = top.join(path);
            let bytes = fs::read(&at).with_context(|| format!("cannot read {path}"))?;
            image.holds(&at, &bytes)?;
            image.bytes = Bytes::Known(bytes);
            count += 1;
        }
        Ok(count)
    }

    /// Removes all that it has.
    pub(super) fn remove_all(&self, top: &Path) -> std::io::Result<()> {
        for dir in self.tree.dirs.iter().filter(|dir| !dir.ends_with("/e")) {
            remove_tree(&top.join(dir))?;
        }
        fs::remove_dir_all(top.join(self.home()))
    }

    /// The paths of its images and its directories.
    pub(super) fn paths(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let images = self.tree.images.keys().cloned().collect();
        (images, self.tree.dirs.clone())
    }

    fn resolve(&mut self, top: &Path, doubt: &Doubt) -> Result<()> {
        let there = |path: &String| fs::symlink_metadata(top.join(path)).is_ok();
        let size = |path: &String| fs::symlink_metadata(top.join(path)).map(|meta| meta.len());
        let work = match doubt {
            Doubt::Work(work) => work,
            Doubt::Copy(path, bytes, origin) => {
                if is_whole(&top.join(path))? {
                    self.tree.insert(path, bytes.clone(), *origin);
                }
                return Ok(());
            }
        };
        let done = match work {
            Work::Create(path) | Work::MakeDir(path) => there(path),
            Work::Clone(..) | Work::Snapshot(..) => bail!("its source is not known"),
            Work::Remove(path) => !there(path),
            Work::RemoveTree(path) => {
                if there(path) {
                    remove_tree(&top.join(path))?;
                }
                true
            }
            Work::RenameDir(from, to) | Work::Rename(from, to) => {
                let was_there = self.tree.images.contains_key(to);
                match (there(from), there(to)) {
                    (true, now) if now == was_there => false,
                    (false, true) => true,
                    seen => bail!("(from, to) are there: {seen:?}"),
                }
            }
            Work::Resize(path, to) => size(path)? == *to as u64,
            Work::Write { path, .. } => return self.adopt_write(top, path, work),
            Work::Merge { snapshot, origin } => {
                return self.adopt_merge(top, snapshot, origin, work);
            }
        };
        if done {
            self.tree.apply(work);
        }
        Ok(())
    }

    /// The kernel sends a write in pieces; each may have come through or not.
    fn adopt_write(&mut self, top: &Path, path: &str, work: &Work) -> Result<()> {
        let found = fs::read(top.join(path)).with_context(|| path.to_owned())?;
        let before = self.tree.images[path].known()?.clone();
        let mut after = self.tree.clone();
        after.apply(work);
        let after = after.images[path].known()?.clone();
        let old = |at: usize| before.get(at).copied().unwrap_or_default();
        let mixed = (before.len()..=after.len()).contains(&found.len())
            && (found.iter().enumerate()).all(|(at, byte)| *byte == after[at] || *byte == old(at));
        ensure!(mixed, "{path} is neither as before nor as after");
        if let Some(image) = self.tree.images.get_mut(path) {
            image.bytes = Bytes::Known(found);
        }
        Ok(())
    }

    /// All of it was done, or nothing; the snapshot's name may be left.
    fn adopt_merge(&mut self, top: &Path, snapshot: &str, origin: &str, work: &Work) -> Result<()> {
        let paths = [top.join(snapshot), top.join(origin)];
        let old = [snapshot, origin].map(|path| self.tree.images[path].clone());
        let found = fs::read(&paths[1]).with_context(|| format!("cannot read {origin}"))?;
        let left = paths[0].exists();
        let unchanged = old[1].holds(&paths[1], &found);
        let merged = old[0].holds(&paths[1], &found);
        if let (true, Ok(())) = (left, &unchanged) {
            return Ok(());
        }
        if let Err(error) = merged {
            bail!(
                "{origin} is neither as before ({:?}) nor as {snapshot} ({error:#}), which is {}",
                unchanged.err(),
                if left { "there" } else { "gone" }
            );
        }
        if left {
            fs::remove_file(&paths[0])?;
        }
        self.tree.apply(work);
        Ok(())
    }
}

/// A copy that was cut off may be left as a file without bytes, which goes by itself after a while.
fn is_whole(path: &Path) -> Result<bool> {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return Ok(false);
    };
    if meta.len() == 0 {
        fs::remove_file(path).with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(meta.len() != 0)
}

impl Image {
    fn is_known(&self) -> bool {
        matches!(self.bytes, Bytes::Known(_))
    }

    fn known(&self) -> Result<&Vec<u8>> {
        match &self.bytes {
            Bytes::Known(bytes) => Ok(bytes),
            Bytes::Of(_) => bail!("a copy of a register was written to"),
        }
    }

    fn holds(&self, path: &Path, found: &[u8]) -> Result<()> {
        match &self.bytes {
            Bytes::Known(bytes) => same(path, 0, found, bytes),
            Bytes::Of(moment) => moment
                .verify(found)
                .map(drop)
                .with_context(|| path.display().to_string()),
        }
    }
}
