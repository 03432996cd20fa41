//! The consistency check: does every name have its volume and every volume its name?

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use bd_engine::Engines;
use bd_engine::{BackingVolume, Engine};
use bd_model::{Bytes, DirPolicy, Gfid, ImageKind, LvName};
use bd_proto::{Fault, Finding, FindingKind};

use super::attributes::{Mark, mark_of};
use super::config::BrickConfig;
use super::intent::{Intent, Intents};
use super::namespace::{Namespace, Stub};
use super::{Brick, Room, canonical, lock, lv_name, open_engine};

/// Checks a brick that is not attached; with `repair`, mends what can be mended without a loss.
pub fn check(dir: &Path, engines: &dyn Engines, repair: bool) -> Result<Vec<Finding>, Fault> {
    let dir = canonical(dir)?;
    let mut config = BrickConfig::load_known(&dir)?;
    let _lock = lock(&dir)?;
    let engine = open_engine(&dir, &mut config, engines)?;
    Inspection::new(&dir, &config, &*engine, repair)?.findings()
}

impl Brick {
    /// Checks this brick, between its requests; with `repair`, mends what can be mended without
    /// a loss.
    pub fn check(&self, repair: bool) -> Result<Vec<Finding>, Fault> {
        let _alone = self
            .quiet
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let inspection = Inspection::new(&self.dir, &self.config, &*self.engine, repair)?;
        let heals = self.heals.load(Ordering::Relaxed);
        Inspection {
            heals: Some(heals),
            ..inspection
        }
        .findings()
    }
}

/// What can be mended without a loss. Nothing here removes a volume or a file.
enum Mend {
    /// The volume grows to hold so many bytes.
    Grow(Bytes),
    /// The stub says the kind that the volume is of.
    Mark,
    /// The file gets its handle again.
    Handle,
    /// The volume gets the name of its file.
    Rename(LvName),
}

/// What is wrong with one image, and how that is mended.
struct Fact {
    kind: FindingKind,
    message: String,
    mend: Option<Mend>,
}

impl Fact {
    fn new(kind: FindingKind, message: String) -> Fact {
        Fact {
            kind,
            message,
            mend: None,
        }
    }

    fn mended_by(self, mend: Mend) -> Fact {
        Fact {
            mend: Some(mend),
            ..self
        }
    }
}

/// A check that is under way.
struct Inspection<'a> {
    dir: &'a Path,
    config: &'a BrickConfig,
    engine: &'a dyn Engine,
    namespace: Namespace,
    repair: bool,
    /// Whether other bricks have the same files, where that is known.
    heals: Option<bool>,
    found: Vec<Finding>,
}

