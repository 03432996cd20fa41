//! What pools held in the last hours.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bd_model::{Bytes, LvName, VgName};
use bd_proto::PoolInfo;
use serde::{Deserialize, Serialize};

use super::forecast::{self, Point};

/// Seconds between two samples.
const EVERY: u64 = 30;
/// Samples of a pool: those of twelve hours.
const KEPT: usize = 12 * 3600 / 30;
/// A pool that will be full within so many seconds is told of,
const SOON: u64 = 86_400;
/// and once more only after it would not be for so many.
const FAR: u64 = 2 * SOON;

/// A pool at a time. Fields are short because thousands of them are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since 1970.
    pub at: u64,
    /// Bytes of data in use.
    pub used: Bytes,
    /// Bytes for data.
    pub size: Bytes,
    /// Bytes of metadata in use.
    pub metadata_used: Bytes,
    /// Bytes of metadata.
    pub metadata_size: Bytes,
}

#[derive(Debug, Default)]
struct History {
    samples: VecDeque<Sample>,
    /// That the pool will be full soon was told.
    told: bool,
}

/// What each pool held in the last hours; at most so much is kept, and none of pools that are gone.
#[derive(Debug, Default)]
pub struct Histories {
    pools: Mutex<BTreeMap<(VgName, LvName), History>>,
}

/// A pool in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    vg: VgName,
    pool: LvName,
    samples: VecDeque<Sample>,
}

impl Histories {
    /// Takes a sample of `pools`, which are all there are, if it is time for one.
    pub fn record(&self, now: u64, pools: &[PoolInfo]) {
        let mut histories = self.lock();
        histories.retain(|(vg, pool), _| {
            let mut there = pools.iter();
            there.any(|info| info.vg == *vg && info.pool == *pool)
        });
        // A pool that has failed says nothing of its use.
        for info in pools.iter().filter(|info| info.data_size.0 > 0) {
            let key = (info.vg.clone(), info.pool.clone());
            histories.entry(key).or_default().record(now, info);
        }
    }

    /// Adds to pools when they are full.
    pub fn forecast(&self, pools: &mut [PoolInfo]) {
        let histories = self.lock();
        for info in pools {
            if let Some(history) = histories.get(&(info.vg.clone(), info.pool.clone())) {
                (info.full_in, info.metadata_full_in) = history.full_in(info);
            }
        }
    }

    /// The samples of a pool.
    pub fn samples(&self, vg: &VgName, pool: &LvName) -> Vec<Sample> {
        let histories = self.lock();
        let history = histories.get(&(vg.clone(), pool.clone()));
        history.map_or_else(Vec::new, |history| {
            history.samples.iter().copied().collect()
        })
    }

