use std::path::PathBuf;

use bd_bricks::Brick;
use bd_dm_thin::Inherited;
use bd_model::{BrickId, Bytes, Gfid, VgName};
use bd_proto::{EngineSpec, Fault};

use bd_jobs::JobTarget;

/// A brick as what jobs are about: neither of the two knows of the other.
#[derive(Debug)]
pub(crate) struct Target<'a>(pub(crate) &'a Brick);

impl JobTarget for Target<'_> {
    fn id(&self) -> BrickId {
        self.0.id()
    }

    fn dir(&self) -> PathBuf {
        self.0.dir().to_owned()
    }

    fn vg(&self) -> Option<VgName> {
        match self.0.engine().spec() {
            EngineSpec::Lvm { vg, .. } => Some(vg),
            EngineSpec::File { .. } => None,
        }
    }

    fn name(&self, gfid: Gfid) -> String {
        let path = self.0.path_of(gfid).map(|path| path.display().to_string());
        path.or_else(|| {
            let found = self.0.engine().find(gfid).ok().flatten();
            found.map(|volume| volume.name.to_string())
        })
        .unwrap_or_else(|| gfid.to_string())
    }

    fn inherited(&self, gfid: Gfid, before: Option<u64>) -> Result<Option<Inherited>, Fault> {
        self.0.inherited(gfid, before)
    }

    fn no_room(&self, now: Bytes, all: Bytes) -> Result<Option<String>, Fault> {
        Ok(self.0.engine().no_room(now, all)?)
    }
}