impl<'a> Inspection<'a> {
    fn new(
        dir: &'a Path,
        config: &'a BrickConfig,
        engine: &'a dyn Engine,
        repair: bool,
    ) -> Result<Inspection<'a>, Fault> {
        Ok(Inspection {
            dir,
            config,
            engine,
            namespace: Namespace::new(dir),
            repair,
            heals: None,
            found: Vec::new(),
        })
    }

    fn findings(mut self) -> Result<Vec<Finding>, Fault> {
        let intents = Intents::peek(self.dir)?;
        let volumes = self.engine.volumes()?;
        let taken: Vec<LvName> = volumes.iter().map(|volume| volume.name.clone()).collect();
        let snapshots = snapshots_of(&volumes);
        self.tell_of_foreign(&volumes);
        self.found.extend(self.engine.finding());
        let room = Room::of(self.dir);
        self.found
            .extend(room.and_then(|room| room.finding(self.dir)));
        let mut volumes: HashMap<Gfid, BackingVolume> = volumes
            .into_iter()
            .filter_map(|volume| volume.gfid.map(|gfid| (gfid, volume)))
            .collect();
        let wanted = self.wanted_names()?;
        let namespace = self.namespace.clone();
        namespace.each_stub(|gfid, stub| {
            let volume = volumes.remove(&gfid);
            if let Some(room) = room.filter(|room| room.is_much(&stub)) {
                let path = self.namespace.path_of(gfid);
                let path = path.as_deref().unwrap_or(&stub.path);
                self.found.push(room.of_plain(&stub, path));
            }
            for fact in judge(gfid, &stub, volume.as_ref()) {
                self.tell(gfid, Some(&stub), volume.as_ref(), fact);
            }
            if let (Mark::Image(_), Some(volume), Some(names)) =
                (&stub.mark, &volume, wanted.get(&gfid))
                && let Some(fact) = out_of_step(volume, names, &taken)
                && !intents.contains_key(&gfid)
            {
                self.tell(gfid, Some(&stub), Some(volume), fact);
            }
            Ok(())
        })?;
        for (gfid, volume) in volumes {
            if !intents.contains_key(&gfid) {
                let message = format!(
                    "volume {} of image {gfid} has no stub; {}",
                    volume.name,
                    self.fate()
                );
                let fact = Fact::new(FindingKind::NoStub, message);
                self.tell(gfid, None, Some(&volume), fact);
            }
        }
        namespace.each_without_handle(|gfid, path| {
            if mark_of(path)? != Mark::Plain {
                let message = format!("{} has no handle for image {gfid}", path.display());
                let fact = Fact::new(FindingKind::NoName, message);
                // An unlink that is under way takes the handle away before the name.
                match intents.contains_key(&gfid) {
                    true => self.tell(gfid, None, None, fact),
                    false => self.tell_of_file(gfid, path, fact),
                }
            }
            Ok(())
        })?;
        namespace.each_unreadable_policy(|gfid, path, inherited| {
            let kind = self.engine.default_kind();
            self.tell_of_policy(gfid, path, inherited.unwrap_or(DirPolicy::new(kind)));
            Ok(())
        })?;
        for (gfid, intent) in intents {
            if let Some(snapshots) = snapshots.get(&gfid).filter(|_| intent == Intent::Remove) {
                let message = format!(
                    "the volume of image {gfid}, which is removed, stays for its copy-on-write snapshots: {}; \
                     it goes with the last of them",
                    snapshots.join(", ")
                );
                self.tell(
                    gfid,
                    None,
                    None,
                    Fact::new(FindingKind::KeptForSnapshots, message),
                );
                continue;
            }
            let message = format!(
                "an operation on image {gfid} was not finished: {intent:?}; it is settled when the \
                 brick starts the next time"
            );
            self.tell(gfid, None, None, Fact::new(FindingKind::Intent, message));
        }
        self.found.sort_by(|a, b| a.message.cmp(&b.message));
        Ok(self.found)
    }

    /// What becomes of a volume without a stub.
    fn fate(&self) -> &'static str {
        let waits = "it waits for heal, which takes it again: gluster volume heal VOL full; if it \
                     stays when heal info tells of nothing, no other brick has the image any more: \
                     remove it with lvremove, or, on a replicated volume, let it be shown as a \
                     file: gluster volume set VOL user.bd.lost-names show, and restart the brick";
        match self.heals {
            Some(true) => waits,
            Some(false) => "it appears as a file again within some seconds",
            None => {
                "when the brick runs, it waits for heal if other bricks have the same files, and \
                 else appears as a file again"
            }
        }
    }

    /// Notes volumes that were made by other means, where they are not shown as files.
    fn tell_of_foreign(&mut self, volumes: &[BackingVolume]) {
        if self.heals != Some(true) || !self.config.adopt {
            return;
        }
        for volume in volumes.iter().filter(|volume| volume.gfid.is_none()) {
            let message = format!(
                "volume {0} was made by other means and is not shown as a file: other bricks of the \
                 volume have the same files, and may have another volume of this name; copy its \
                 bytes to a file of the mounted volume, then remove it with lvremove, or hide it \
                 with lvchange --addtag gluster_bd.hidden",
                volume.name
            );
            self.found.push(Finding {
                kind: FindingKind::NotShown,
                gfid: None,
                message,
                repaired: false,
            });
        }
    }

    fn tell(
        &mut self,
        gfid: Gfid,
        stub: Option<&Stub>,
        volume: Option<&BackingVolume>,
        fact: Fact,
    ) {
        let mending = match (&fact.mend, stub, volume) {
            (Some(Mend::Grow(size)), _, _) => {
                Some(self.try_it(|s| s.engine.resize(gfid, *size).map(drop).map_err(Fault::from)))
            }
            (Some(Mend::Mark), Some(stub), Some(volume)) => {
                Some(self.try_it(|s| s.namespace.mark(stub, volume.kind)))
            }
            (Some(Mend::Rename(name)), _, _) => {
                Some(self.try_it(|s| s.engine.rename(gfid, name).map(drop).map_err(Fault::from)))
            }
            _ => None,
        };
        self.put(gfid, fact, mending);
    }

    fn tell_of_file(&mut self, gfid: Gfid, path: &Path, fact: Fact) {
        let fact = fact.mended_by(Mend::Handle);
        let mending = self.try_it(|s| s.namespace.link_handle(gfid, path));
        self.put(gfid, fact, Some(mending));
    }

    fn tell_of_policy(&mut self, gfid: Gfid, path: &Path, policy: DirPolicy) {
        let message = format!(
            "the policy of directory {} cannot be read, so that nothing can be made there; it was \
             {policy} if nobody had changed it",
            path.display()
        );
        let fact = Fact::new(FindingKind::Policy, message);
        let mending = self.try_it(|s| s.namespace.set_policy(path, policy));
        self.put(gfid, fact, Some(mending));
    }

    /// Mends something; `None` if nothing is to be mended.
    fn try_it(&self, mend: impl FnOnce(&Self) -> Result<(), Fault>) -> Option<Result<(), Fault>> {
        self.repair.then(|| mend(self))
    }

    /// Notes a finding; `mending` is none where nobody can mend it, and holds none where nobody
    /// was asked to.
    fn put(&mut self, gfid: Gfid, fact: Fact, mending: Option<Option<Result<(), Fault>>>) {
        let mut message = fact.message;
        let repaired = matches!(mending, Some(Some(Ok(()))));
        match &mending {
            Some(Some(Err(fault))) => message.push_str(&format!("; it was not repaired: {fault}")),
            Some(None) => message.push_str(&format!(
                "; run: gluster-bd check {} --repair",
                self.dir.display()
            )),
            Some(Some(Ok(()))) => {
                tracing::info!("{}: repaired: {message}", self.dir.display());
            }
            None => {}
        }
        self.found.push(Finding {
            kind: fact.kind,
            gfid: Some(gfid),
            message,
            repaired,
        });
    }

    /// The names that volumes of images in the top image directory should bear.
    fn wanted_names(&self) -> Result<HashMap<Gfid, Vec<LvName>>, Fault> {
        let mut wanted: HashMap<Gfid, Vec<LvName>> = HashMap::new();
        Namespace::each_file_in(&self.namespace.top(self.config), |gfid, file| {
            let name = lv_name(&self.config.engine, Some(file), gfid);
            wanted.entry(gfid).or_default().push(name);
        })?;
        Ok(wanted)
    }
}

