//! Images are read and written through io_uring, past the brick's io-threads, as in all other tests; or
//! by threads, and through those of the brick.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use loopdev::{Backing, Bed, wait_for};

use crate::images::{DATA, run_steps_on};

/// What the brick's log says of it.
fn brick_said(bed: &Bed<'_>, text: &str) -> Result<bool> {
    let name = bed.brick().to_string_lossy();
    let name = name.trim_start_matches('/').replace('/', "-");
    let path = Path::new("/var/log/glusterfs/bricks").join(format!("{name}.log"));
    let log = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(log.contains(text))
}

fn restart(bed: &mut Bed<'_>) -> Result<()> {
    bed.volume.stop()?;
    bed.volume.start()?;
    bed.remount()
}

#[test]
fn by_threads() {
    let prepare = |bed: &mut Bed<'_>| {
        ensure!(brick_said(bed, "through io_uring")?);
        bed.volume.set("user.bd.bypass", "off")?;
        bed.volume.set("user.bd", "on")?;
        wait_for("the brick to hear of it", || {
            brick_said(bed, "go through io-threads from now on")
        })?;
        bed.volume.set("user.bd.io-engine", "threads")?;
        // The volfiles are written before an option is stored: they follow with the next one.
        bed.volume.set("user.bd", "on")?;
        restart(bed)?;
        ensure!(brick_said(bed, "by threads, as io-engine says")?);
        Ok(())
    };
    run_steps_on(
        "io_engine::by_threads",
        |rig| {
            let mut bed = rig.bed(Backing::File, 2048)?;
            prepare(&mut bed)?;
            Ok(bed)
        },
        &[DATA],
    );
}
