//! What heal makes of LVs: they follow the names of their files, go with their directory, and are
//! taken again by a brick that has lost its names.

use std::cell::RefCell;
use std::fs;

use anyhow::{Context, Result, ensure};
use loopdev::{Place, Rig, Vg, gluster_bd, run, sh, wait_for};

/// The image directory of all bricks.
const TOP: &str = "images";

fn init<'a>(dir: &'a str, vg: &'a Vg) -> [&'a str; 7] {
    ["brick", "init", dir, "--vg", vg.name(), "--top", TOP]
}

/// The LVs of a group, each with the start of its bytes.
fn held(vg: &Vg) -> Result<Vec<String>> {
    let names = vg.lvs()?;
    if names.is_empty() {
        return Ok(names);
    }
    // One may go meanwhile.
    let read = format!(
        "lvchange -ay {0} || true; for lv in {1}; do \
         echo $lv=$(head -c 8 /dev/{0}/$lv 2>/dev/null | tr -d '\\n\\0'); done",
        vg.name(),
        names.join(" ")
    );
    let mut held: Vec<String> = sh(&read)?.lines().into_iter().map(str::to_owned).collect();
    held.sort();
    Ok(held)
}

#[test]
fn of_volumes() {
    run("guest::heals::of_volumes", Place::Guest, body);
}

fn body(rig: &mut Rig) -> Result<()> {
    let mut groups = Vec::new();
    for number in 0..3 {
        groups.push(rig.vg(&format!("vg{number}"), &[64])?);
    }
    let disk = rig.filesystem("disk", 512)?;
    let dirs: Vec<_> = (0..3).map(|n| disk.join(format!("b{n}"))).collect();
    let _server = rig.bdd()?;
    let _glusterd = rig.glusterd()?;
    for (dir, vg) in dirs.iter().zip(&groups) {
        fs::create_dir(dir)?;
        gluster_bd(&init(&dir.display().to_string(), vg))?.ok()?;
    }
    let volume = rig.volume_with("vol", &["replica", "3"], &dirs)?;
    volume.serve_images()?;
    volume.start()?;
    let top = rig.mount(&volume, &[])?.join(TOP);
    let in_top = |script: &str| sh(&format!("set -e; cd {}; {script}", top.display()))?.ok();
    let agree = |wanted: &[&str]| -> Result<()> {
        let seen = RefCell::new(String::new());
        wait_for("the groups to agree", || {
            rig.gluster(&["volume", "heal", volume.name()])?;
            let all = groups.iter().map(held).collect::<Result<Vec<_>>>()?;
            seen.replace(format!("{all:?}"));
            Ok(all.iter().all(|held| held == wanted))
        })
        .with_context(|| seen.take())
    };
    in_top("mkdir d e; echo x >x; echo y >d/y; echo 1 >e/1; echo 2 >e/2")?;
    rig.kill9(volume.brick_pids()?[2])?;
    in_top("mv x z; mv d/y y; rm -r e")?;
    volume.start()?;
    agree(&["y=y", "z=x"])?;

    // The names are lost, the group is not.
    rig.kill9(volume.brick_pids()?[2])?;
    in_top("echo later >y")?;
    let dir = dirs[2].display().to_string();
    let brick = format!("{}:{dir}", rig.host()?);
    let reset = ["volume", "reset-brick", volume.name(), &brick];
    rig.gluster(&[&reset[..], &["start"]].concat())?.ok()?;
    fs::remove_dir_all(&dir)?;
    fs::create_dir(&dir)?;
    let refused = gluster_bd(&init(&dir, &groups[2]))?.fails()?;
    let cure = refused.stderr.split("free with ").nth(1);
    sh(cure.context("no cure")?.trim())?.ok()?;
    gluster_bd(&init(&dir, &groups[2]))?.ok()?;
    let commit = [brick.as_str(), "commit", "force"];
    rig.gluster(&[&reset[..], &commit].concat())?.ok()?;
    ensure!(held(&groups[2])? == ["y=y", "z=x"]);
    volume.start()?;
    rig.gluster(&["volume", "heal", volume.name(), "full"])?
        .ok()?;
    agree(&["y=later", "z=x"])?;
    for dir in &dirs {
        gluster_bd(&["check", &dir.display().to_string()])?.ok()?;
    }
    in_top("rm -rf ./*")?;
    agree(&[])
}
