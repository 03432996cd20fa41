//! A brick is served with the translator that knows images, or not at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use loopdev::{Backing, Bed, Place, Store, alive, cmd, gluster_bd, run, sh, wait_for};

use crate::images::tools::{expect_at, pattern};

const HOOKS: &str = "/var/lib/glusterd/hooks/1";
const LOG: &str = "/var/log/glusterfs/gluster-bd-filter.log";

/// glusterd's folder of the volume.
fn folder(bed: &Bed<'_>) -> PathBuf {
    Path::new("/var/lib/glusterd/vols").join(bed.volume.name())
}

/// The volfiles of the brick and of clients.
fn volfiles(bed: &Bed<'_>) -> Result<(PathBuf, PathBuf)> {
    let name = bed.volume.name();
    let brick = fs::read_dir(folder(bed))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            text.contains("type storage/posix")
        });
    let client = folder(bed).join(format!("trusted-{name}.tcp-fuse.vol"));
    Ok((brick.context("no volfile of the brick")?, client))
}

fn filter() -> Result<PathBuf> {
    let said = sh("ls /usr/lib/*/glusterfs/*/filter/gluster-bd")?;
    Ok(said.stdout.trim().into())
}

fn is_sealed(bed: &Bed<'_>) -> Result<bool> {
    has_seal(bed.brick())
}

fn has_seal(brick: &Path) -> Result<bool> {
    let brick = brick.display().to_string();
    let said = cmd("getfattr", &["--only-values", "-n", "trusted.gfid", &brick])?.ok()?;
    Ok(said.stdout.contains("gluster-bd-brick"))
}

/// Lets glusterd write the volfiles anew.
fn write_volfiles(bed: &Bed<'_>) -> Result<()> {
    let name = bed.volume.name().to_owned();
    let words = ["volume", "set", &name, "user.note", "x"];
    bed.rig.gluster(&words)?.ok()?;
    Ok(())
}

fn check_says(bed: &Bed<'_>, words: &[&str]) -> Result<()> {
    let said = gluster_bd(&["check"])?.stdout;
    for word in words {
        ensure!(said.contains(word), "{word} is not in {said}");
    }
    let cure = format!("gluster volume start {} force", bed.volume.name());
    ensure!(said.contains(&cure), "{said}");
    Ok(())
}

/// The volume does not start, and what it holds is as it was when it does again.
fn nothing_is_served(bed: &mut Bed<'_>, how: &str) -> Result<()> {
    let name = bed.volume.name().to_owned();
    bed.volume.stop()?;
    let words = ["volume", "start", &name, "force"];
    bed.rig.gluster(&words)?;
    wait_for(&format!("no brick to be served: {how}"), || {
        Ok(!bed.volume.brick_pids()?.into_iter().any(alive))
    })
}

fn serves_again(bed: &mut Bed<'_>, bytes: &[u8]) -> Result<()> {
    let name = bed.volume.name().to_owned();
    bed.rig
        .gluster(&["volume", "start", &name, "force"])?
        .ok()?;
    bed.remount()?;
    expect_at(&bed.at("a"), 0, bytes)?;
    fs::hard_link(bed.at("a"), bed.at("b"))?;
    expect_at(&bed.at("b"), 0, bytes)?;
    fs::remove_file(bed.at("b"))?;
    bed.check()
}