    /// Reads what an earlier process has kept; a missing file is none.
    pub fn load(&self, path: &Path) -> io::Result<()> {
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            read => read?,
        };
        let kept: Vec<Kept> = serde_json::from_slice(&bytes)?;
        let mut histories = self.lock();
        for Kept { vg, pool, samples } in kept {
            let history = histories.entry((vg, pool)).or_default();
            history.samples = samples;
            history.shorten();
        }
        Ok(())
    }

    /// Keeps them for the next process.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let kept: Vec<Kept> = self
            .lock()
            .iter()
            .map(|((vg, pool), history)| Kept {
                vg: vg.clone(),
                pool: pool.clone(),
                samples: history.samples.clone(),
            })
            .collect();
        bd_durable::prepare(path, &serde_json::to_vec(&kept)?)?;
        bd_durable::place(path)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(VgName, LvName), History>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl History {
    fn record(&mut self, now: u64, info: &PoolInfo) {
        // A clock that was set back: what seems to come later is worth nothing.
        while self.samples.back().is_some_and(|last| last.at > now) {
            self.samples.pop_back();
        }
        if (self.samples.back()).is_some_and(|last| now < last.at + EVERY) {
            return;
        }
        self.samples.push_back(Sample {
            at: now,
            used: info.data_used,
            size: info.data_size,
            metadata_used: info.metadata_used,
            metadata_size: info.metadata_size,
        });
        self.shorten();
        self.tell(info);
    }

    fn shorten(&mut self) {
        let surplus = self.samples.len().saturating_sub(KEPT);
        self.samples.drain(..surplus);
    }

    fn data(&self) -> Vec<Point> {
        let point = |sample: &Sample| Point {
            at: sample.at,
            used: sample.used,
            size: sample.size,
        };
        self.samples.iter().map(point).collect()
    }

    fn metadata(&self) -> Vec<Point> {
        let point = |sample: &Sample| Point {
            at: sample.at,
            used: sample.metadata_used,
            size: sample.metadata_size,
        };
        self.samples.iter().map(point).collect()
    }

    /// Seconds until data and metadata are full, with all that the policy may add to them.
    fn full_in(&self, info: &PoolInfo) -> (Option<u64>, Option<u64>) {
        let with = |size: Bytes, more: Bytes| Bytes(size.0.saturating_add(more.0));
        let data = with(info.data_size, info.data_growable);
        let metadata = with(info.metadata_size, info.metadata_growable);
        (
            forecast::full_in(&self.data(), data),
            forecast::full_in(&self.metadata(), metadata),
        )
    }

    fn tell(&mut self, info: &PoolInfo) {
        let (data, metadata) = self.full_in(info);
        let soonest = data.into_iter().chain(metadata).min();
        match soonest {
            Some(seconds) if seconds < SOON && !self.told => {
                self.told = true;
                let (part, points, used, size, more) = if data == soonest {
                    let points = self.data();
                    (
                        "data",
                        points,
                        info.data_used,
                        info.data_size,
                        info.data_growable,
                    )
                } else {
                    let (used, size) = (info.metadata_used, info.metadata_size);
                    (
                        "metadata",
                        self.metadata(),
                        used,
                        size,
                        info.metadata_growable,
                    )
                };
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a rate is above zero, and what is too large becomes the largest number"
                )]
                let hourly = forecast::rate(&points).map_or(0, |rate| (rate * 3600.0) as u64);
                tracing::warn!(
                    "the {part} of thin pool {}/{} will be full in {} at the present rate, {} an \
                     hour: {used} of {size} are in use, and its policy can add {more}; add a disk \
                     (vgextend) or remove images",
                    info.vg,
                    info.pool,
                    bd_model::span(seconds),
                    Bytes(hourly),
                );
            }
            Some(seconds) if seconds < FAR => {}
            _ => self.told = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use bd_proto::PoolHealth;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn info(used: u64) -> PoolInfo {
        PoolInfo {
            vg: "vg0".parse().unwrap(),
            pool: "pool".parse().unwrap(),
            health: PoolHealth::Good,
            data_used: Bytes(used * MIB),
            data_size: Bytes(1000 * MIB),
            metadata_used: Bytes(MIB),
            metadata_size: Bytes(4 * MIB),
            images: 1,
            provisioned: Bytes(0),
            group_size: Bytes(2000 * MIB),
            group_free: Bytes(1000 * MIB),
            extend_at: 80,
            metadata_extend_at: 70,
            data_growable: Bytes(500 * MIB),
            metadata_growable: Bytes(0),
            full_in: None,
            metadata_full_in: None,
        }
    }

    #[test]
    fn pools_are_sampled_and_forecast() {
        let histories = Histories::default();
        for second in (0..3000).step_by(10) {
            histories.record(1000 + second, &[info(second / 30)]);
        }
        let (vg, pool) = (info(0).vg, info(0).pool);
        assert_eq!(histories.samples(&vg, &pool).len(), 100);
        let mut pools = [info(99)];
        histories.forecast(&mut pools);
        // 1401 MiB more, counting what its policy may add.
        assert_eq!(pools[0].full_in, Some(1401 * 30));
        assert_eq!(pools[0].metadata_full_in, None);
        histories.record(5000, &[]);
        assert!(histories.samples(&vg, &pool).is_empty());
    }

    #[test]
    fn only_so_much_is_kept_and_clocks_may_be_set() {
        let histories = Histories::default();
        let (vg, pool) = (info(0).vg, info(0).pool);
        for number in 0..5000 {
            histories.record(number * 30, &[info(0)]);
        }
        let samples = histories.samples(&vg, &pool);
        assert_eq!((samples.len(), samples[0].at), (KEPT, (5000 - 1440) * 30));
        histories.record(4000 * 30, &[info(0)]);
        let samples = histories.samples(&vg, &pool);
        assert!(samples.is_sorted_by(|a, b| a.at < b.at) && samples.len() < KEPT);
    }

    #[test]
    fn they_outlive_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.json");
        let (first, second) = (Histories::default(), Histories::default());
        first.record(1000, &[info(7)]);
        second.load(&path).unwrap();
        first.save(&path).unwrap();
        second.load(&path).unwrap();
        let (vg, pool) = (info(0).vg, info(0).pool);
        assert_eq!(second.samples(&vg, &pool), first.samples(&vg, &pool));
        assert_eq!(second.samples(&vg, &pool)[0].used, Bytes(7 * MIB));
        std::fs::write(&path, "nonsense").unwrap();
        second.load(&path).unwrap_err();
        assert_eq!(second.samples(&vg, &pool).len(), 1);
    }
}
