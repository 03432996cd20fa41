use std::path::PathBuf;

use bd_model::{Bytes, LvName, VgName};
use bd_proto::{BrickInfo, BrickSpec, EngineSpec, Request};

use super::group::{find_group, pools};
use super::mount;
use crate::CliError;
use crate::context::Context;
use crate::interrupt::Interrupt;
use crate::server::ask_brick;

/// The thin pool that a brick's images come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The only one of the VG; where there is none, images are thick.
    Only,
    /// This one.
    Named(LvName),
    /// None, though the VG may have one: images are thick.
    Thick,
}

impl Wanted {
    /// What `--pool` and `--thick` say.
    pub(crate) fn of(pool: Option<LvName>, thick: bool) -> Wanted {
        match (pool, thick) {
            (Some(pool), _) => Wanted::Named(pool),
            (None, true) => Wanted::Thick,
            (None, false) => Wanted::Only,
        }
    }

    /// The pool in `vg`, if it is to be one.
    ///
    /// # Errors
    /// There are several, and none was named.
    pub(crate) fn find(&self, vg: &str) -> Result<Option<LvName>, CliError> {
        match self {
            Wanted::Only => only_pool(vg),
            Wanted::Named(pool) => Ok(Some(pool.clone())),
            Wanted::Thick => Ok(None),
        }
    }
}

/// Where a new brick shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrickSource {
    /// The VG that holds its images.
    pub(crate) vg: VgName,
    /// Its thin pool.
    pub(crate) pool: Wanted,
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
    let usual = mount::brick_dir(vg);
    if group.holds_brick() && source.dir.is_none() && !usual.is_dir() {
        return Err(CliError::Refused(format!(
            "volume group {vg} serves another brick already (see vgs -o vg_tags {vg}); if that is \
             {}, mount it: mount {0}",
            usual.parent().unwrap_or(&usual).display()
        )));
    }
    let pool = source.pool.find(vg)?;
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
        several => {
            let names: Vec<&str> = several.iter().map(|pool| pool.pool.as_str()).collect();
            Err(CliError::Refused(format!(
                "volume group {vg} has more than one thin pool ({}); choose one with --pool, or none \
                 with --thick: gluster-bd brick create, or brick init, takes either",
                names.join(", ")
            )))
        }
    }
}
