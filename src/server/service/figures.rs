//! What is told of bricks and pools without asking LVM.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use bd_bricks::{Brick, Room};
use bd_engine::BackingVolume;
use bd_engine::thin_pool::Histories;
use bd_proto::{Fault, ImageUsage, PoolInfo, Space};
use uuid::Uuid;

use super::Service;

/// A brick in figures.
#[derive(Clone, Debug)]
pub(crate) struct BrickFigures {
    /// Its directory.
    pub(crate) dir: PathBuf,
    /// The Gluster volume it belongs to.
    pub(crate) volume: Option<Uuid>,
    /// Total and free bytes, if they can be told.
    pub(crate) space: Option<Space>,
    /// Room on the file system of its names, if that can be told.
    pub(crate) names: Option<Room>,
    /// How many images it has, if that is known.
    pub(crate) images: Option<u64>,
}

impl Service {
    /// How the thin pools of all bricks are.
    pub fn pools(&self) -> Result<Vec<PoolInfo>, Fault> {
        let bricks: Vec<_> = self.bricks().values().cloned().collect();
        let mut pools = Vec::new();
        for brick in bricks {
            pools.extend(brick.engine().pool()?);
        }
        pools.sort_by(|a, b| (&a.vg, &a.pool).cmp(&(&b.vg, &b.pool)));
        self.histories.forecast(&mut pools);
        Ok(pools)
    }

    /// What pools held in the last hours.
    pub(crate) fn histories(&self) -> &Histories {
        &self.histories
    }

    /// What there is to say of each brick without asking LVM.
    pub(crate) fn figures(&self) -> Vec<BrickFigures> {
        let bricks: Vec<_> = self.bricks().values().cloned().collect();
        let figures = bricks.iter().map(|brick| BrickFigures {
            dir: brick.dir().to_owned(),
            volume: brick.info().volume,
            space: brick.space().ok(),
            names: Room::of(brick.dir()),
            images: brick.engine().count(),
        });
        figures.collect()
    }

    /// The directories of bricks, and their volumes as far as they are known without asking LVM.
    pub(crate) fn known(&self) -> HashMap<PathBuf, Vec<BackingVolume>> {
        let bricks: Vec<_> = self.bricks().values().cloned().collect();
        let known = bricks
            .iter()
            .map(|b| (b.dir().to_owned(), b.engine().known()));
        known.collect()
    }

    /// What the images of all bricks have read, written and allocated.
    pub(super) fn usage(&self) -> Vec<ImageUsage> {
        let bricks: Vec<_> = self.bricks().values().cloned().collect();
        let of_brick = |brick: &Arc<Brick>| {
            let dir = brick.dir().to_owned();
            let used = brick.engine().used().into_iter();
            let usage = used.map(move |used| ImageUsage {
                brick: dir.clone(),
                gfid: used.gfid,
                lv: used.name,
                allocated: used.allocated,
                io: used.io,
            });
            usage.collect::<Vec<_>>()
        };
        bricks.iter().flat_map(of_brick).collect()
    }
}
