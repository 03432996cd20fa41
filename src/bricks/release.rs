//! Taking a brick apart: the VG or store is free again, and every volume stays.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use bd_durable::failpoint;
use bd_engine::Engine;
use bd_engine::{Engines, place};
use bd_model::LvName;
use bd_proto::{Fault, FaultKind, Released, seal};

use super::config::{BrickConfig, FOLDER};
use super::intent::Intents;
use super::{Attach, Brick, canonical, info, lock, open_engine};

/// Releases a brick that is not attached.
///
/// With `keep` its images stay as volumes without names, else a brick that has images is refused.
pub fn release(dir: &Path, keep: bool, engines: &dyn Engines) -> Result<Released, Fault> {
    let dir = canonical(dir)?;
    let mut config = BrickConfig::load_known(&dir)?;
    if let Some(volume) = config.volume {
        let how = Attach {
            volume,
            fresh: true,
            heals: true,
            epoch: 0,
        };
        return Brick::attach(&dir, how, engines)?.take_apart(keep);
    }
    let _lock = lock(&dir)?;
    let engine = open_engine(&dir, &mut config, engines)?;
    take_apart(&dir, &config, &engine, keep)
}

impl Brick {
    /// As [`release`], of a brick which is attached, but whose process has ended.
    ///
    /// What that has left is settled first, as if it started again: when its bricks are taken from a volume
    /// (`remove-brick`), none ever does, and an image that was open when it was removed would stay.
    pub fn release(&self, keep: bool) -> Result<Released, Fault> {
        let _alone = self.quiet.write().unwrap_or_else(PoisonError::into_inner);
        self.intents.read_again()?;
        self.reconcile(&|_, _| ())?;
        self.take_apart(keep)
    }

    fn take_apart(&self, keep: bool) -> Result<Released, Fault> {
        take_apart(&self.dir, &self.config, &self.engine, keep)
    }
}

fn take_apart(
    dir: &Path,
    config: &BrickConfig,
    engine: &Arc<dyn Engine>,
    keep: bool,
) -> Result<Released, Fault> {
    let where_ = place(&config.engine);
    let volumes = engine.volumes()?.into_iter();
    let kept: Vec<LvName> = volumes
        .filter(|volume| volume.gfid.is_some())
        .map(|volume| volume.name)
        .collect();
    let begun = Intents::peek(dir)?.len();
    if !keep && (!kept.is_empty() || begun > 0) {
        let few: Vec<&str> = kept.iter().take(5).map(LvName::as_str).collect();
        let more = if kept.len() > few.len() { ", ..." } else { "" };
        let what = match few.is_empty() {
            true => "operations on it that are not finished; start it once".to_owned(),
            false => format!(
                "images, which would stay in {where_}: {}{more}",
                few.join(", ")
            ),
        };
        return Err(Fault::new(
            FaultKind::InUse,
            format!(
                "brick {} has {what}; delete them first, or keep what is there: gluster-bd brick \
                 remove --keep {0}",
                dir.display()
            ),
        ));
    }
    // In this order: a brick that has lost its claim takes it again when it starts, and can be
    // released once more; a claim without its brick would be nobody's.
    engine.release(config.id)?;
    failpoint::reach("release.released");
    forget(dir).map_err(|error| {
        let folder = dir.join(FOLDER);
        let message = format!("cannot remove {}: {error}", folder.display());
        Fault::new(FaultKind::Failed, message)
    })?;
    tracing::info!("brick {} in {} is released", config.id, dir.display());
    let mut brick = info(config, &**engine);
    brick.volume = None;
    Ok(Released { brick, kept })
}

/// Removes the brick's own folder, its configuration first.
fn forget(dir: &Path) -> io::Result<()> {
    let folder = dir.join(FOLDER);
    let configuration = BrickConfig::path(dir);
    seal::unseal(dir)?;
    bd_durable::remove(&configuration)?;
    fs::remove_dir_all(&folder)?;
    bd_durable::sync_parent(&folder)
}
