//! The thin pool is extended in time, and told of.

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use bd_dm_thin::{PoolMode, PoolState};
use bd_engine::EngineError;
use bd_engine::events::Event;
use bd_engine::thin_pool::rules::{self, Fill, Part, Room, Step};
use bd_engine::thin_pool::{Attention, Policy};
use bd_lvm::Command;
use bd_model::{Bytes, Extents};
use bd_proto::{PoolHealth, PoolInfo};

use super::pool::{Fills, Pool};
use super::{LvmEngine, VgGuard, fault};

/// After an extension that could not be done, it is tried again so much later, or when the group has changed,
/// or the policies are read anew: each try costs a report of LVM.
const HOLD: Duration = Duration::from_secs(30);

/// From this percentage on an event tells that a part is nearly full, or from where on the policy
/// refuses new images, if that is less.
const NEARLY_FULL: u64 = 95;
/// So many points lower it must have been before it is told again.
const AGAIN: u64 = 2;

/// What is remembered between two looks, so that it neither tells nor tries anything twice.
#[derive(Debug, Default)]
pub(super) struct Watch {
    policies: u64,
    held: HashMap<Part, Instant>,
    told: HashSet<Part>,
    /// Parts of which an event has told that they are nearly full.
    nearly: HashSet<Part>,
    health: Option<PoolHealth>,
    error: Option<String>,
}

impl LvmEngine {
    /// Looks at the pool, and extends it where its policy says so.
    pub(super) fn tend_pool(&self) -> Attention {
        let Some(pool) = &self.pool else {
            return Attention::None;
        };
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        match self.look(pool, &mut watch) {
            Ok(attention) => {
                watch.error = None;
                attention
            }
            Err(error) => {
                let text = bd_proto::Fault::from(error).to_string();
                if watch.error.as_ref() != Some(&text) {
                    tracing::error!("{text}");
                    watch.error = Some(text);
                }
                Attention::Calm
            }
        }
    }

    fn look(&self, pool: &Pool, watch: &mut Watch) -> Result<Attention, EngineError> {
        let path = self.path(&pool.name);
        let (policy, policies) = self.policies.of(&self.vg);
        if watch.policies != policies {
            watch.policies = policies;
            watch.held.clear();
            watch.told.clear();
        }
        let state = self
            .kernel
            .pool(&pool.uuid)
            .map_err(|e| fault::failed(&format!("read the state of thin pool {path}"), e))?;
        let Some(state) = state else {
            return Ok(Attention::Calm);
        };
        self.tell_health(pool, watch, &state);
        let PoolState::Working(status) = state else {
            return Ok(Attention::Calm);
        };
        if status.needs_check || status.mode == PoolMode::ReadOnly {
            return Ok(Attention::Calm);
        }
        let fills = Fills::new(&status, pool);
        // Full metadata are worse than full data.
        for part in [Part::Metadata, Part::Data] {
            if rules::step(part, fills.of(part), self.room(), &policy) == Step::Rest {
                watch.held.remove(&part);
                watch.told.remove(&part);
            } else if watch
                .held
                .get(&part)
                .is_none_or(|since| since.elapsed() >= HOLD || self.has_changed())
            {
                self.extend_part(pool, part, &policy, watch)?;
            }
            self.tell_nearly_full(pool, part, fills.of(part), &policy, watch);
        }
        Ok(rules::attention(fills.data, fills.metadata, &policy))
    }

