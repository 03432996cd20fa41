//! A check of a volume that sees all of its bricks, on whatever hosts, through Gluster.

mod bricks;
mod hosts;
mod judge;
mod seen;

use std::collections::{BTreeMap, BTreeSet};

use gfapi::FileKind;

use self::bricks::{Group, groups};
use self::seen::{Seen, look, walk};
use crate::CliError;
use crate::context::Context;
use crate::health::{Finding, Found};
use crate::image::Session;
use crate::volfile::Volfile;

/// Checks a volume. What is found of a file is looked at twice, as others may be at work on it.
pub(crate) fn check(context: &Context, volume: &str) -> Result<Vec<Finding>, CliError> {
    let session = Session::open(context, volume)?;
    let volfile: Volfile = session.files.volfile()?.parse().map_err(|error| {
        CliError::Failed(format!("cannot read the volfile of {volume}: {error}"))
    })?;
    let groups = groups(context, &volfile)?;
    let mut found = judge::options(volume, &volfile);
    found.extend(judge::bricks(volume, &groups));
    for group in &groups {
        found.extend(names(volume, group)?);
    }
    Ok(found.into_iter().map(|one| one.settle(false)).collect())
}

/// What is wrong with names of a group, below its top directories.
fn names(volume: &str, group: &Group) -> Result<Vec<Found>, CliError> {
    let tops: BTreeSet<&String> = group.bricks.iter().filter_map(|b| b.top.as_ref()).collect();
    let mut paths = BTreeSet::new();
    // The files of the arbiter, by their inodes.
    let mut arbitrated: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for brick in &group.bricks {
        for top in &tops {
            let top = format!("/{top}");
            if let Some(files) = &brick.files {
                match walk(files, &top) {
                    Ok(found) => {
                        let files = found
                            .iter()
                            .filter(|(_, stat)| stat.kind == FileKind::Regular);
                        for (path, stat) in files.filter(|_| brick.is_arbiter) {
                            arbitrated.entry(stat.inode).or_default().push(path.clone());
                        }
                        paths.extend(found.into_keys());
                    }
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error.into()),
                }
            }
            paths.insert(top);
        }
    }
    let twins = arbitrated.values().flat_map(|names| {
        let twin = |name| names.iter().find(|other| *other != name);
        names
            .iter()
            .filter_map(move |name| Some((name, twin(name)?.as_str())))
    });
    let twins: BTreeMap<&String, &str> = twins.collect();
    let mut found = Vec::new();
    for path in paths {
        let twin = twins.get(&path).copied();
        let first = judge::path(volume, group, &path, &seen(group, &path)?, twin);
        if !first.is_empty() {
            let second = judge::path(volume, group, &path, &seen(group, &path)?, twin);
            found.extend(second.into_iter().filter(|one| first.contains(one)));
        }
    }
    Ok(found)
}

/// What each brick of a group has at a path; the outer none where a brick does not answer.
fn seen(group: &Group, path: &str) -> Result<Vec<Option<Option<Seen>>>, CliError> {
    let mut all = Vec::new();
    for brick in &group.bricks {
        all.push(match &brick.files {
            Some(files) => Some(look(files, path, &group.blames)?),
            None => None,
        });
    }
    Ok(all)
}
