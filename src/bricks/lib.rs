//! A brick: a directory, an engine and the rules that keep the two in step.
//!
//! An operation on both is recorded as an intent first, durable before anything is changed.
//! `reconcile` knows for each intent what the next start makes of it.
#![forbid(unsafe_code)]

mod attributes;
mod check;
mod config;
mod copies;
mod images;
mod init;
mod intent;
mod mapping;
mod merge;
mod names;
mod namespace;
mod old;
mod reconcile;
mod release;
mod removal;
mod reserve;
mod room;
mod unadopted;
mod unfinished_copies;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use bd_durable::{LockError, LockFile};
use bd_engine::Backups;
use bd_engine::ImageLocks;
use bd_engine::{BackingVolume, Engine};
use bd_engine::{Engines, place};
use bd_model::{BrickId, Gfid, ImageKind, LvName, VgName};
use bd_proto::{BrickInfo, CopyHow, EngineSpec, Fault, FaultKind, ImageInfo, Space};
use uuid::Uuid;

use intent::{Intent, Intents};
use namespace::Namespace;

pub use check::check;
pub use config::{BrickConfig, FOLDER};
pub use init::init;
pub use old::take_over;
pub use release::release;
pub use room::Room;

/// The folder in a brick's own where the last metadata of its VG are kept.
const METADATA: &str = "metadata";

/// A brick that is served.
#[derive(Debug)]
pub struct Brick {
    config: BrickConfig,
    dir: PathBuf,
    engine: Arc<dyn Engine>,
    namespace: Namespace,
    intents: Intents,
    image_locks: ImageLocks,
    /// Held while a mapping is read: a pool has one metadata snapshot at most.
    mapping: Mutex<()>,
    /// Held for reading by each request; a fresh attach holds it alone, so that requests of a
    /// brick process that died are finished before their traces are cleaned up.
    quiet: RwLock<()>,
    /// When it was attached freshly the last time, as a number of [`Attach::epoch`].
    attached_at: AtomicU64,
    /// Whether volumes without a stub wait for heal.
    heals: AtomicBool,
    _lock: LockFile,
}

/// How a brick is attached.
#[derive(Clone, Copy, Debug)]
pub struct Attach {
    /// The Gluster volume.
    pub volume: Uuid,
    /// Whether the brick starts, so that what a crash left is repaired.
    pub fresh: bool,
    /// Whether heal brings back what the brick has lost, from others that have the same files.
    pub heals: bool,
    /// Counts up with each attach. Connections older than the last fresh one belong to an
    /// earlier process of the brick.
    pub epoch: u64,
}

impl Brick {
    /// Begins to serve the brick in `dir`.
    pub fn attach(dir: &Path, how: Attach, engines: &dyn Engines) -> Result<Brick, Fault> {
        Brick::attach_and(dir, how, engines, &|_, _| ())
    }

    /// As [`Brick::attach`]; `cloned` is called with each clone that turns out to be finished, before
    /// its intent ends.
    pub fn attach_and(
        dir: &Path,
        how: Attach,
        engines: &dyn Engines,
        cloned: &dyn Fn(&Brick, Gfid),
    ) -> Result<Brick, Fault> {
        let dir = canonical(dir)?;
        let mut config = BrickConfig::load_known(&dir)?;
        let lock = lock(&dir)?;
        config.belong_to(&dir, how.volume)?;
        let engine = open_engine(&dir, &mut config, engines)?;
        engine.keep_metadata(&dir.join(FOLDER).join(METADATA));
        if engine.claimed_by()?.is_none() {
            tracing::warn!(
                "{} was not claimed by brick {} any more; claimed it again",
                place(&config.engine),
                config.id
            );
        }
        engine.claim(config.id)?;
        config.note(&dir, &*engine)?;
        unfinished_copies::prepare(&dir)?;
        let brick = Brick {
            namespace: Namespace::new(&dir),
            intents: Intents::load(&dir)?,
            image_locks: ImageLocks::default(),
            mapping: Mutex::default(),
            quiet: RwLock::new(()),
            attached_at: AtomicU64::new(0),
            heals: AtomicBool::new(how.heals),
            config,
            dir,
            engine,
            _lock: lock,
        };
        brick.attach_again(how, cloned)?;
        Ok(brick)
    }

    /// The brick's process attaches a brick that is served already; `cloned` is as for
    /// [`Brick::attach_and`].
    pub fn attach_again(&self, how: Attach, cloned: &dyn Fn(&Brick, Gfid)) -> Result<(), Fault> {
        if self.config.volume != Some(how.volume) {
            return Err(of_another_volume(&self.dir, self.config.volume));
        }
        self.heals.store(how.heals, Ordering::Relaxed);
        if how.fresh {
            let _alone = self.quiet.write().unwrap_or_else(PoisonError::into_inner);
            self.attached_at.store(how.epoch, Ordering::SeqCst);
            self.intents.read_again()?;
            self.reconcile(cloned)?;
            self.release_old_mapping();
        }
        Ok(())
    }

    /// Its identity.
    pub fn id(&self) -> BrickId {
        self.config.id
    }

    /// Where its images live.
    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether its directory is still this brick: it may have been emptied, and made another one.
    pub fn is_in_its_place(&self) -> bool {
        let present = BrickConfig::load(&self.dir).ok().flatten();
        present.is_some_and(|present| present.id == self.config.id)
    }

    /// What a client learns of it.
    pub fn info(&self) -> BrickInfo {
        info(&self.config, &*self.engine)
    }

    /// The path in its volume of an image that has a name.
    pub fn path_of(&self, gfid: Gfid) -> Option<PathBuf> {
        self.namespace.path_of(gfid)
    }

