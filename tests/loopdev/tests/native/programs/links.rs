//! `ln` and `ln -s`: when they copy, and when they do not.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use loopdev::{Backing, Bed, sh};

use crate::images::tools::{errno, expect_at, meta, pattern, put, sh_in, size_of};

pub(crate) fn to_other_things_stay_links(bed: &mut Bed<'_>) -> Result<()> {
    fs::write(bed.root().join("plain"), "text")?;
    fs::create_dir(bed.at("dir"))?;
    for (target, name) in [
        ("nowhere", "dangling"),
        ("dir", "to-dir"),
        ("../plain", "to-plain"),
        ("/etc/passwd", "outside"),
        ("loop", "loop"),
    ] {
        symlink(target, bed.at(name))?;
        ensure!(
            meta(&bed.at(name))?.is_symlink(),
            "{name} is no symbolic link"
        );
        ensure!(
            fs::read_link(bed.at(name))?.to_str() == Some(target),
            "{name}"
        );
    }
    ensure!(fs::read_to_string(bed.at("to-plain"))? == "text");
    ensure!(bed.store.names()?.is_empty(), "{:?}", bed.store.names()?);
    // Outside of image directories a link to an image is a link.
    fs::write(bed.at("image"), "bytes")?;
    let outside = bed.root().join("pointer");
    symlink(format!("{}/image", bed.top()), &outside)?;
    ensure!(meta(&outside)?.is_symlink() && fs::read_to_string(&outside)? == "bytes");
    let second = bed.root().join("second");
    fs::hard_link(bed.at("image"), &second)?;
    ensure!(
        meta(&second)?.ino() == meta(&bed.at("image"))?.ino(),
        "a hard link is not one"
    );
    fs::write(&second, "other")?;
    ensure!(fs::read_to_string(bed.at("image"))? == "other");
    // The LV lives as long as one name does.
    fs::remove_file(bed.at("image"))?;
    ensure!(fs::read_to_string(&second)? == "other");
    ensure!(bed.store.names()?.len() == 1);
    Ok(())
}

/// A create that meets a symbolic link which the client could not know follows it there, and not on the
/// brick's host.
pub(crate) fn are_not_followed_by_bricks(bed: &mut Bed<'_>) -> Result<()> {
    let late = bed.rig.mount(&bed.volume, &["--negative-timeout=600"])?;
    let secret = bed.brick().with_file_name("secret");
    fs::write(&secret, "kept")?;
    for dir in [bed.top().to_owned(), "plain-dir".to_owned()] {
        let there = bed.root().join(&dir);
        fs::create_dir_all(&there)?;
        let name = late.join(&dir).join("new");
        ensure!(!name.exists());
        symlink("../../secret", there.join("new"))?;
        let seen = late.with_file_name("secret");
        fs::write(&name, "client")?;
        ensure!(fs::read_to_string(&seen)? == "client");
        fs::remove_file(&seen)?;
        ensure!(fs::read_to_string(&secret)? == "kept", "{dir}");
    }
    fs::remove_dir_all(bed.root().join("plain-dir"))?;
    fs::remove_file(&secret)?;
    Ok(())
}

pub(crate) fn of_images_follow_every_path(bed: &mut Bed<'_>) -> Result<()> {
    fs::create_dir(bed.at("dir"))?;
    fs::write(bed.at("image"), pattern(1, 9000))?;
    let inside = bed.at("image");
    symlink(&inside, bed.at("absolute"))?;
    symlink("../image", bed.at("dir/relative"))?;
    symlink(
        format!("./dir/../../{}/image", bed.top()),
        bed.at("winding"),
    )?;
    symlink("dir/relative", bed.at("copy-of-copy"))?;
    let names = ["absolute", "dir/relative", "winding", "copy-of-copy"];
    for (number, name) in (10..).zip(names) {
        let found = meta(&bed.at(name))?;
        ensure!(found.is_file() && found.size() == 9000, "{name}: {found:?}");
        expect_at(&bed.at(name), 0, &pattern(1, 9000))?;
        put(&bed.at(name), 0, &pattern(number, 100))?;
    }
    expect_at(&inside, 0, &pattern(1, 9000))?;
    for (number, name) in (10..).zip(names) {
        expect_at(&bed.at(name), 0, &pattern(number, 100))?;
    }
    through_a_bind_mount(bed)?;
    out_and_in_again(bed)?;
    // Names that are there stay what they are.
    let code = errno("ln", fs::hard_link(&inside, bed.at("absolute")))?;
    ensure!(code == nix::libc::EEXIST, "ln onto a name: errno {code}");
    let code = errno("ln -s", symlink("image", bed.at("absolute")))?;
    ensure!(code == nix::libc::EEXIST, "ln -s onto a name: errno {code}");
    ensure!(bed.store.names()?.len() == 6, "{:?}", bed.store.names()?);
    Ok(())
}

