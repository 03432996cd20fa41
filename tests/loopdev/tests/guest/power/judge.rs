//! What must be there after a cut.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::load::Known;
use super::work::{Files, Image, Work};

/// Compares the files of a worker with what is known of them; gives their number. What was not
/// acknowledged may have happened or not.
pub(super) fn judge(dir: &Path, known: &Known) -> Result<usize> {
    let found = read(dir)?;
    let Err(before) = same(&found, &known.files) else {
        return Ok(found.len());
    };
    let Some(doubt) = &known.doubt else {
        bail!("{}: {before}", dir.display());
    };
    let mut after = known.files.clone();
    match doubt {
        // Parts of it may be there.
        Work::Write { name, .. } => after.apply(&loosely(doubt, name)),
        _ => after.apply(doubt),
    }
    match same(&found, &after) {
        Ok(()) => Ok(found.len()),
        Err(after) => bail!(
            "{}: {doubt:?}, of which nobody was told, left neither what was before ({before}) nor \
             what is after it ({after})",
            dir.display()
        ),
    }
}

/// The same write without a promise.
fn loosely(work: &Work, name: &str) -> Work {
    match work {
        Work::Write { at, seed, .. } => Work::Write {
            name: name.to_owned(),
            at: *at,
            seed: *seed,
            synced: super::work::Synced::Not,
        },
        other => other.clone(),
    }
}

fn same(found: &BTreeMap<String, Vec<u8>>, expected: &Files) -> Result<(), String> {
    if !found.keys().eq(expected.images.keys()) {
        return Err(format!(
            "{:?}, expected {:?}",
            found.keys().collect::<Vec<_>>(),
            expected.images.keys().collect::<Vec<_>>()
        ));
    }
    for (name, bytes) in found {
        let image: &Image = &expected.images[name];
        image
            .allows(bytes)
            .map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(())
}

/// The files of a directory, but not its directories.
fn read(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            continue;
        }
        let path = entry.path();
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        found.insert(entry.file_name().to_string_lossy().into_owned(), bytes);
    }
    Ok(found)
}
