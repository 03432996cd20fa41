//! Many images: how long a list of them takes, and what a brick does that may have no more descriptors.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use loopdev::{Backing, Place, cmd, run};
use nix::libc;

use crate::commands;
use crate::images::tools::pattern;

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

/// A brick without descriptors says so; what is open goes on, and the rest as soon as there are some.
#[test]
fn images_need_descriptors() {
    let name = "native::images_need_descriptors";
    run(name, Place::Native, |rig| {
        let mut bed = rig.bed(Backing::File, 512)?;
        let names: Vec<String> = (0..30).map(|number| format!("i{number}")).collect();
        for name in &names {
            fs::write(bed.at(name), pattern(1, 8192))?;
        }
        bed.kill_brick()?;
        bed.start_brick()?;
        bed.remount()?;
        let pid = bed.volume.brick_pids()?.pop().context("no brick")?;
        let limit = |count: usize| {
            let words = [format!("--nofile={count}:"), format!("--pid={pid}")];
            cmd("prlimit", &words)?.ok()
        };
        let has = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        limit(has + 20)?;
        let open = |name: &String| {
            let file = File::options().read(true).write(true).open(bed.at(name))?;
            file.write_all_at(&pattern(2, 4096), 0)?;
            file.sync_all()?;
            Ok::<_, std::io::Error>(file)
        };
        let mut held = Vec::new();
        let refused = names.iter().find_map(|name| match open(name) {
            Ok(file) => {
                held.push(file);
                None
            }
            Err(error) => Some(error),
        });
        let refused = refused.context("all were opened")?;
        ensure!(refused.raw_os_error() == Some(libc::EMFILE), "{refused}");
        ensure!(!held.is_empty(), "none was opened");
        for file in &held {
            file.write_all_at(&pattern(3, 4096), 4096)?;
            file.sync_all()?;
        }
        limit(4096)?;
        for name in &names {
            open(name)?;
        }
        let both = [pattern(2, 4096), pattern(3, 4096)].concat();
        ensure!(fs::read(bed.at(&names[0]))? == both);
        drop(held);
        bed.check()
    });
}