/// A bind mount shows images at another place, where absolute paths lead to them as well.
fn through_a_bind_mount(bed: &mut Bed<'_>) -> Result<()> {
    let seen = bed.rig.folder("seen here")?;
    let images = bed.images();
    sh(&format!(
        "mount --bind '{}' '{}'",
        images.display(),
        seen.display()
    ))?;
    // A link of the host leads to images, too, and `..` goes on from where it is.
    let link = seen.with_file_name("link");
    symlink(&seen, &link)?;
    let up = |path: &Path| path.join("..").join(path.file_name().unwrap_or_default());
    let made = symlink(seen.join("image"), seen.join("bound"))
        .and_then(|()| symlink(link.join("image"), images.join("linked")))
        .and_then(|()| symlink(up(&seen).join("image"), images.join("up")))
        .and_then(|()| {
            symlink(
                up(bed.root()).join(bed.top()).join("image"),
                images.join("upper"),
            )
        })
        .and_then(|()| symlink(seen.join("nothere"), seen.join("dangling")))
        .and_then(|()| symlink("/etc/passwd", seen.join("else")));
    fs::remove_file(link)?;
    sh(&format!("umount '{}'", seen.display()))?;
    made?;
    for name in ["bound", "linked", "up", "upper"] {
        let found = meta(&bed.at(name))?;
        ensure!(found.is_file() && found.size() == 9000, "{name}: {found:?}");
    }
    for name in ["linked", "up", "upper"] {
        fs::remove_file(bed.at(name))?;
    }
    for (name, to) in [
        ("dangling", seen.join("nothere")),
        ("else", "/etc/passwd".into()),
    ] {
        ensure!(fs::read_link(bed.at(name))? == to, "{name}");
        fs::remove_file(bed.at(name))?;
    }
    Ok(())
}

/// Paths that go into the mount, out of it and in again: absolute and relative ones lead where the kernel would
/// go, or are refused where they go out through a link of the volume.
fn out_and_in_again(bed: &mut Bed<'_>) -> Result<()> {
    let images = bed.images();
    let mount = bed.root().file_name().context("a mount point")?;
    let out = Path::new("../..").join(mount).join(bed.top());
    symlink("dir", bed.root().join("to-dir"))?;
    for (number, (dir, text)) in [
        ("", images.join(&out).join("image")),
        ("", images.join("dir/..").join(&out).join("image")),
        ("", out.join("image")),
        ("dir/", Path::new("..").join(&out).join("image")),
    ]
    .into_iter()
    .enumerate()
    {
        let name = bed.at(format!("{dir}out{number}"));
        symlink(&text, &name)?;
        let found = meta(&name)?;
        ensure!(
            found.is_file() && found.size() == 9000,
            "{}: {found:?}",
            text.display()
        );
        fs::remove_file(name)?;
    }
    // What is not there, and what is somewhere else.
    for text in [out.join("nothere"), "../../../../etc/passwd".into()] {
        symlink(&text, bed.at("else"))?;
        ensure!(fs::read_link(bed.at("else"))? == text);
        fs::remove_file(bed.at("else"))?;
    }
    let lost = bed.root().join("to-dir/../..").join(mount).join("image");
    let code = errno("ln -s", symlink(lost, bed.at("else")))?;
    ensure!(code == nix::libc::EXDEV, "errno {code}");
    ensure!(!bed.at("else").exists());
    fs::remove_file(bed.root().join("to-dir")).map_err(Into::into)
}

