use std::path::PathBuf;

use bd_model::{Bytes, LvName, VgName};
use bd_proto::{BrickInfo, BrickSpec, EngineSpec, Request};

use super::group::{find_group, pools};
use super::mount;
use crate::CliError;
use crate::context::Context;
use crate::interrupt::Interrupt;
use crate::server::ask_brick;

/// Where a new brick shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrickSource {
    /// The VG that holds its images.
    pub(crate) vg: VgName,
    /// Its thin pool; the only one of the VG if not given.
    pub(crate) pool: Option<LvName>,
    /// Its directory; one on an LV of the VG is made if not given.
    pub(crate) dir: Option<PathBuf>,
    /// The name of its top image directory.
    pub(crate) top: Option<String>,
}

/// What there is when bricks are made and a signal comes.
pub(crate) const BRICKS_STAY: &str =
    "what was made so far stays, and the same command again goes on with it";

/// Makes a brick on a VG of this host; what is there already is taken as it is.
pub(crate) fn prepare(
    context: &Context,
    source: &BrickSource,
    interrupt: &Interrupt,
) -> Result<(PathBuf, BrickInfo), CliError> {
    let vg = source.vg.as_str();
    let group = find_group(vg)?.ok_or_else(|| {
        CliError::NotFound(format!(
            "there is no volume group {vg} on this host; see: vgs, or make it: gluster-bd storage \
             create {vg} DEVICE..."
        ))
    })?;
    let claimed = group
        .tags
        .split(',')
        .any(|tag| tag.starts_with("gluster_bd.brick="));
    let usual = mount::brick_dir(vg);
    if claimed && source.dir.is_none() && !usual.is_dir() {
        return Err(CliError::Refused(format!(
            "volume group {vg} serves another brick already (see vgs -o vg_tags {vg}); if that is \
             {}, mount it: mount {0}",
            usual.parent().unwrap_or(&usual).display()
        )));
    }
    let pool = match &source.pool {
        Some(pool) => Some(pool.clone()),
        None => only_pool(vg)?,
    };
    let dir = match &source.dir {
        Some(dir) => dir.clone(),
        None => mount::make(vg, Bytes(group.size), interrupt)?,
    };
    interrupt.check_or(BRICKS_STAY)?;
    let spec = BrickSpec {
        dir: dir.clone(),
        engine: EngineSpec::Lvm {
            vg: source.vg.clone(),
            pool,
        },
        top: source.top.clone(),
        adopt: true,
    };
    let info = ask_brick(&context.socket, &Request::InitBrick(spec))?;
    Ok((dir, info))
}

fn only_pool(vg: &str) -> Result<Option<LvName>, CliError> {
    let found: Vec<_> = pools()?.into_iter().filter(|pool| pool.vg == vg).collect();
    match found.as_slice() {
        [] => Ok(None),
        [pool] => pool.pool.parse().map(Some).map_err(|error| {
            CliError::Failed(format!("cannot use pool {vg}/{}: {error}", pool.pool))
        }),
        _ => Err(CliError::Refused(format!(
            "volume group {vg} has more than one thin pool; choose one: gluster-bd brick create \
             {vg} --pool POOL"
        ))),
    }
}
