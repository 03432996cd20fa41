//! What the status page shows, as JSON.
//!
//! Sections are lists of their own, so that others can be added. Nothing here asks LVM.

use bd_engine::BackingVolume;
use bd_engine::thin_pool::Sample;
use bd_model::{Bytes, ImageKind, LvName};
use bd_proto::{JobInfo, PoolInfo, Space};
use serde::Serialize;
use uuid::Uuid;

use crate::service::Service;

/// As many points of a curve as a screen can show.
const POINTS: usize = 240;

#[derive(Debug, Serialize)]
struct Status {
    version: &'static str,
    host: String,
    /// Seconds since 1970.
    now: u64,
    pools_unreadable: bool,
    pools: Vec<Pool>,
    bricks: Vec<Brick>,
    /// The oldest first, with those that ended lately.
    jobs: Vec<JobInfo>,
}

#[derive(Debug, Serialize)]
struct Pool {
    #[serde(flatten)]
    info: PoolInfo,
    /// Seconds since 1970, bytes in use and all bytes, of data.
    history: Vec<(u64, Bytes, Bytes)>,
}

#[derive(Debug, Serialize)]
struct Brick {
    dir: String,
    volume: Option<Uuid>,
    space: Option<Space>,
    images: Vec<Image>,
}

#[derive(Debug, Serialize)]
struct Image {
    /// That of its volume.
    name: LvName,
    size: Bytes,
    allocated: Bytes,
    kind: ImageKind,
    /// The name of what it is a snapshot of.
    origin: Option<LvName>,
}

impl Image {
    fn new(volume: BackingVolume) -> Option<Image> {
        volume.gfid.filter(|_| !volume.outgoing)?;
        Some(Image {
            name: volume.name,
            size: volume.size,
            allocated: volume.allocated,
            kind: volume.kind,
            origin: volume.origin,
        })
    }
}

/// All there is to see now.
pub(crate) fn json(service: &Service) -> serde_json::Result<String> {
    let pools = service.pools();
    let pools_unreadable = pools.is_err();
    let histories = service.histories();
    let pools = pools.unwrap_or_default().into_iter().map(|info| {
        let history = thinned(&histories.samples(&info.vg, &info.pool));
        Pool { info, history }
    });
    let mut known = service.known();
    let mut figures = service.figures();
    figures.sort_unstable_by(|a, b| a.dir.cmp(&b.dir));
    let bricks = figures.into_iter().map(|brick| {
        let volumes = known.remove(&brick.dir).unwrap_or_default();
        let mut images: Vec<Image> = volumes.into_iter().filter_map(Image::new).collect();
        images.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Brick {
            dir: brick.dir.display().to_string(),
            volume: brick.volume,
            space: brick.space,
            images,
        }
    });
    serde_json::to_string(&Status {
        version: env!("CARGO_PKG_VERSION"),
        host: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        now: bd_engine::clock::now(),
        pools_unreadable,
        pools: pools.collect(),
        bricks: bricks.collect(),
        jobs: service.jobs(),
    })
}

/// Evenly spaced samples, with the last one.
fn thinned(samples: &[Sample]) -> Vec<(u64, Bytes, Bytes)> {
    let step = samples.len().div_ceil(POINTS).max(1);
    let few = samples.iter().rev().step_by(step);
    let mut points: Vec<_> = few.map(|s| (s.at, s.used, s.size)).collect();
    points.reverse();
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_has_so_many_points_and_ends_now() {
        let sample = |at| Sample {
            at,
            used: Bytes(at),
            size: Bytes(9),
            metadata_used: Bytes(0),
            metadata_size: Bytes(0),
        };
        let samples: Vec<Sample> = (0..1440).map(sample).collect();
        let points = thinned(&samples);
        assert_eq!(points.len(), POINTS);
        assert_eq!(points.last(), Some(&(1439, Bytes(1439), Bytes(9))));
        assert_eq!(thinned(&samples[..3]).len(), 3);
        assert!(thinned(&[]).is_empty());
    }
}