/// Right after the call, by every way to look at the new name.
pub(crate) fn are_right_at_once(bed: &mut Bed<'_>) -> Result<()> {
    fs::write(bed.at("a"), pattern(1, 5000))?;
    let times = if bed.store.backing() == Backing::File {
        10
    } else {
        3
    };
    for number in 0..times {
        let (clone, snap) = (bed.at(format!("c{number}")), bed.at(format!("s{number}")));
        fs::hard_link(bed.at("a"), &clone)?;
        put(&clone, 0, &pattern(2, 100))?;
        symlink("a", &snap)?;
        let found = meta(&snap)?;
        ensure!(found.is_file(), "{number}: lstat sees a symbolic link");
        put(&snap, 0, &pattern(3, 100))?;
        ensure!(errno("readlink", fs::read_link(&snap))? == nix::libc::EINVAL);
        ensure!(size_of(&clone)? == 5000 && size_of(&snap)? == 5000);
        ensure!(meta(&clone)?.ino() != meta(&bed.at("a"))?.ino());
        expect_at(&bed.at("a"), 0, &pattern(1, 5000))?;
        expect_at(&clone, 0, &pattern(2, 100))?;
        expect_at(&snap, 0, &pattern(3, 100))?;
        fs::rename(&snap, &clone)?;
        expect_at(&clone, 0, &pattern(3, 100))?;
    }
    Ok(())
}

/// What FUSE made, libgfapi reads and writes, and the other way round.
pub(crate) fn are_the_same_for_libgfapi(bed: &mut Bed<'_>) -> Result<()> {
    fs::write(bed.at("a"), vec![0x11; 1 << 20])?;
    sh_in(&bed.images(), "ln a b; ln -s a s")?;
    let url = |name: &str| bed.url(name);
    // Each is ten seconds about to end, as libgfapi is on any volume.
    sh(&format!(
        "qemu-io -f raw -c 'read -P 0x11 0 1M' -c 'write -P 0x22 4k 64k' -c flush {} & first=$!; \
         qemu-io -f raw -c 'read -P 0x11 0 1M' -c 'write -P 0x33 4k 64k' -c flush {}; wait $first",
        url("b")?,
        url("s")?
    ))?;
    expect_at(&bed.at("a"), 0, &vec![0x11; 1 << 20])?;
    expect_at(&bed.at("b"), 4096, &vec![0x22; 65536])?;
    expect_at(&bed.at("s"), 4096, &vec![0x33; 65536])?;
    expect_at(&bed.at("s"), 4096 + 65536, &vec![0x11; 65536])
}

/// Without the client's translator a link must fail, not write to the wrong file.
pub(crate) fn clients_without_the_translator_are_refused(bed: &mut Bed<'_>) -> Result<()> {
    fs::write(bed.at("a"), "bytes")?;
    let volfile = format!(
        "/var/lib/glusterd/vols/{0}/{0}.tcp-fuse.vol",
        bed.volume.name()
    );
    let bare = bed.rig.dir().join("bare.vol");
    fs::write(&bare, without_bd_client(&fs::read_to_string(volfile)?))?;
    let at = bed.rig.folder("bare")?;
    let undo = at.clone();
    bed.rig.on_teardown("the bare mount", move || {
        sh(&format!(
            "! mountpoint -q '{0}' || umount '{0}'",
            undo.display()
        ))
        .map(drop)
    });
    sh(&format!(
        "glusterfs -f '{}' -l /var/log/glusterfs/bare.log '{}'",
        bare.display(),
        at.display()
    ))?;
    let dir = at.join(bed.top());
    ensure!(fs::read_to_string(dir.join("a"))? == "bytes");
    let code = errno("ln", fs::hard_link(dir.join("a"), dir.join("b")))?;
    ensure!(code == nix::libc::EOPNOTSUPP, "ln: errno {code}");
    let code = errno("ln -s", symlink("a", dir.join("s")))?;
    ensure!(code == nix::libc::EOPNOTSUPP, "ln -s: errno {code}");
    sh(&format!("umount '{}'", at.display()))?;
    ensure!(bed.store.names()? == ["a"], "{:?}", bed.store.names()?);
    Ok(())
}

/// Takes the translator out of a client's volfile, and ties its neighbours together.
fn without_bd_client(volfile: &str) -> String {
    let mut blocks: Vec<String> = Vec::new();
    let mut below: Option<(String, String)> = None;
    for block in volfile.split("end-volume") {
        let word = |key: &str| {
            block.lines().find_map(|line| {
                line.trim()
                    .strip_prefix(key)
                    .map(|rest| rest.trim().to_owned())
            })
        };
        if word("type").as_deref() == Some("features/bd-client") {
            below = word("volume").zip(word("subvolumes"));
        } else {
            blocks.push(block.to_owned());
        }
    }
    let mut text = blocks.join("end-volume");
    if let Some((name, child)) = below {
        text = text.replace(
            &format!("subvolumes {name}\n"),
            &format!("subvolumes {child}\n"),
        );
    }
    text
}
