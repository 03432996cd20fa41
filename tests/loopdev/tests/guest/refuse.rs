//! Bricks that cannot be: each is refused with the name of what is wrong, and leaves nothing.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use loopdev::{Output, Place, Rig, Vg, gluster_bd, run, sh};

/// Fails unless the command failed and said these words.
fn refused(output: Output, words: &[&str]) -> Result<()> {
    let output = output.fails()?;
    println!("measured: exit {}: {}", output.code, output.stderr);
    for word in words {
        ensure!(output.stderr.contains(word), "{word:?} is not in: {output}");
    }
    Ok(())
}

fn init(brick: &Path, words: &[&str]) -> Result<Output> {
    let brick = brick.to_string_lossy();
    gluster_bd(&[&["brick", "init", &brick], words].concat())
}

/// What a refused brick must not have changed.
fn state(vg: &Vg, brick: &Path) -> Result<String> {
    let tags = vg
        .lvm("vgs", &["-o", "vg_tags,vg_systemid,lv_count", vg.name()])?
        .ok()?
        .stdout;
    let lvs = vg
        .lvm("lvs", &["-a", "-o", "name,size,tags", vg.name()])?
        .ok()?
        .stdout;
    let found = sh(&format!(
        "find '{0}' | sort; getfattr -d -m - '{0}'",
        brick.display()
    ))?
    .stdout;
    Ok(format!("{tags}\n{lvs}\n{found}"))
}

fn unchanged(vg: &Vg, brick: &Path, what: &str, body: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = state(vg, brick)?;
    body().with_context(|| what.to_owned())?;
    let after = state(vg, brick)?;
    ensure!(
        before == after,
        "{what} changed something: {before}\nbecame\n{after}"
    );
    Ok(())
}

#[test]
fn bad_bricks() {
    run("guest::refuse::bad_bricks", Place::Guest, bad_bricks_body);
}

fn bad_bricks_body(rig: &mut Rig) -> Result<()> {
    let vg = rig.vg("vg", &[128])?;
    vg.thin_pool("pool", 32)?;
    let disk = rig.filesystem("disk", 320)?;
    rig.bdd()?;
    let brick = disk.join("b1");
    fs::create_dir(&brick)?;
    let name = vg.name().to_owned();

    unchanged(&vg, &brick, "a missing group", || {
        refused(init(&brick, &["--vg", "gbt_none"])?, &["gbt_none"])
    })?;
    unchanged(&vg, &brick, "a missing pool", || {
        refused(
            init(&brick, &["--vg", &name, "--pool", "nopool"])?,
            &["nopool"],
        )
    })?;
    unchanged(&vg, &brick, "a missing directory", || {
        refused(init(&disk.join("nodir"), &["--vg", &name])?, &["nodir"])
    })?;
    vg.lvm("lvchange", &["-y", "--zero", "n", &format!("{name}/pool")])?
        .ok()?;
    unchanged(&vg, &brick, "a pool that does not zero", || {
        refused(
            init(&brick, &["--vg", &name, "--pool", "pool"])?,
            &["pool", "lvchange"],
        )
    })?;
    vg.lvm("lvchange", &["-y", "--zero", "y", &format!("{name}/pool")])?
        .ok()?;

    let ram = rig.folder("ram")?;
    sh(&format!(
        "mount -t ramfs ram '{0}' && mkdir '{0}/b'",
        ram.display()
    ))?;
    let mounted = ram.clone();
    rig.on_teardown("ramfs", move || {
        sh(&format!("umount '{}'", mounted.display())).map(drop)
    });
    let before = state(&vg, &brick)?;
    let no_attributes = ram.join("b");
    refused(
        init(&no_attributes, &["--vg", &name, "--pool", "pool"])?,
        &["ram/b", "attributes"],
    )?;
    ensure!(
        fs::read_dir(&no_attributes)?.count() == 0,
        "something was left in {no_attributes:?}"
    );
    ensure!(state(&vg, &brick)? == before);

    // The group goes to another host for a while.
    let other = "--config=local { extra_system_ids=[\"other\"] }";
    vg.lvm("vgchange", &["-an", &name])?.ok()?;
    sh(&format!("vgchange -y '{other}' --systemid other {name}"))?;
    refused(
        init(&brick, &["--vg", &name, "--pool", "pool"])?,
        &[&name, "another host"],
    )?;
    ensure!(
        fs::read_dir(&brick)?.count() == 0,
        "something was left in {}",
        brick.display()
    );
    sh(&format!("vgchange -y '{other}' --systemid '' {name}"))?;

    // It becomes a brick, and can be no other's any more.
    init(&brick, &["--vg", &name, "--pool", "pool"])?.ok()?;
    let second = disk.join("b2");
    fs::create_dir(&second)?;
    unchanged(&vg, &second, "a group of another brick", || {
        refused(init(&second, &["--vg", &name, "--pool", "pool"])?, &[&name])
    })?;
    // The same once more is no error.
    init(&brick, &["--vg", &name, "--pool", "pool"])?.ok()?;
    Ok(())
}
