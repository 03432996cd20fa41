//! Plain directories beside the image directory.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use anyhow::{Result, ensure};
use loopdev::{Bed, cmd};

use crate::images::tools::{expect_at, meta, pattern, sh_in};

pub(crate) fn directories_behave_as_ever(bed: &mut Bed<'_>) -> Result<()> {
    let dir = bed.root().join("plain");
    fs::create_dir(&dir)?;
    fs::write(dir.join("file"), "text")?;
    fs::hard_link(dir.join("file"), dir.join("link"))?;
    symlink("file", dir.join("symlink"))?;
    symlink("/nowhere", dir.join("dangling"))?;
    let (file, link) = (meta(&dir.join("file"))?, meta(&dir.join("link"))?);
    ensure!(
        file.ino() == link.ino() && link.nlink() == 2,
        "a hard link is not one"
    );
    fs::write(dir.join("link"), "other")?;
    ensure!(fs::read_to_string(dir.join("file"))? == "other");
    ensure!(meta(&dir.join("symlink"))?.is_symlink() && meta(&dir.join("dangling"))?.is_symlink());
    ensure!(fs::read_link(dir.join("dangling"))?.to_str() == Some("/nowhere"));
    sh_in(&dir, "setfattr -n user.note -v hello file")?;
    let note = sh_in(&dir, "getfattr --only-values -n user.note link")?;
    ensure!(note.stdout == "hello", "{note}");
    fs::set_permissions(dir.join("file"), fs::Permissions::from_mode(0o640))?;
    ensure!(meta(&dir.join("link"))?.mode() & 0o777 == 0o640);
    fs::create_dir_all(dir.join("x/y/z"))?;
    fs::rename(dir.join("x/y"), dir.join("w"))?;
    fs::remove_dir(dir.join("w/z"))?;
    for number in 0..50 {
        fs::write(dir.join(format!("small{number}")), pattern(number, 100))?;
    }
    // Preallocation is posix's here.
    sh_in(&dir, "fallocate -l 1M sized; truncate -s 10M sized")?;
    bed.remount()?;
    let dir = bed.root().join("plain");
    for number in 0..50 {
        expect_at(
            &dir.join(format!("small{number}")),
            0,
            &pattern(number, 100),
        )?;
    }
    ensure!(
        bed.store.names()?.is_empty(),
        "plain files have LVs: {:?}",
        bed.store.names()?
    );
    // Nor do copies of images made there become ones.
    fs::write(bed.at("image"), pattern(1, 5000))?;
    cmd("cp", &[bed.at("image"), dir.join("copy")])?.ok()?;
    ensure!(bed.store.names()? == ["image"], "{:?}", bed.store.names()?);
    Ok(())
}
