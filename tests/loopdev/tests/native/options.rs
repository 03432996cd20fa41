//! Options of stock Gluster that could harm images.

mod features;
mod table;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Result, ensure};
use loopdev::{Backing, Bed, Place, cmd, gluster_bd, run, sh, wait_for};

use crate::images::tools::{errno, expect_at, meta, pattern, put, sh_in, size_of};

/// The value of an option.
fn value(bed: &Bed<'_>, volume: &str, key: &str) -> Result<String> {
    let said = bed.rig.gluster(&["volume", "get", volume, key])?.ok()?;
    let words = said.stdout.lines().last().unwrap_or_default();
    Ok(words.split_whitespace().nth(1).unwrap_or_default().into())
}

#[test]
fn sharding_leaves_images_whole() {
    let name = "native::sharding_leaves_images_whole";
    run(name, Place::Native, |rig| {
        // Before the server, which has files of it open.
        let disk = rig.filesystem("old", 512)?;
        let mut bed = rig.bed(Backing::File, 1024)?;
        let volume = bed.volume.name().to_owned();
        // As `group virt` does, which is for replicated volumes only.
        let options = "network.remote-dio off features.shard on user.note x";
        let set = format!("gluster --mode=script volume set {volume}");
        // A second one comes before the hook can do anything.
        sh(&format!(
            "{set} {options}; {set} performance.flush-behind off"
        ))?;
        wait_for("sharding to be off again", || {
            Ok(value(&bed, &volume, "features.shard")? == "off")
        })?;
        let second = bed.another_mount(&[])?;
        let images = second.join(bed.top());
        sh_in(
            &images,
            "head -c 80M /dev/urandom > a; sync a; ln a b; ln -s a s",
        )?;
        sh_in(
            &bed.images(),
            "cmp a b; cmp a s; truncate -s 100M new; ln new n2",
        )?;
        ensure!(size_of(&bed.at("n2"))? == 100 << 20);
        ensure!(!bed.brick().join(".shard").exists(), "pieces lie beside");
        bed.check()?;
        on_before(&mut bed, &disk)
    });
}

/// On a volume that was sharded before: its files stay whole, and no image is made of pieces.
fn on_before(bed: &mut Bed<'_>, disk: &Path) -> Result<()> {
    let (brick, store) = (disk.join("b"), disk.join("top"));
    fs::create_dir(&store)?;
    let volume = bed.rig.volume("old", std::slice::from_ref(&brick))?;
    volume.set("features.shard", "on")?;
    volume.start()?;
    let mount = bed.rig.mount(&volume, &[])?;
    sh_in(
        &mount,
        "head -c 80M /dev/urandom > pieces; sync pieces; md5sum pieces > sum",
    )?;
    ensure!(brick.join(".shard").exists(), "the volume is not sharded");
    bed.rig.unmount(&mount)?;
    volume.stop()?;
    let words = [
        "brick",
        "init",
        &brick.display().to_string(),
        "--engine",
        "file",
        "--store",
    ];
    gluster_bd(&[&words[..], &[&store.display().to_string()]].concat())?.ok()?;
    volume.serve_images()?;
    volume.start()?;
    let mount = bed.rig.mount(&volume, &[])?;
    sh_in(&mount, "md5sum -c sum")?;
    let refused = |what: &str, line: &str| -> Result<()> {
        let said = sh(&format!(
            "cd {}; LC_ALL=C {line} 2>&1 || true",
            mount.display()
        ))?;
        ensure!(
            said.stdout.contains("Operation not supported"),
            "{what}: {said}"
        );
        Ok(())
    };
    refused("create", "sh -c 'echo > top/x'")?;
    refused("mark", "setfattr -n user.glusterfs.bd -v thin pieces")?;
    let code = errno("mknod", cmd_mknod(&mount.join("top/y")))?;
    ensure!(code == nix::libc::EOPNOTSUPP, "mknod: {code}");
    ensure!(fs::read_dir(mount.join("top"))?.count() == 0);
    let check = || Ok::<_, anyhow::Error>(gluster_bd(&["check"])?.stdout);
    let said = check()?;
    let cure = format!("gluster volume set {} features.shard off", volume.name());
    ensure!(
        said.contains("features.shard") && said.contains(&cure),
        "{said}"
    );
    // Without pieces it can be switched off.
    fs::remove_file(mount.join("pieces"))?;
    volume.set("features.shard", "off")?;
    bed.rig.unmount(&mount)?;
    let mount = bed.rig.mount(&volume, &[])?;
    cmd("cp", &[bed.at("a"), mount.join("top/x")])?.ok()?;
    ensure!(meta(&mount.join("top/x"))?.size() == 80 << 20);
    ensure!(!check()?.contains("features.shard"), "{}", check()?);
    bed.rig.unmount(&mount)
}

fn cmd_mknod(path: &Path) -> std::io::Result<()> {
    use nix::sys::stat::{Mode, SFlag, mknod};
    mknod(path, SFlag::S_IFREG, Mode::S_IRUSR, 0).map_err(Into::into)
}

