//! The consistency check: does every name have its volume and every volume its name?

use std::collections::HashMap;
use std::path::Path;

use bd_model::Gfid;
use bd_proto::{Fault, Finding, FindingKind};

use super::config::BrickConfig;
use super::intent::Intents;
use super::namespace::{Mark, Namespace, Stub, mark_of};
use super::{Brick, canonical, lock};
use crate::engine::{Engine, Volume};
use crate::engines::Engines;

/// Checks a brick that is not attached.
pub fn check(dir: &Path, engines: &dyn Engines) -> Result<Vec<Finding>, Fault> {
    let dir = canonical(dir)?;
    let config = BrickConfig::load_known(&dir)?;
    let _lock = lock(&dir)?;
    let engine = engines.open(&config.engine)?;
    findings(&dir, &*engine)
}

impl Brick {
    /// Checks this brick, between its requests.
    pub fn check(&self) -> Result<Vec<Finding>, Fault> {
        let _alone = self
            .quiet
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        findings(&self.dir, &*self.engine)
    }
}

fn findings(dir: &Path, engine: &dyn Engine) -> Result<Vec<Finding>, Fault> {
    let namespace = Namespace::new(dir);
    let intents = Intents::peek(dir)?;
    let mut volumes: HashMap<Gfid, Volume> = engine
        .volumes()?
        .into_iter()
        .filter_map(|volume| volume.gfid.map(|gfid| (gfid, volume)))
        .collect();
    let mut findings = Vec::new();
    let mut find = |kind, gfid, message| {
        findings.push(Finding {
            kind,
            gfid: Some(gfid),
            message,
        });
    };
    namespace.each_stub(|gfid, stub| {
        let volume = volumes.remove(&gfid);
        for (kind, message) in judge(gfid, &stub, volume.as_ref()) {
            find(kind, gfid, message);
        }
        Ok(())
    })?;
    for (gfid, volume) in volumes {
        if !intents.contains_key(&gfid) {
            let message = format!("volume {} of image {gfid} has no stub", volume.name);
            find(FindingKind::NoStub, gfid, message);
        }
    }
    namespace.each_without_handle(|gfid, path| {
        if mark_of(path)? != Mark::Plain {
            let message = format!("{} has no handle for image {gfid}", path.display());
            find(FindingKind::NoName, gfid, message);
        }
        Ok(())
    })?;
    for (gfid, intent) in intents {
        let message = format!("an operation on image {gfid} was not finished: {intent:?}");
        find(FindingKind::Intent, gfid, message);
    }
    findings.sort_by(|a, b| a.message.cmp(&b.message));
    Ok(findings)
}

fn judge(gfid: Gfid, stub: &Stub, volume: Option<&Volume>) -> Vec<(FindingKind, String)> {
    let mut found = Vec::new();
    let path = stub.path.display();
    match (&stub.mark, volume) {
        (Mark::Plain, None) => return found,
        (Mark::Plain, Some(volume)) => found.push((
            FindingKind::NoStub,
            format!(
                "volume {} has the gfid of the plain file {path}",
                volume.name
            ),
        )),
        (Mark::Pending, _) => found.push((
            FindingKind::Pending,
            format!("{path} is the destination of a copy that was not finished"),
        )),
        (Mark::Unknown(mark), _) => found.push((
            FindingKind::Mark,
            format!("{path} has the mark {mark:?}, which this version cannot read"),
        )),
        (Mark::Image(_), None) => found.push((
            FindingKind::NoVolume,
            format!("{path} is marked as an image, but {gfid} has no volume"),
        )),
        (Mark::Image(kind), Some(volume)) => {
            if volume.kind != *kind {
                found.push((
                    FindingKind::Kind,
                    format!(
                        "{path} says {kind}, but volume {} is {}",
                        volume.name, volume.kind
                    ),
                ));
            }
            if volume.size.0 < stub.size {
                found.push((
                    FindingKind::TooSmall,
                    format!(
                        "{path} has {} bytes, but volume {} holds only {}",
                        stub.size, volume.name, volume.size.0
                    ),
                ));
            }
        }
    }
    if stub.names == 0 {
        found.push((FindingKind::NoName, format!("{path} has no name")));
    }
    found
}
