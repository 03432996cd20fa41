//! Bricks come, are looked at, and go.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bd_bricks::{Attach, Brick};
use bd_proto::{Fault, FaultKind, Finding, Released};

use super::{Service, lock};

/// How long a brick that is attached again waits for the last requests of what it was.
const LEAVING: Duration = Duration::from_secs(5);

impl Service {
    pub(super) fn attach(&self, dir: &Path, how: Attach) -> Result<Arc<Brick>, Fault> {
        let dir = bd_bricks::canonical(dir)?;
        self.await_leaving();
        if let Some(brick) = self.attached_in(&dir) {
            // A directory that was emptied and made a brick again is another brick.
            if bd_bricks::BrickConfig::load_known(&dir)?.id == brick.id() {
                let again = brick.attach_again(how, &|brick, gfid| self.hydrate(brick, gfid));
                match again {
                    Err(fault) if fault.kind == FaultKind::NotAttached => {
                        self.let_go(&brick, &fault);
                    }
                    Err(fault) => return Err(fault),
                    Ok(()) => {
                        if how.fresh {
                            self.take_on(&brick);
                        }
                        return Ok(brick);
                    }
                }
            } else {
                self.bricks().remove(&brick.id());
            }
            drop(brick);
            self.await_leaving();
        }
        let config = bd_bricks::BrickConfig::load_known(&dir)?;
        let namesake = self.bricks().get(&config.id).cloned();
        if let Some(namesake) = namesake {
            if namesake.is_in_its_place() {
                return Err(Fault::new(
                    FaultKind::InUse,
                    format!(
                        "{} is a copy of the brick {}, which is served; remove {}/{} from the \
                         copy",
                        dir.display(),
                        namesake.dir().display(),
                        dir.display(),
                        bd_bricks::FOLDER
                    ),
                ));
            }
            // The directory was moved. Its lock goes with the last request that uses it.
            self.bricks().remove(&config.id);
        }
        let cloned = |brick: &Brick, gfid| self.hydrate(brick, gfid);
        let brick = Brick::attach_and(&dir, how, &*self.engines, &cloned)?;
        let brick = Arc::new(brick);
        tracing::info!("brick {} attached in {}", brick.id(), dir.display());
        self.bricks().insert(brick.id(), Arc::clone(&brick));
        self.take_on(&brick);
        Ok(brick)
    }

    pub(super) fn check(&self, dir: &Path, repair: bool) -> Result<Vec<Finding>, Fault> {
        let dir = bd_bricks::canonical(dir)?;
        let _alone = self.lock_attach();
        match self.attached_in(&dir) {
            Some(brick) => {
                let findings = brick.check(repair);
                // A repair may have made a volume larger.
                self.take_on(&brick);
                findings
            }
            None => bd_bricks::check(&dir, &*self.engines, repair),
        }
    }

    pub(super) fn release(&self, dir: &Path, keep: bool) -> Result<Released, Fault> {
        let dir = bd_bricks::canonical(dir)?;
        let _alone = self.lock_attach();
        let Some(brick) = self.attached_in(&dir) else {
            let released = bd_bricks::release(&dir, keep, &*self.engines)?;
            self.jobs.brick_is_gone(released.brick.id);
            return Ok(released);
        };
        if self.is_served(brick.id()) {
            return Err(Fault::new(
                FaultKind::InUse,
                format!(
                    "brick {} is served by a glusterfsd; stop its volume first (gluster volume \
                     stop)",
                    dir.display()
                ),
            ));
        }
        let released = brick.release(keep)?;
        self.bricks().remove(&brick.id());
        self.jobs.brick_is_gone(brick.id());
        Ok(released)
    }

    pub(super) fn attached_in(&self, dir: &Path) -> Option<Arc<Brick>> {
        self.bricks().values().find(|b| b.dir() == dir).cloned()
    }

    /// Serves a brick no more whose VG is called otherwise by now: it is attached again, under that name.
    pub(super) fn let_go(&self, brick: &Brick, why: &Fault) {
        let mut bricks = self.bricks();
        let is_there = |there: &Arc<Brick>| std::ptr::eq(Arc::as_ptr(there), brick);
        if bricks.get(&brick.id()).is_some_and(is_there)
            && let Some(gone) = bricks.remove(&brick.id())
        {
            tracing::warn!("brick {}: {why}", brick.dir().display());
            lock(&self.leaving).push(Arc::downgrade(&gone));
        }
    }

    /// Waits for the last requests of bricks that were let go: they hold their directories.
    fn await_leaving(&self) {
        let until = Instant::now() + LEAVING;
        // Not with the list in hand: who lets a brick go holds all bricks while it waits for that.
        let are_gone = || {
            let mut leaving = lock(&self.leaving);
            leaving.retain(|brick| brick.strong_count() > 0);
            leaving.is_empty()
        };
        while !are_gone() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
