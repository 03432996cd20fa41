//! Workers who change images, and tell a recorded disk what they begin and what was acknowledged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use loopdev::{Kind, Record, RecordedDisk};
use nix::libc;

use super::work::{Files, Work};
use crate::images::model::Random;

/// Refused, and nothing was done: a copy-on-write snapshot has no snapshots and no merge, and holds the size
/// of its origin.
const REFUSALS: [i32; 3] = [libc::EOPNOTSUPP, libc::EBUSY, libc::EINVAL];

/// What one worker has done, in its order.
#[derive(Debug)]
pub(super) struct Worker {
    number: usize,
    /// Its directory in the top image directory; empty for that itself.
    pub(super) place: PathBuf,
    random: Random,
    files: Files,
    done: Vec<Work>,
}

/// What is known of the files of a worker at the moment of a cut.
#[derive(Debug)]
pub(super) struct Known {
    /// After all that was acknowledged.
    pub(super) files: Files,
    /// What was asked for and not answered.
    pub(super) doubt: Option<Work>,
    /// The operations before that, the last few of them.
    pub(super) last: Vec<Work>,
}

impl Worker {
    pub(super) fn new(number: usize, place: &str, seed: u64) -> Worker {
        Worker {
            number,
            place: place.into(),
            random: Random::new(seed * 1000 + number as u64),
            files: Files::default(),
            done: Vec::new(),
        }
    }

    /// Works for a while below `top`.
    pub(super) fn work(&mut self, top: &Path, disk: &RecordedDisk, length: Duration) -> Result<()> {
        let dir = top.join(&self.place);
        let start = Instant::now();
        while start.elapsed() < length {
            let work = Work::choose(&self.files, &mut self.random);
            if work.is_possible(&self.files) {
                self.act(work, &dir, disk)?;
            }
        }
        Ok(())
    }

    /// Does one thing in its directory, with marks before and after it. Gives the marks.
    pub(super) fn act(
        &mut self,
        work: Work,
        dir: &Path,
        disk: &RecordedDisk,
    ) -> Result<(String, String)> {
        let count = self.done.len();
        let mark = |what: &str| format!("{what}.{}.{count}", self.number);
        disk.mark(&mark("begun"))?;
        let outcome = work.run(dir);
        let end = match &outcome {
            Ok(()) => mark("done"),
            Err(error)
                if error
                    .raw_os_error()
                    .is_some_and(|it| REFUSALS.contains(&it)) =>
            {
                mark("refused")
            }
            Err(error) => bail!("{work:?} in {}: {error}", dir.display()),
        };
        disk.mark(&end)?;
        let begun = mark("begun");
        if outcome.is_ok() {
            self.files.apply(&work);
        }
        self.done.push(work);
        Ok((begun, end))
    }

    /// How much it has done.
    pub(super) fn count(&self) -> usize {
        self.done.len()
    }

    /// What is known of its files when so many records last.
    pub(super) fn known(&self, marks: &Marks, at: usize) -> Known {
        let mut files = Files::default();
        let last = |end: usize| self.done[end.saturating_sub(8)..end].to_vec();
        for (count, work) in self.done.iter().enumerate() {
            let of = |what: &str| marks.is_before(&format!("{what}.{}.{count}", self.number), at);
            if of("done") {
                files.apply(work);
            } else if of("begun") && !of("refused") {
                let doubt = Some(work.clone());
                let last = last(count);
                return Known { files, doubt, last };
            }
        }
        Known {
            files,
            doubt: None,
            last: last(self.done.len()),
        }
    }
}

/// Where in a log the marks are.
#[derive(Debug)]
pub(super) struct Marks(BTreeMap<String, usize>);

impl Marks {
    pub(super) fn of(records: &[Record]) -> Marks {
        let places = records.iter().enumerate();
        Marks(
            places
                .filter_map(|(place, record)| match &record.kind {
                    Kind::Mark(text) => Some((text.clone(), place)),
                    _ => None,
                })
                .collect(),
        )
    }

    pub(super) fn place(&self, mark: &str) -> Result<usize> {
        self.0
            .get(mark)
            .copied()
            .with_context(|| format!("no mark {mark}"))
    }

    fn is_before(&self, mark: &str, at: usize) -> bool {
        self.0.get(mark).is_some_and(|place| *place < at)
    }
}
