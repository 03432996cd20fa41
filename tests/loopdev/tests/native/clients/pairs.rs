//! Two clients that remove or replace the same names, again and again at the same moment.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::bricks::{self, TOP};
use crate::images::tools::sh_in;

/// How often each pair of changes meets.
const ROUNDS: usize = 40;

/// One step of a client; a name may be gone, and the other client's act then came first.
fn step(what: &str, act: io::Result<()>) -> Result<()> {
    match act {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context(what.to_owned()),
        _ => Ok(()),
    }
}

/// The first client's part of a round.
fn first(top: &Path, round: usize) -> Result<()> {
    let at = |name: &str| top.join(format!("{name}{round}"));
    step("unlink one name of two", fs::remove_file(at("links/a")))?;
    step("unlink", fs::remove_file(at("c")))?;
    step("rename over", fs::rename(at("d"), at("e")))?;
    step("rename over", fs::rename(top.join("f"), at("g")))
}

/// The second client's.
fn second(top: &Path, round: usize) -> Result<()> {
    let at = |name: &str| top.join(format!("{name}{round}"));
    step("unlink the other name", fs::remove_file(at("links/b")))?;
    step("unlink", fs::remove_file(at("c")))?;
    step("unlink what is replaced", fs::remove_file(at("e")))?;
    step("unlink", fs::remove_file(at("g")))
}

#[test]
fn leave_no_volume_behind() {
    bricks::on(
        "clients::pairs::leave_no_volume_behind",
        &[],
        1,
        |rig, bricks| {
            let other = rig.mount(&bricks.volume, &[])?;
            let tops = [bricks.mount.join(TOP), other.join(TOP)];
            sh_in(
                &tops[0],
                "mkdir links; setfattr -n user.glusterfs.bd.dir -v thin,link=hardlink links",
            )?;
            let barrier = Barrier::new(2);
            for round in 0..ROUNDS {
                for name in ["links/a", "c", "d", "e", "f", "g"] {
                    let name = match name {
                        "f" => name.to_owned(),
                        _ => format!("{name}{round}"),
                    };
                    File::create(tops[0].join(name))?;
                }
                let link = |name: &str| tops[0].join(format!("links/{name}{round}"));
                fs::hard_link(link("a"), link("b"))?;
                thread::scope(|scope| {
                    let one = scope.spawn(|| {
                        barrier.wait();
                        first(&tops[0], round)
                    });
                    barrier.wait();
                    let two = second(&tops[1], round);
                    one.join().expect("a client's thread")?;
                    two
                })
                .with_context(|| format!("round {round}"))?;
            }
            rig.unmount(&other)?;
            sh_in(&tops[0], "find . -type f -delete; rmdir links")?;
            let left = bricks.count()?;
            ensure!(left < ROUNDS, "{left} volumes are left");
            Ok(())
        },
    );
}