    fn extend_part(
        &self,
        pool: &Pool,
        part: Part,
        policy: &Policy,
        watch: &mut Watch,
    ) -> Result<(), EngineError> {
        let path = self.path(&pool.name);
        let what = format!("extend the {} of thin pool {path}", part.name());
        watch.held.insert(part, Instant::now());
        let vg_lock = self.vg_lock();
        self.refresh(&vg_lock)?;
        // An admin or dmeventd may have extended it since.
        let Some(status) = self.working(pool)? else {
            return Ok(());
        };
        let fill = Fills::new(&status, pool).of(part);
        let room = self.room();
        let by = match rules::step(part, fill, room, policy) {
            Step::Rest => return Ok(()),
            Step::Extend(by) => by,
            Step::NoRoom => {
                if watch.told.insert(part) {
                    self.tell_no_room(&path, part, fill, policy);
                }
                return Ok(());
            }
        };
        self.extend_pool(&vg_lock, &what, pool, part, by)?;
        watch.held.remove(&part);
        watch.told.remove(&part);
        let event = Event::PoolExtended(part, fill, self.bytes(by));
        self.events.pool(&self.vg, &pool.name, event);
        let free = self.bytes(self.model().vg.free);
        tracing::info!(
            "extended the {} of thin pool {path} by {}: {}% were in use ({} of {}), and {free} are \
             left in {}",
            part.name(),
            self.bytes(by),
            fill.percent(),
            fill.used,
            fill.total,
            self.vg
        );
        Ok(())
    }

    fn extend_pool(
        &self,
        vg_lock: &VgGuard<'_>,
        what: &str,
        pool: &Pool,
        part: Part,
        by: Extents,
    ) -> Result<(), EngineError> {
        let name = pool.name.clone();
        let change = match part {
            Part::Data => Command::ExtendPool { pool: name, by },
            Part::Metadata => Command::ExtendPoolMetadata {
                pool: name,
                by: self.bytes(by),
            },
        };
        let extended = self.lvm.change(&self.vg, &change);
        // The spare copy of the metadata may have grown as well.
        self.refresh(vg_lock)?;
        extended.map(drop).map_err(|e| fault::lvm(what, e))
    }

    fn tell_no_room(&self, path: &str, part: Part, fill: Fill, policy: &Policy) {
        let model = self.model();
        let free = self.bytes(model.vg.free);
        let reserve = policy.reserve.of(self.bytes(model.vg.extents));
        let kept = match part {
            Part::Data if reserve.0 > 0 => format!(" ({reserve} of the group are its reserve)"),
            Part::Data | Part::Metadata => String::new(),
        };
        tracing::warn!(
            "cannot extend the {} of thin pool {path}, of which {}% are in use ({} of {}): {free} \
             free in {vg}{kept}; add a disk (vgextend {vg} DEVICE) or remove images",
            part.name(),
            fill.percent(),
            fill.used,
            fill.total,
            vg = self.vg,
        );
    }

    /// Sends an event, once, when a part cannot be extended or is not to be, and is nearly full.
    fn tell_nearly_full(
        &self,
        pool: &Pool,
        part: Part,
        fill: Fill,
        policy: &Policy,
        watch: &mut Watch,
    ) {
        let mark = part.refused_at(policy).min(NEARLY_FULL);
        // One that was just extended is held no more.
        let stuck = watch.held.contains_key(&part);
        let extends = rules::step(part, fill, self.room(), policy) != Step::Rest;
        if stuck || (!extends && fill.reaches(mark)) {
            if watch.nearly.insert(part) {
                let event = Event::PoolNearlyFull(part, fill);
                self.events.pool(&self.vg, &pool.name, event);
            }
        } else if !fill.reaches(mark.saturating_sub(AGAIN)) {
            watch.nearly.remove(&part);
        }
    }

    /// Tells when the pool gets better or worse.
    fn tell_health(&self, pool: &Pool, watch: &mut Watch, state: &PoolState) {
        let health = health(state);
        let before = watch.health.replace(health);
        if before == Some(health) {
            return;
        }
        let path = self.path(&pool.name);
        let event = match health {
            PoolHealth::Good => before.map(|_| Event::PoolGood),
            PoolHealth::Full => Some(Event::PoolFull),
            PoolHealth::ReadOnly | PoolHealth::Failed => Some(Event::PoolNeedsCheck),
        };
        if let Some(event) = event {
            self.events.pool(&self.vg, &pool.name, event);
        }
        match health {
            PoolHealth::Good if before.is_none() => {}
            PoolHealth::Good => tracing::info!("thin pool {path} takes writes again"),
            PoolHealth::Full => tracing::error!(
                "thin pool {path} is full: writes get \"no space left on device\" until it is \
                 extended (gluster-bd pool extend {path} +SIZE) or images are removed"
            ),
            PoolHealth::ReadOnly => tracing::error!(
                "thin pool {path} is read-only: its metadata are full or damaged; stop its users \
                 and run lvconvert --repair {path}"
            ),
            PoolHealth::Failed => tracing::error!(
                "thin pool {path} has failed; stop its users and run lvconvert --repair {path}"
            ),
        }
    }

