//! Bricks of the BD translator that GlusterFS 3.5 to 5 had, and how they become ours.
//!
//! There, a file is an image if it has the mark `lv:BYTES` or `thin:BYTES`, and its bytes are those of the
//! LV that has its gfid as name; it is as large as that LV. The file itself is mostly empty. The VG has a
//! tag with the volume's identity, LVs have none.
//!
//! An image is taken over in three steps, each of which is done or not: the LV gets its tag, the stub its
//! size, and last its mark the form that has no size. The brick's configuration, without which nobody serves
//! it, comes when that is done for all. No LV changes its name, its size or a byte.

mod change;
mod file;
mod judge;

use std::collections::HashSet;
use std::path::Path;

use bd_engine::Standing;
use bd_engine::{Engines, place};
use bd_model::LvName;
use bd_proto::{Adoption, BrickSpec, Fault, FaultKind, OldVolume, seal};

use self::change::take;
use self::file::{OldFile, OldMark, files, mark_of};
use self::judge::{Found, Group};
use super::config::BrickConfig;
use super::init::{Wanted, check_directory};
use super::namespace::Namespace;
use super::of_another_volume;

/// Looks what an old brick holds, and, with `really`, makes it ours, unless something in it does not fit:
/// then nothing is changed.
pub fn take_over(spec: &BrickSpec, really: bool, engines: &dyn Engines) -> Result<Adoption, Fault> {
    let wanted = Wanted::of(spec, engines)?;
    if let Some(present) = BrickConfig::load(&wanted.dir)?
        && present.volume.is_some()
    {
        return Err(of_another_volume(&wanted.dir, present.volume));
    }
    wanted.check()?;
    let namespace = Namespace::new(&wanted.dir);
    let inventory = wanted.engine.inventory()?;
    let found = survey(&wanted.dir, &namespace, &wanted, &inventory)?;
    let mut adoption = Adoption {
        refused: against(&wanted.dir, &wanted.config.top),
        others: others(&inventory, &found, &wanted.config.top),
        images: found.iter().map(|found| found.told.clone()).collect(),
        brick: None,
    };
    if !really || !adoption.fits() {
        return Ok(adoption);
    }
    let dir = wanted.dir.clone();
    check_directory(&dir)?;
    let brick = wanted.make(engines, &|engine| {
        for found in &found {
            take(&namespace, engine, found)?;
        }
        // All of it, before anybody serves the brick.
        namespace.sync()
    })?;
    // A GlusterFS without our translator would serve the stubs as files of zeros.
    seal::seal(&dir).map_err(|error| {
        let message = format!("cannot seal {}: {error}", dir.display());
        Fault::new(FaultKind::Failed, message)
    })?;
    adoption.brick = Some(brick);
    Ok(adoption)
}

/// Refuses to make an old brick a new one, which would show its LVs beside the names that they have there.
pub(super) fn refuse(dir: &Path) -> Result<(), Fault> {
    let is_old = |mark: &OldMark| matches!(mark, OldMark::Image { size: Some(_), .. });
    Namespace::new(dir).each_file(|path, _| match is_old(&mark_of(path)?) {
        false => Ok(()),
        true => Err(Fault::new(
            FaultKind::InUse,
            format!(
                "{} has images of the BD translator that GlusterFS 3.5 to 5 had, such as {}; take them \
                 over: gluster-bd adopt {0} --vg VG",
                dir.display(),
                path.display()
            ),
        )),
    })
}

/// The images of the brick, in the order of their names.
fn survey(
    dir: &Path,
    namespace: &Namespace,
    wanted: &Wanted,
    inventory: &[Standing],
) -> Result<Vec<Found>, Fault> {
    let files: Vec<OldFile> = files(dir, namespace)?;
    let place = match &wanted.config.engine {
        bd_proto::EngineSpec::Lvm { vg, .. } => vg.to_string(),
        other @ bd_proto::EngineSpec::File { .. } => place(other),
    };
    let pool = match &wanted.config.engine {
        bd_proto::EngineSpec::Lvm { pool, .. } => pool.as_ref(),
        bd_proto::EngineSpec::File { .. } => None,
    };
    let group = Group::new(&place, pool, inventory, &files);
    let mut found: Vec<Found> = Vec::new();
    for file in &files {
        found.extend(group.judge(file, namespace)?);
    }
    found.sort_by(|a, b| a.told.path.cmp(&b.told.path));
    Ok(found)
}

/// What stands against the brick as a whole.
fn against(dir: &Path, top: &str) -> Vec<String> {
    let mut refused = Vec::new();
    if let Some(pid) = served_by(dir) {
        refused.push(format!(
            "{} is served by a brick process ({pid}); stop its volume first: gluster volume stop",
            dir.display()
        ));
    }
    let path = dir.join(top);
    if path.symlink_metadata().is_ok() {
        refused.push(format!(
            "{} is there already; choose another name for the directory of new images with --top",
            path.display()
        ));
    }
    refused
}

/// The process that serves a directory as a brick, by its command line.
fn served_by(dir: &Path) -> Option<u32> {
    let processes = std::fs::read_dir("/proc").ok()?;
    let serves = |pid: u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let mut words = line.split(|byte| *byte == 0);
        words.find(|word| *word == b"--brick-name")?;
        let named = Path::new(std::str::from_utf8(words.next()?).ok()?);
        (named == dir || named.canonicalize().is_ok_and(|named| named == dir)).then_some(pid)
    };
    let mut pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.find_map(serves)
}

/// The volumes that no file leads to.
fn others(inventory: &[Standing], found: &[Found], top: &str) -> Vec<OldVolume> {
    let taken: HashSet<&LvName> = found.iter().filter_map(|it| it.told.lv.as_ref()).collect();
    let rest = inventory
        .iter()
        .filter(|it| !taken.contains(&it.volume.name));
    let told = rest.map(|standing| {
        let Standing {
            volume,
            open,
            hidden,
        } = standing;
        let what = match (hidden, open, volume.gfid) {
            (true, _, _) => "hidden".to_owned(),
            (_, true, _) => "in use, and not shown as long as it is".to_owned(),
            (_, _, Some(gfid)) => format!("of image {gfid}, which has no file here"),
            (_, _, None) => format!("shown as the file /{top}/{}", volume.name),
        };
        OldVolume {
            lv: volume.name.clone(),
            size: volume.size,
            what,
        }
    });
    told.collect()
}
