use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bd_durable::failpoint;
use bd_engine::Engine;
use bd_engine::{Engines, place};
use bd_model::BrickId;
use bd_proto::{BrickInfo, BrickSpec, EngineSpec, Fault, FaultKind};
use rustix::fs::{XattrFlags, removexattr, setxattr};

use super::config::{BrickConfig, FOLDER};
use super::intent::Intents;
use super::{canonical, info, old};

/// Makes a directory a brick: checks, prepared configuration, claim, configuration.
///
/// A crash after the configuration was prepared leaves a claim that the next init of the same
/// directory finds again, by the identity in the prepared file. The same specification again
/// changes nothing.
pub fn init(spec: &BrickSpec, engines: &dyn Engines) -> Result<BrickInfo, Fault> {
    let dir = canonical(&spec.dir)?;
    check_directory(&dir)?;
    let wanted = Wanted::of(spec, engines)?;
    old::refuse(&dir)?;
    wanted.make(engines, &|_| Ok(()))
}

/// A brick that is to be made.
pub(super) struct Wanted {
    pub(super) dir: PathBuf,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) config: BrickConfig,
}

impl Wanted {
    /// What a specification asks for; changes nothing.
    pub(super) fn of(spec: &BrickSpec, engines: &dyn Engines) -> Result<Wanted, Fault> {
        let dir = canonical(&spec.dir)?;
        let engine = engines.open(&spec.engine)?;
        let config = BrickConfig {
            version: BrickConfig::VERSION,
            id: BrickId::random(),
            top: top_name(spec, &dir)?,
            adopt: spec.adopt,
            volume: None,
            vg_uuid: engine.identity(),
            // As the engine names itself: a store's path is absolute there.
            engine: engine.spec(),
        };
        Ok(Wanted {
            dir,
            engine,
            config,
        })
    }

    /// Fails where [`Wanted::make`] would, as far as that can be told without a change.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let present = BrickConfig::load(&self.dir)?;
        if let Some(present) = present {
            return again(&self.dir, &self.config, present, &*self.engine).map(drop);
        }
        check_neighbours(&self.dir, &self.config.engine)?;
        let prepared = BrickConfig::load_prepared(&self.dir).ok().flatten();
        let id = prepared.map_or(self.config.id, |prepared| prepared.id);
        check_claim(&*self.engine, id)
    }

    /// Makes the brick. `before` is called when the VG or store is taken for it, and before it can be
    /// served; also if the brick is there already.
    pub(super) fn make(
        self,
        engines: &dyn Engines,
        before: &dyn Fn(&dyn Engine) -> Result<(), Fault>,
    ) -> Result<BrickInfo, Fault> {
        let Wanted {
            dir,
            engine,
            config,
        } = self;
        if let Some(present) = BrickConfig::load(&dir)? {
            let info = again(&dir, &config, present, &*engine)?;
            before(&*engine)?;
            return Ok(info);
        }
        check_neighbours(&dir, &config.engine)?;
        let config = resume(&dir, config, engines)?;
        check_claim(&*engine, config.id)?;
        let made = Made::folders(&dir)?;
        match claim_and_place(&dir, &config, &*engine, before) {
            Ok(()) => {
                tracing::info!(
                    "brick {} made in {} on {}",
                    config.id,
                    dir.display(),
                    place(&config.engine)
                );
                Ok(info(&config, &*engine))
            }
            Err(mut fault) => {
                for undone in [
                    engine.release(config.id).map_err(Fault::from),
                    made.undo(&dir),
                ] {
                    if let Err(also) = undone {
                        fault.message = format!("{}; besides, {also}", fault.message);
                    }
                }
                Err(fault)
            }
        }
    }
}

fn claim_and_place(
    dir: &Path,
    config: &BrickConfig,
    engine: &dyn Engine,
    before: &dyn Fn(&dyn Engine) -> Result<(), Fault>,
) -> Result<(), Fault> {
    config.prepare(dir)?;
    failpoint::reach("init.configured");
    engine.claim(config.id)?;
    failpoint::reach("init.claimed");
    before(engine)?;
    BrickConfig::place(dir)
}

fn invalid(message: String) -> Fault {
    Fault::new(FaultKind::Invalid, message)
}

/// The directory must be one, on a file system that can hold a brick.
pub(super) fn check_directory(dir: &Path) -> Result<(), Fault> {
    if !dir.is_dir() {
        return Err(invalid(format!("{} is not a directory", dir.display())));
    }
    for name in ["trusted.gluster-bd.probe", "user.gluster-bd.probe"] {
        setxattr(dir, name, b"1", XattrFlags::empty())
            .and_then(|()| removexattr(dir, name))
            .map_err(|errno| {
                let space = name.split('.').next().unwrap_or(name);
                invalid(format!(
                    "cannot use {}: its file system takes no {space}.* extended attributes \
                     ({errno}); use xfs or ext4",
                    dir.display()
                ))
            })?;
    }
    Ok(())
}