/// A volume that could bear its file's name and does not.
fn out_of_step(volume: &BackingVolume, wanted: &[LvName], taken: &[LvName]) -> Option<Fact> {
    if wanted.contains(&volume.name) {
        return None;
    }
    let free = wanted.iter().find(|name| !taken.contains(name))?;
    let message = format!("volume {} is that of the file {free}", volume.name);
    Some(Fact::new(FindingKind::Name, message).mended_by(Mend::Rename(free.clone())))
}

/// The names of the copy-on-write snapshots of images that have any.
fn snapshots_of(volumes: &[BackingVolume]) -> HashMap<Gfid, Vec<String>> {
    let mut snapshots: HashMap<Gfid, Vec<String>> = HashMap::new();
    for volume in volumes {
        if let (ImageKind::Thick, Some(origin)) = (volume.kind, volume.origin_image) {
            let name = volume.name.to_string();
            snapshots.entry(origin).or_default().push(name);
        }
    }
    snapshots
}

fn judge(gfid: Gfid, stub: &Stub, volume: Option<&BackingVolume>) -> Vec<Fact> {
    let mut found = Vec::new();
    let path = stub.path.display();
    match (&stub.mark, volume) {
        (Mark::Plain, None) => return found,
        (Mark::Plain, Some(volume)) => found.push(Fact::new(
            FindingKind::NoStub,
            format!(
                "volume {} has the gfid of the plain file {path}; if the file is empty, it becomes \
                 an image when its directory is listed",
                volume.name
            ),
        )),
        (Mark::Pending, _) => found.push(Fact::new(
            FindingKind::Pending,
            format!(
                "{path} is the destination of a copy that was not finished; it is removed two \
                 minutes after the brick has started"
            ),
        )),
        (Mark::Unknown(mark), volume) => found.push(match volume {
            // The volume's own tags say whose it is, and of which kind.
            Some(volume) => Fact::new(
                FindingKind::Mark,
                format!(
                    "{path} has the mark {mark:?}, which cannot be read; it is the image of volume {}, \
                     which is {}",
                    volume.name, volume.kind
                ),
            )
            .mended_by(Mend::Mark),
            None => Fact::new(
                FindingKind::Mark,
                format!(
                    "{path} has the mark {mark:?}, which this version cannot read, and {gfid} has no \
                     volume; install the version of gluster-bd that wrote it, or let it heal from \
                     another replica (gluster volume heal VOL full)"
                ),
            ),
        }),
        (Mark::Image(_), None) => found.push(Fact::new(
            FindingKind::NoVolume,
            format!(
                "{path} is marked as an image, but {gfid} has no volume; let it heal from another \
                 replica (gluster volume heal VOL full) or restore it from a backup"
            ),
        )),
        (Mark::Image(kind), Some(volume)) => {
            if volume.kind != *kind {
                let message = format!(
                    "{path} says {kind}, but volume {} is {}",
                    volume.name, volume.kind
                );
                found.push(Fact::new(FindingKind::Kind, message).mended_by(Mend::Mark));
            }
            if volume.size.0 < stub.size {
                let message = format!(
                    "{path} has {} bytes, but volume {} holds only {}",
                    stub.size, volume.name, volume.size.0
                );
                let mend = Mend::Grow(Bytes(stub.size));
                found.push(Fact::new(FindingKind::TooSmall, message).mended_by(mend));
            }
        }
    }
    if stub.names == 0 {
        found.push(Fact::new(
            FindingKind::NoName,
            format!("{path} has no name; its volume is kept"),
        ));
    }
    found
}