#[test]
fn without_the_filter() {
    run(
        "native::unserved::without_the_filter",
        Place::Native,
        |rig| {
            let mut bed = rig.bed(Backing::File, 512)?;
            let bytes = pattern(1, 1 << 20);
            fs::write(bed.at("a"), &bytes)?;
            let (brick, client) = volfiles(&bed)?;
            let filter = filter()?;
            let program = fs::read_to_string(&filter)?;
            let whole = (filter.clone(), program.clone());
            bed.rig
                .on_teardown("the filter", move || Ok(fs::write(&whole.0, &whole.1)?));
            // It fails in one way after another, while the brick runs.
            for (how, text) in [
                (
                    "missing",
                    program.replace("/gluster-bd volfile", "/gluster-no volfile"),
                ),
                (
                    "crashing",
                    program.replace("volfile-filter \"$v", "volfile-filter /dev/null/x \"$v"),
                ),
                (
                    "ended",
                    program.replace("gluster-bd volfile-filter \"$volfile\"", "false"),
                ),
            ] {
                ensure!(text != program, "{how}");
                fs::write(&filter, text)?;
                write_volfiles(&bed)?;
                for path in [&brick, &client] {
                    let text = fs::read_to_string(path)?;
                    ensure!(
                        text.contains("not-served") && !text.contains("type storage/bd\n"),
                        "{how}: {text}"
                    );
                }
                // What runs goes on.
                expect_at(&bed.at("a"), 0, &bytes)?;
                let other = bed.another_mount(&[]);
                ensure!(
                    other.is_err() || !other?.join(bed.top()).exists(),
                    "{how}: a client without bd-client"
                );
                check_says(&bed, &[LOG])?;
                nothing_is_served(&mut bed, how)?;
                fs::write(&filter, &program)?;
                serves_again(&mut bed, &bytes)?;
            }
            // Glusterd has written what we cannot read.
            for (path, how) in [(&brick, "a brick"), (&client, "a client")] {
                let text = fs::read_to_string(path)?;
                fs::write(path, format!("{text}\nsomething new\n"))?;
                cmd(&filter.display().to_string(), &[path])?.fails()?;
                let text = fs::read_to_string(path)?;
                ensure!(
                    text.starts_with("volume gluster-bd-could-not"),
                    "{how}: {text}"
                );
                let log = fs::read_to_string(LOG)?;
                ensure!(
                    log.contains("something new") && log.contains("is refused until"),
                    "{log}"
                );
                write_volfiles(&bed)?;
                ensure!(!fs::read_to_string(path)?.contains("not-served"), "{how}");
            }
            // No volume of ours is refused nothing.
            fs::write(
                &filter,
                program.replace("gluster-bd volfile", "gluster-no volfile"),
            )?;
            let disk = bed.rig.filesystem("plain", 512)?;
            let plain = bed.rig.volume("plain", &[disk.join("b")])?;
            plain.start()?;
            let mount = bed.rig.mount(&plain, &[])?;
            fs::write(mount.join("x"), "x")?;
            fs::write(&filter, &program)?;
            on_a_disk_that_hangs(&filter, &brick, bed.brick(), &mount)?;
            bed.rig.unmount(&mount)
        },
    );
}

/// The filter looks for a brick on a file system that does not answer: the mount of a client that is stopped.
fn on_a_disk_that_hangs(filter: &Path, volfile: &Path, brick: &Path, mount: &Path) -> Result<()> {
    let hangs = volfile.with_file_name("hangs.vol");
    let there = brick.display().to_string();
    let elsewhere = mount.join("b").display().to_string();
    let text = fs::read_to_string(volfile)?.replace(&there, &elsewhere);
    ensure!(text.contains(&elsewhere), "{text}");
    fs::write(&hangs, text)?;
    let client = format!("glusterfs .*{}", mount.display());
    cmd("pkill", &["-STOP", "-f", &client])?.ok()?;
    let (filter, path) = (filter.display().to_string(), hangs.display().to_string());
    let ended = cmd("timeout", &["60", &filter, &path]);
    cmd("pkill", &["-CONT", "-f", &client])?.ok()?;
    let ended = ended?;
    ensure!(ended.code == 1, "{ended}");
    let text = fs::read_to_string(&hangs)?;
    ensure!(text.starts_with("volume gluster-bd-could-not"), "{text}");
    let log = fs::read_to_string(LOG)?;
    ensure!(log.contains("does not answer within"), "{log}");
    // When it answers, the next run takes the block away.
    cmd(&filter, &[&path])?.ok()?;
    ensure!(!fs::read_to_string(&hangs)?.contains("not-served"));
    Ok(fs::remove_file(hangs)?)
}

