use std::fmt;
use std::path::PathBuf;

use bd_dm_thin::Inherited;
use bd_model::{BrickId, Bytes, Gfid, VgName};
use bd_proto::Fault;

/// What a job needs to know of the brick whose image it works on.
pub trait JobTarget: fmt::Debug {
    /// Its identity.
    fn id(&self) -> BrickId;

    /// Its directory.
    fn dir(&self) -> PathBuf;

    /// Its volume group, if it has one.
    fn vg(&self) -> Option<VgName>;

    /// What people call an image.
    fn name(&self, gfid: Gfid) -> String;

    /// The chunks that an image has from the one it was copied of; `None` if it has none, ever.
    fn inherited(&self, gfid: Gfid, before: Option<u64>) -> Result<Option<Inherited>, Fault>;

    /// Why the pool should not take `now` bytes more, of `all` that are to come; `None` if it may.
    fn no_room(&self, now: Bytes, all: Bytes) -> Result<Option<String>, Fault>;
}