    /// Whether this is a clone on thin chunks that is not committed yet.
    pub fn is_new_clone(&self, gfid: Gfid) -> bool {
        let intent = self.intents.get(gfid);
        let volume = self.engine.find(gfid).ok().flatten();
        matches!(
            intent,
            Some(Intent::Copy {
                how: CopyHow::Clone,
                ..
            })
        ) && volume.is_some_and(|volume| volume.kind == ImageKind::Thin)
    }

    /// Total and free bytes of its engine.
    pub fn space(&self) -> Result<Space, Fault> {
        Ok(self.engine.space()?)
    }

    /// Begins a request of a connection that was opened, or attached the brick, at `epoch`.
    pub fn enter(&self, epoch: u64) -> Result<RwLockReadGuard<'_, ()>, Fault> {
        let entered = self.quiet.read().unwrap_or_else(PoisonError::into_inner);
        if epoch < self.attached_at.load(Ordering::SeqCst) {
            return Err(Fault::new(
                FaultKind::NotAttached,
                format!(
                    "brick {} was started anew since this connection was opened",
                    self.dir.display()
                ),
            ));
        }
        Ok(entered)
    }

    /// The volume of an image that must have one.
    fn volume(&self, gfid: Gfid) -> Result<BackingVolume, Fault> {
        let found = self.engine.find(gfid)?.filter(|volume| !volume.outgoing);
        found.ok_or_else(|| {
            Fault::new(
                FaultKind::NotFound,
                format!(
                    "image {gfid} has no volume in {}",
                    place(&self.config.engine)
                ),
            )
        })
    }
}

impl BrickConfig {
    /// Binds the brick to its Gluster volume, or makes sure that it is bound to that one.
    fn belong_to(&mut self, dir: &Path, volume: Uuid) -> Result<(), Fault> {
        match self.volume {
            Some(bound) if bound == volume => Ok(()),
            Some(_) => Err(of_another_volume(dir, self.volume)),
            None => {
                self.volume = Some(volume);
                self.prepare(dir)?;
                BrickConfig::place(dir)
            }
        }
    }
}

/// The name that the volume of an image should bear in an engine.
fn lv_name(engine: &EngineSpec, file: Option<&str>, gfid: Gfid) -> LvName {
    let vg = match engine {
        EngineSpec::Lvm { vg, .. } => Ok(vg.clone()),
        EngineSpec::File { .. } => "store".parse::<VgName>(),
    };
    vg.map_or_else(
        |_| LvName::for_gfid(gfid),
        |vg| LvName::for_file(file, gfid, &vg),
    )
}

fn of_another_volume(dir: &Path, volume: Option<Uuid>) -> Fault {
    let volume = volume.map_or_else(|| "another volume".into(), |id| format!("volume {id}"));
    Fault::new(
        FaultKind::InUse,
        format!(
            "brick {} belongs to {volume}; use a fresh directory and VG for another one",
            dir.display()
        ),
    )
}

/// What a client learns of a brick.
fn info(config: &BrickConfig, engine: &dyn Engine) -> BrickInfo {
    BrickInfo {
        id: config.id,
        engine: config.engine.clone(),
        top: config.top.clone(),
        kind: engine.default_kind(),
        extent_size: engine.extent_size(),
        adopt: config.adopt,
        volume: config.volume,
    }
}

/// What a client learns of an image.
pub fn image(gfid: Gfid, volume: BackingVolume) -> ImageInfo {
    ImageInfo {
        gfid,
        lv: volume.name,
        kind: volume.kind,
        lv_size: volume.size,
        allocated: volume.allocated,
        pool: volume.pool,
        origin: volume.origin,
        origin_image: volume.origin_image,
    }
}

/// What the configuration in `dir` says of a brick that need not be attached.
pub fn describe(dir: &Path, engines: &dyn Engines) -> Result<BrickInfo, Fault> {
    let mut config = BrickConfig::load_known(&canonical(dir)?)?;
    let engine = config.open(engines)?;
    Ok(info(&config, &*engine))
}

/// The directory by its one true name.
pub fn canonical(dir: &Path) -> Result<PathBuf, Fault> {
    if !dir.is_absolute() {
        return Err(Fault::new(
            FaultKind::Invalid,
            format!("{} is not an absolute path", dir.display()),
        ));
    }
    dir.canonicalize().map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => FaultKind::NotFound,
            _ => FaultKind::Invalid,
        };
        Fault::new(kind, format!("cannot use {}: {error}", dir.display()))
    })
}

/// Opens the VG or store of a brick; the error of one that cannot be read names what there is to bring it
/// back.
fn open_engine(
    dir: &Path,
    config: &mut BrickConfig,
    engines: &dyn Engines,
) -> Result<Arc<dyn Engine>, Fault> {
    config.open(engines).map_err(|error| {
        let mut fault = Fault::from(error);
        if matches!(fault.kind, FaultKind::NotFound | FaultKind::Failed)
            && let Some(newest) = Backups::newest(&dir.join(FOLDER).join(METADATA))
        {
            fault.message = format!(
                "{}; if its metadata are damaged, see \"The metadata of a group are damaged\" in \
                 docs/operations.md: {} is what they were",
                fault.message,
                newest.display()
            );
        }
        fault
    })
}

/// Locks a brick for this server.
fn lock(dir: &Path) -> Result<LockFile, Fault> {
    LockFile::acquire(&dir.join(FOLDER).join("lock")).map_err(|error| {
        let kind = match error {
            LockError::Held { .. } => FaultKind::InUse,
            LockError::System { .. } => FaultKind::Failed,
        };
        Fault::new(kind, format!("brick {}: {error}", dir.display()))
    })
}

#[cfg(test)]
mod tests;