#[test]
fn trash_keeps_no_images() {
    let name = "native::trash_keeps_no_images";
    run(name, Place::Native, |rig| {
        let bed = rig.bed(Backing::File, 1024)?;
        bed.volume.set("features.trash", "on")?;
        let bytes = pattern(1, 1 << 20);
        fs::create_dir(bed.at("d"))?;
        for path in ["a", "d/a", "../plain", "b"] {
            fs::write(bed.at(path), &bytes)?;
        }
        for path in ["a", "d/a", "../plain"] {
            fs::remove_file(bed.at(path))?;
            ensure!(!bed.at(path).exists());
        }
        // Their volumes go, and nothing comes to other places; plain files go to the trash.
        bed.expect_names(&["b"])?;
        let there = sh_in(
            bed.root(),
            "ls -A | tr '\\n' ' '; cd .trashcan; find . -type f",
        )?;
        let expected = format!(".trashcan {} ./plain_", bed.top());
        ensure!(
            there.stdout.starts_with(&expected) && there.stdout.lines().count() == 1,
            "{there}"
        );
        // Trash copies what is cut off.
        fs::File::options()
            .write(true)
            .open(bed.at("b"))?
            .set_len(5000)?;
        ensure!(size_of(&bed.at("b"))? == 5000);
        expect_at(&bed.at("b"), 0, &bytes[..5000])?;
        bed.check()?;
        let said = gluster_bd(&["check"])?.stdout;
        ensure!(said.contains("features.trash"), "{said}");
        bed.volume.set("features.trash", "off")
    });
}

/// `gluster volume reset` takes `user.bd` away with all else.
#[test]
fn reset_leaves_images_what_they_are() {
    let name = "native::reset_leaves_images_what_they_are";
    run(name, Place::Native, |rig| {
        let mut bed = rig.bed(Backing::File, 512)?;
        let bytes = pattern(1, 1 << 20);
        fs::write(bed.at("a"), &bytes)?;
        let volume = bed.volume.name().to_owned();
        bed.rig.gluster(&["volume", "reset", &volume])?.ok()?;
        let info = bed.rig.gluster(&["volume", "info", &volume])?.ok()?.stdout;
        ensure!(!info.contains("user.bd: on"), "{info}");
        let anew = |bed: &mut Bed<'_>| -> Result<()> {
            bed.volume.stop()?;
            bed.volume.start()?;
            bed.remount()
        };
        anew(&mut bed)?;
        expect_at(&bed.at("a"), 0, &bytes)?;
        // Clients may lack the translator by which a link is a copy.
        let code = errno("a link", fs::hard_link(bed.at("a"), bed.at("b")))?;
        ensure!(code == nix::libc::EOPNOTSUPP, "{code}");
        put(&bed.at("a"), 5000, b"more")?;
        let said = gluster_bd(&["check"])?.stdout;
        let cure = format!("gluster volume set {volume} user.bd on");
        ensure!(said.contains(&cure), "{said}");
        bed.volume.serve_images()?;
        anew(&mut bed)?;
        expect_at(&bed.at("a"), 5000, b"more")?;
        fs::hard_link(bed.at("a"), bed.at("b"))?;
        ensure!(!gluster_bd(&["check"])?.stdout.contains(&cure));
        bed.clear()?;
        bed.check()
    });
}

#[test]
fn acl_mounts_copy_for_users() {
    let name = "native::acl_mounts_copy_for_users";
    run(name, Place::Native, |rig| {
        let mut bed = rig.bed(Backing::File, 1024)?;
        let mount = bed.another_mount(&["--acl"])?;
        let images = mount.join(bed.top());
        sh_in(
            &images,
            "mkdir mine; chown 1000 mine; echo root > r; chmod 666 r",
        )?;
        // Right after the copy: a look at the name would mend what it lacks.
        let user = "setpriv --reuid 1000 --regid 1000 --clear-groups bash -ec";
        for round in 0..5 {
            let line = format!(
                "cd mine; echo mine > a{round}; ln a{round} b{round}; echo more >> b{round}; \
                 ln ../r c{round}; cat b{round} c{round}; echo c > c{round}; \
                 ln -s a{round} s{round}; echo s >> s{round}; cat s{round}"
            );
            let said = sh_in(&images, &format!("{user} '{line}'"))?;
            ensure!(
                said.stdout == "mine\nmore\nroot\nmine\ns",
                "{round}: {said}"
            );
        }
        // An ACL that lets nobody read is one for the copy, too.
        let locked = "echo secret > l; setfacl -m u:1000:--- l; chmod 640 l";
        sh_in(&images, locked)?;
        let said = sh_in(&images, &format!("! {user} 'cat l' 2>&1"))?;
        ensure!(said.stdout.contains("Permission denied"), "{said}");
        bed.clear()?;
        bed.check()
    });
}
