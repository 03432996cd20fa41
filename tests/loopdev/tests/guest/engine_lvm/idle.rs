//! Images that nobody has open are deactivated, and come back when somebody wants them.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use bd_engine::thin_pool::{Policies, PolicyFile};
use bd_engine::{Engine, Removed};
use bd_lvm::Executor;
use bd_model::{Gfid, ImageKind};
use loopdev::{Vg, wait_for};

use super::{all_of, create, done, name, open, put};

/// On a group with the pool `pool`; leaves no images.
pub(super) fn images_rest(executor: &Executor, vg: &Vg) -> Result<()> {
    let policies = PolicyFile::parse(Path::new("policy.toml"), "[default]\nidle = 1\n")?;
    let engine = done(open(executor, vg, Some("pool")))?;
    let engine = engine.with_policies(Arc::new(Policies::new(policies)));
    let kinds = [ImageKind::Thin, ImageKind::Thick, ImageKind::Thin];
    let mut images = Vec::new();
    for (lv, kind) in ["thin", "thick", "open"].into_iter().zip(kinds) {
        let (gfid, _) = create(&engine, lv, kind, 8)?;
        put(&engine, gfid, 0, lv.as_bytes())?;
        images.push(gfid);
    }
    let [thin, thick, used] = images[..] else {
        anyhow::bail!("three images");
    };
    let is_active = |lv: &str| Ok::<_, anyhow::Error>(vg.field(lv, "lv_active")? == "active");
    let allocated = done(engine.allocated(&images))?;
    let opened = done(engine.open(used))?;
    wait_for("idle images to be deactivated", || {
        engine.rest_idle();
        Ok(!is_active("thin")? && !is_active("thick")?)
    })?;
    assert!(is_active("open")? && is_active("pool")?);
    assert_eq!(done(engine.allocated(&images))?, allocated);
    // Of one that is not active, too.
    let copy = Gfid::random();
    done(engine.snapshot(thin, copy, &name("copy"), None))?;
    assert_eq!(all_of(&engine, copy)?[..4], *b"thin");
    assert_eq!(done(engine.remove(thick))?, Removed::Gone);
    assert!(!is_active("thin")?);
    assert_eq!(all_of(&engine, thin)?[..4], *b"thin");
    assert!(is_active("thin")?);
    drop(opened);
    for gfid in [thin, copy, used] {
        assert_eq!(done(engine.remove(gfid))?, Removed::Gone);
    }
    Ok(())
}
