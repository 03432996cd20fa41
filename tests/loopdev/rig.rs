//! The rig itself: owns what a test makes and takes it down.

use std::fs;
use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::place::{self, Place};
use crate::{evidence, leftover, sweep};

type Undo = Box<dyn FnOnce() -> Result<()>>;

/// What one test has made, in the order it was made.
pub struct Rig {
    prefix: String,
    dir: PathBuf,
    undo: Vec<(String, Undo)>,
}

impl std::fmt::Debug for Rig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rig")
            .field("prefix", &self.prefix)
            .field("dir", &self.dir)
            .finish()
    }
}

/// Runs a test body on a fresh rig. Panics when the body fails or panics, when something cannot
/// be taken down, or when something is left behind afterwards.
pub fn run(name: &str, place: Place, body: impl FnOnce(&mut Rig) -> Result<()>) {
    if let Err(error) = place.check() {
        panic!("{name}: {error:#}");
    }
    let mut rig = match Rig::new() {
        Ok(rig) => rig,
        Err(error) => panic!("{name}: cannot start: {error:#}"),
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| body(&mut rig)));
    let mut problems = Vec::new();
    if let Ok(Err(error)) = &outcome {
        problems.push(format!("{error:#}"));
    }
    let mut kept = None;
    if !matches!(outcome, Ok(Ok(()))) {
        kept = Some(evidence::collect(name, &rig.dir));
    }
    problems.extend(rig.take_down());
    problems.extend(leftover::find(&rig.prefix, &rig.dir));
    if kept.is_none() && !problems.is_empty() {
        kept = Some(evidence::collect(name, &rig.dir));
    }
    if let Err(error) = fs::remove_dir_all(&rig.dir) {
        problems.push(format!("cannot remove {}: {error}", rig.dir.display()));
    }
    if let Some(folder) = kept {
        eprintln!("{name} failed; evidence is kept in {folder}");
    }
    match outcome {
        Err(panic) => {
            for problem in &problems {
                eprintln!("{name}: also: {problem}");
            }
            resume_unwind(panic)
        }
        Ok(_) if !problems.is_empty() => panic!("{name}: {}", problems.join("\nalso: ")),
        Ok(_) => {}
    }
}

impl Rig {
    fn new() -> Result<Self> {
        sweep::sweep()?;
        let mut bytes = [0; 4];
        fs::File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut bytes))
            .context("cannot read /dev/urandom")?;
        let prefix = format!("gbt_{:08x}", u32::from_ne_bytes(bytes));
        let dir = place::scratch()?.join(&prefix);
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Self {
            prefix,
            dir,
            undo: Vec::new(),
        })
    }

    /// The prefix of all names of this rig: `gbt_<8 hex>`.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A name of this rig: prefix, `_`, `part`.
    pub fn name(&self, part: &str) -> String {
        format!("{}_{part}", self.prefix)
    }

    /// This rig's scratch folder; it is removed at the end.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes a folder in the scratch folder, and its parents.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Registers how to undo something. Steps run last first, each even if another failed, and
    /// must be no error where the test undid the thing itself.
    pub fn on_teardown(
        &mut self,
        what: impl Into<String>,
        undo: impl FnOnce() -> Result<()> + 'static,
    ) {
        self.undo.push((what.into(), Box::new(undo)));
    }

    fn take_down(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        while let Some((what, undo)) = self.undo.pop() {
            match catch_unwind(AssertUnwindSafe(undo)) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => problems.push(format!("cannot take down {what}: {error:#}")),
                Err(_) => problems.push(format!("taking down {what} panicked")),
            }
        }
        problems
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for problem in self.take_down() {
            eprintln!("{}: {problem}", self.prefix);
        }
    }
}
