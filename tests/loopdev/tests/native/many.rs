//! Many images: how long a list of them takes.

use std::fs::File;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use loopdev::{Place, cmd, run};

use crate::commands;

/// How many there are: `GBT_IMAGES`, or what fits a test run.
fn count() -> usize {
    let text = std::env::var("GBT_IMAGES").ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(100)
}

/// The shortest time of three, and what was printed.
fn quickest(program: &str, args: &[&str]) -> Result<(Duration, usize)> {
    let mut best = None;
    let mut lines = 0;
    for _ in 0..3 {
        let start = Instant::now();
        lines = cmd(program, args)?.ok()?.lines().len();
        let took = start.elapsed();
        best = Some(best.map_or(took, |best: Duration| best.min(took)));
    }
    Ok((best.unwrap_or_default(), lines))
}

#[test]
fn a_list_of_many_images() {
    run("native::a_list_of_many_images", Place::Native, |rig| {
        let count = count();
        let (bed, ..) = commands::bed(rig)?;
        let mount = rig.mount(&bed.volume, &[])?;
        let top = mount.join(&bed.top);
        let start = Instant::now();
        for number in 0..count {
            File::create_new(top.join(format!("image{number:05}")))?;
        }
        println!(
            "measured: {count} images made in {:.1} s",
            start.elapsed().as_secs_f32()
        );
        rig.unmount(&mount)?;
        let (list, lines) = quickest("gluster-bd", &["list", bed.volume.name()])?;
        ensure!(lines == count + 1, "{lines} lines");
        // A mount that remembers nothing, as the command begins with nothing.
        let options = ["--attribute-timeout=0", "--entry-timeout=0"];
        let mount = rig.mount(&bed.volume, &options)?;
        let top = mount.join(&bed.top).display().to_string();
        let (ls, lines) = quickest("ls", &["-l", &top])?;
        ensure!(lines == count + 1, "{lines} lines");
        println!(
            "measured: of {count} images, list takes {:.2} s and ls -l {:.2} s",
            list.as_secs_f32(),
            ls.as_secs_f32()
        );
        rig.unmount(&mount)
    });
}