/// Neither may a brick lie in another, nor a store in a brick or a brick in a store.
fn check_neighbours(dir: &Path, engine: &EngineSpec) -> Result<(), Fault> {
    for above in dir.ancestors().skip(1) {
        if BrickConfig::path(above).exists() {
            let (dir, above) = (dir.display(), above.display());
            let message = format!("cannot use {dir}: it lies in the brick {above}");
            return Err(Fault::new(FaultKind::InUse, message));
        }
    }
    if let EngineSpec::File { store } = engine
        && (store.starts_with(dir) || dir.starts_with(store))
    {
        return Err(invalid(format!(
            "the brick {} and the store {} lie in one another; use two separate folders",
            dir.display(),
            store.display()
        )));
    }
    Ok(())
}

/// The top image directory's name, and that nothing else has it.
fn top_name(spec: &BrickSpec, dir: &Path) -> Result<String, Fault> {
    let top = match (&spec.top, &spec.engine) {
        (Some(top), _) => top.clone(),
        (None, EngineSpec::Lvm { vg, .. }) => vg.to_string(),
        (None, EngineSpec::File { store }) => store
            .file_name()
            .and_then(|name| name.to_str())
            .map(str::to_owned)
            .ok_or_else(|| {
                let store = store.display();
                invalid(format!(
                    "the store {store} has no name; choose one with --top"
                ))
            })?,
    };
    let reserved = ["", ".", "..", ".glusterfs", ".trashcan", ".shard"];
    if reserved.contains(&top.as_str()) || top.contains(['/', '\0', '\n']) || top.len() > 255 {
        return Err(invalid(format!(
            "{top:?} cannot be the name of the top image directory; choose another with --top"
        )));
    }
    let path = dir.join(&top);
    if path.symlink_metadata().is_ok_and(|about| !about.is_dir()) {
        return Err(Fault::new(
            FaultKind::Exists,
            format!(
                "{} is not a directory, so it cannot be the top image directory; choose another \
                 name with --top",
                path.display()
            ),
        ));
    }
    Ok(top)
}

/// An init of a directory that is a brick already.
fn again(
    dir: &Path,
    wanted: &BrickConfig,
    present: BrickConfig,
    engine: &dyn Engine,
) -> Result<BrickInfo, Fault> {
    let same = (&present.top, present.adopt, &present.engine)
        == (&wanted.top, wanted.adopt, &wanted.engine);
    if !same {
        return Err(Fault::new(
            FaultKind::Exists,
            format!(
                "{} is a brick already, on {}, with the top image directory {}; see: \
                 gluster-bd brick show {0}",
                dir.display(),
                place(&present.engine),
                present.top
            ),
        ));
    }
    check_claim(engine, present.id)?;
    Ok(info(&present, engine))
}

/// Takes over the identity that an init which crashed has given the brick.
fn resume(dir: &Path, config: BrickConfig, engines: &dyn Engines) -> Result<BrickConfig, Fault> {
    let Some(prepared) = BrickConfig::load_prepared(dir).unwrap_or_else(|fault| {
        // It is replaced; a claim it may have made is found by the claim check.
        tracing::warn!("{fault}");
        None
    }) else {
        return Ok(config);
    };
    if prepared.engine == config.engine {
        return Ok(BrickConfig {
            id: prepared.id,
            ..config
        });
    }
    let released = engines
        .open(&prepared.engine)
        .and_then(|engine| engine.release(prepared.id));
    if let Err(error) = released {
        tracing::warn!(
            "an init of {} which was not finished may have claimed {}: {error}",
            dir.display(),
            place(&prepared.engine)
        );
    }
    Ok(config)
}

fn check_claim(engine: &dyn Engine, brick: BrickId) -> Result<(), Fault> {
    match engine.claimed_by()? {
        Some(owner) if owner != brick => {
            // The engine's own refusal tells how to release it.
            engine.claim(brick)?;
            Err(Fault::new(
                FaultKind::InUse,
                format!("{} is claimed by brick {owner}", place(&engine.spec())),
            ))
        }
        _ => Ok(()),
    }
}

/// The folders that an init has made.
struct Made {
    hidden: bool,
    own: bool,
    intents: bool,
}

impl Made {
    fn folders(dir: &Path) -> Result<Made, Fault> {
        let own = dir.join(FOLDER);
        let make = |path: &Path| match fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(Fault::new(
                FaultKind::Failed,
                format!("cannot make {}: {error}", path.display()),
            )),
        };
        let mut made = Made {
            hidden: make(&dir.join(".glusterfs"))?,
            own: false,
            intents: false,
        };
        let rest = make(&own).and_then(|own_made| {
            made.own = own_made;
            made.intents = make(&Intents::folder(dir))?;
            Ok(())
        });
        match rest {
            Ok(()) => Ok(made),
            Err(fault) => {
                made.undo(dir)?;
                Err(fault)
            }
        }
    }

    fn undo(&self, dir: &Path) -> Result<(), Fault> {
        let prepared = bd_durable::new_name(&BrickConfig::path(dir));
        let remove = |done: bool, path: &Path| match done {
            true => fs::remove_dir(path),
            false => Ok(()),
        };
        bd_durable::remove(&prepared)
            .and_then(|()| remove(self.intents, &Intents::folder(dir)))
            .and_then(|()| remove(self.own, &dir.join(FOLDER)))
            .and_then(|()| remove(self.hidden, &dir.join(".glusterfs")))
            .map_err(|error| {
                let own = dir.join(FOLDER);
                let message = format!("cannot clean up {}: {error}", own.display());
                Fault::new(FaultKind::Failed, message)
            })
    }
}