    /// Why a job should not write `now` bytes to new chunks, of `all` that are to come.
    pub(super) fn no_room_for_job(
        &self,
        now: Bytes,
        all: Bytes,
    ) -> Result<Option<String>, EngineError> {
        let Some(pool) = &self.pool else {
            return Ok(None);
        };
        let path = self.path(&pool.name);
        let Some(status) = self.working(pool)? else {
            return Ok(Some(format!("thin pool {path} does not work")));
        };
        if status.needs_check || status.mode == PoolMode::ReadOnly {
            return Ok(Some(format!("thin pool {path} is read-only")));
        }
        let fills = Fills::new(&status, pool);
        let (policy, _) = self.policies.of(&self.vg);
        let why = rules::no_room(fills.data, fills.metadata, self.room(), (now, all), &policy);
        Ok(why.map(|why| format!("thin pool {path}: {why}")))
    }

    pub(super) fn room(&self) -> Room {
        let model = self.model();
        Room {
            free: model.vg.free,
            all: model.vg.extents,
            extent: self.extent,
        }
    }

    /// How the pool is, for whoever asks; `None` without a pool, or while it is not active.
    pub(super) fn pool_info(&self) -> Result<Option<PoolInfo>, EngineError> {
        let Some(pool) = &self.pool else {
            return Ok(None);
        };
        let path = self.path(&pool.name);
        let state = self
            .kernel
            .pool(&pool.uuid)
            .map_err(|e| fault::failed(&format!("read the state of thin pool {path}"), e))?;
        let Some(state) = state else {
            return Ok(None);
        };
        let nothing = Fill {
            used: Bytes(0),
            total: Bytes(0),
        };
        let fills = match &state {
            PoolState::Working(status) => Fills::new(status, pool),
            PoolState::Failed => Fills {
                data: nothing,
                metadata: nothing,
            },
        };
        let (policy, _) = self.policies.of(&self.vg);
        let growable = |part| rules::growable(part, fills.of(part), self.room(), &policy);
        let (data_growable, metadata_growable) = (growable(Part::Data), growable(Part::Metadata));
        let model = self.model();
        let (images, provisioned) = model.provisioned(&pool.name);
        Ok(Some(PoolInfo {
            vg: self.vg.clone(),
            pool: pool.name.clone(),
            health: health(&state),
            data_used: fills.data.used,
            data_size: fills.data.total,
            metadata_used: fills.metadata.used,
            metadata_size: fills.metadata.total,
            images,
            provisioned,
            group_size: self.bytes(model.vg.extents),
            group_free: self.bytes(model.vg.free),
            extend_at: policy.extend_at,
            metadata_extend_at: policy.metadata_extend_at,
            data_growable,
            metadata_growable,
            full_in: None,
            metadata_full_in: None,
        }))
    }
}

fn health(state: &PoolState) -> PoolHealth {
    match state {
        PoolState::Failed => PoolHealth::Failed,
        PoolState::Working(status) if status.needs_check => PoolHealth::ReadOnly,
        PoolState::Working(status) => match status.mode {
            PoolMode::ReadOnly => PoolHealth::ReadOnly,
            PoolMode::OutOfDataSpace => PoolHealth::Full,
            PoolMode::ReadWrite if status.data.free() == 0 => PoolHealth::Full,
            PoolMode::ReadWrite => PoolHealth::Good,
        },
    }
}