/// As after an upgrade of GlusterFS, which looks for filters in another folder.
#[test]
fn without_a_filter_at_all() {
    run(
        "native::unserved::without_a_filter_at_all",
        Place::Native,
        |rig| {
            let mut bed = rig.bed(Backing::File, 512)?;
            let bytes = pattern(1, 1 << 20);
            fs::write(bed.at("a"), &bytes)?;
            let (brick, _) = volfiles(&bed)?;
            let hook = Path::new(HOOKS).join("start/pre/S90gluster-bd.sh");
            let executable = |path: &Path, is: bool| {
                let mode = if is { 0o755 } else { 0o644 };
                fs::set_permissions(path, fs::Permissions::from_mode(mode))
            };
            let filter = filter()?;
            let both = [filter.clone(), hook.clone()];
            bed.rig.on_teardown("the filter", move || {
                Ok(both.iter().try_for_each(|path| executable(path, true))?)
            });
            for path in [&filter, &hook] {
                executable(path, false)?;
            }
            ensure!(!is_sealed(&bed)?, "a brick that is served");
            write_volfiles(&bed)?;
            let text = fs::read_to_string(&brick)?;
            ensure!(!text.contains("storage/bd"), "{text}");
            // It runs as it was.
            expect_at(&bed.at("a"), 0, &bytes)?;
            nothing_is_served(&mut bed, "a plain volfile")?;
            ensure!(is_sealed(&bed)?);
            check_says(&bed, &["lacks storage/bd"])?;
            for path in [&filter, &hook] {
                executable(path, true)?;
            }
            serves_again(&mut bed, &bytes)?;
            // However its process ends.
            let pid = bed.volume.brick_pids()?[0];
            bed.rig.kill9(pid)?;
            wait_for("a seal after a kill", || is_sealed(&bed))?;
            serves_again(&mut bed, &bytes)?;
            bed.server().stop()?;
            bed.volume.stop()?;
            wait_for("a seal without gluster-bdd", || is_sealed(&bed))?;
            bed.start_server()?;
            serves_again(&mut bed, &bytes)?;
            // What is no brick any more is a directory as any other.
            bed.clear()?;
            bed.volume.stop()?;
            let dir = bed.brick().display().to_string();
            gluster_bd(&["brick", "remove", &dir])?.ok()?;
            ensure!(!is_sealed(&bed)?, "a brick that is none");
            Ok(())
        },
    );
}

/// A brick is emptied and made anew, as an arbiter, which is served without our translator: gluster-bdd remembers
/// what it was, and does not take its root from it.
#[test]
fn by_a_directory_that_was_another_brick() {
    run(
        "native::unserved::by_a_directory_that_was_another_brick",
        Place::Native,
        |rig| {
            // Before the server, which has files of it open.
            let disk = rig.filesystem("others", 512)?;
            let bed = rig.bed(Backing::File, 512)?;
            let arbiter = bed.brick().to_owned();
            bed.volume.stop()?;
            bed.rig
                .gluster(&["volume", "delete", bed.volume.name()])?
                .ok()?;
            fs::remove_dir_all(&arbiter)?;
            let dirs = [disk.join("b0"), disk.join("b1"), arbiter];
            for (number, dir) in dirs.iter().enumerate() {
                let store = disk.join(format!("s{number}")).join("images");
                fs::create_dir_all(&store)?;
                fs::create_dir(dir)?;
                gluster_bd(&Store::Folder(store).init(dir))?.ok()?;
            }
            let words = ["replica", "3", "arbiter", "1"];
            let volume = bed.rig.volume_with("again", &words, &dirs)?;
            volume.serve_images()?;
            volume.start()?;
            // When a brick's process ends, gluster-bdd looks at all bricks; twice, because of their order.
            for _ in 0..2 {
                bed.rig.kill9(volume.brick_pids()?[0])?;
                wait_for("a seal", || has_seal(&dirs[0]))?;
                volume.start()?;
            }
            ensure!(!has_seal(&dirs[2])?, "an arbiter that is served");
            let mount = bed.rig.mount(&volume, &[])?;
            fs::write(mount.join("images/a"), "bytes")?;
            ensure!(dirs[2].join("images/a").exists());
            Ok(())
        },
    );
}
