//! Names that LVM cannot hold, and names that mean something to somebody.

use std::fs;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};
use loopdev::{Bed, POOL};

use super::tools::{expect_at, open, pattern, sh_in, size_of};

/// All of them are good names of files.
fn odd() -> Vec<String> {
    let mut names: Vec<String> = [
        "-rf",
        "a b",
        "\"",
        "'",
        "x_tdata",
        ".hidden",
        "case",
        "Case",
        "CASE",
        "$(x)",
        "two\nlines",
        "0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f",
        "snapshot1",
        "pvmove0",
        "lvol0",
        "a@b#c%d",
        "\\",
        "*",
        "-",
        "--help",
        POOL,
    ]
    .map(str::to_owned)
    .into();
    // 255 bytes: 85 characters of three.
    names.push("ツ".repeat(85));
    names.push("x".repeat(255));
    names
}

pub(crate) fn work_as_files(bed: &mut Bed<'_>) -> Result<()> {
    let names = odd();
    let bytes = |number: usize| pattern(number as u64, 5000 + number);
    for (number, name) in names.iter().enumerate() {
        fs::write(bed.at(name), bytes(number)).with_context(|| format!("writing {name:?}"))?;
    }
    ensure!(
        bed.store.names()?.len() == names.len(),
        "{:?}",
        bed.store.names()?
    );
    let expect = |bed: &Bed<'_>| -> Result<()> {
        let mut listed = fs::read_dir(bed.images())?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<Vec<_>>>()?;
        listed.sort();
        let mut expected = names.clone();
        expected.sort();
        ensure!(listed == expected, "listed {listed:?}");
        for (number, name) in names.iter().enumerate() {
            expect_at(&bed.at(name), 0, &bytes(number)).with_context(|| format!("{name:?}"))?;
            ensure!(
                size_of(&bed.at(name))? == 5000 + number as u64,
                "size of {name:?}"
            );
        }
        Ok(())
    };
    expect(bed)?;
    // Odd to plain, plain to odd, odd to odd.
    let renames = [("-rf", "plain"), ("plain", "$(y) z"), ("$(y) z", "-rf")];
    for (from, to) in renames {
        fs::rename(bed.at(from), bed.at(to)).with_context(|| format!("{from:?} to {to:?}"))?;
    }
    bed.check()?;

    bed.volume.stop()?;
    bed.restart_server()?;
    bed.volume.start()?;
    bed.remount()?;
    expect(bed)?;
    for name in &names {
        fs::remove_file(bed.at(name)).with_context(|| format!("removing {name:?}"))?;
    }
    bed.expect_names(&[])
}

/// A volume gets the name of its file when that is free, and keeps one that the file has.
pub(crate) fn come_to_their_volumes(bed: &mut Bed<'_>) -> Result<()> {
    fs::write(bed.at("old"), "old")?;
    fs::write(bed.at("new"), "new")?;
    let held = open(&bed.at("old"))?;
    held.write_all_at(b"OLD", 0)?;
    held.sync_all()?;
    fs::rename(bed.at("new"), bed.at("old"))?;
    let names = bed.store.names()?;
    ensure!(
        names.len() == 2 && names.contains(&"old".to_owned()),
        "{names:?}"
    );
    drop(held);
    bed.expect_names(&["old"])?;

    // With several names.
    let policy = "policy=$(getfattr --only-values -n user.glusterfs.bd.dir .)";
    let set = "setfattr -n user.glusterfs.bd.dir -v";
    sh_in(
        &bed.images(),
        &format!("{policy}; {set} $policy,link=hardlink .; ln old b; ln b c; {set} $policy ."),
    )?;
    bed.expect_names(&["old"])?;
    fs::remove_file(bed.at("old"))?;
    let names = bed.store.names()?;
    ensure!(names == ["b"] || names == ["c"], "{names:?}");
    fs::create_dir(bed.at("d"))?;
    fs::rename(bed.at(&names[0]), bed.at("d/x"))?;
    let other = if names == ["b"] { "c" } else { "b" };
    bed.expect_names(&[other])?;
    expect_at(&bed.at(other), 0, b"new")
}
