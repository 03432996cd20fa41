//! The life of images: made, filled, copied, renamed, removed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Result, ensure};
use loopdev::{Backing, Bed, POOL, sh};

use super::tools::{MIB, expect_at, expect_head, open, pattern, put, sh_in, size_of};
use crate::BACKING;

/// How often the life of a few images is gone through: `GBT_ROUNDS`, or what fits a test run.
fn count(bed: &Bed<'_>) -> u64 {
    let few = if bed.store.backing() == Backing::File {
        10
    } else {
        2
    };
    std::env::var("GBT_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(few)
}

/// MiB of an image: all are read once, which takes long in the guest.
const SIZE: u64 = match BACKING {
    Backing::File => 64,
    Backing::Thin | Backing::Thick => 16,
};

pub(crate) fn rounds(bed: &mut Bed<'_>) -> Result<()> {
    for round in 0..count(bed) {
        one_round(bed, round)?;
    }
    Ok(())
}

fn one_round(bed: &Bed<'_>, round: u64) -> Result<()> {
    const AT: u64 = 3 * MIB + 777;
    let size = SIZE * MIB;
    // All bytes once; later where there are some.
    let limit = if round == 0 { size } else { 5 * MIB };
    let expect = |path: &Path, bytes: &[u8]| expect_head(path, size, limit, &[(AT, bytes)]);
    let (a, b, c, s) = (bed.at("a"), bed.at("b"), bed.at("c"), bed.at("s"));
    let first = pattern(3 * round, 100_000);
    sh_in(&bed.images(), "touch a")?;
    ensure!(size_of(&a)? == 0, "a new file has bytes");
    bed.expect_names(&["a"])?;
    sh_in(&bed.images(), &format!("truncate -s {SIZE}M a"))?;
    ensure!(size_of(&a)? == size);
    put(&a, AT, &first)?;

    // All in one breath, by other processes than this one.
    let (in_b, in_s) = (pattern(3 * round + 1, 9000), pattern(3 * round + 2, 9000));
    let scratch = bed.rig.folder("patterns")?;
    fs::write(scratch.join("b"), &in_b)?;
    fs::write(scratch.join("s"), &in_s)?;
    sh_in(
        &bed.images(),
        &format!(
            "ln a b; ln -s a s; cmp -n 5M a b; cmp -n 5M a s; \
             for x in b s; do dd if={0}/$x of=$x bs=9000 oflag=seek_bytes seek={1} \
             conv=notrunc status=none; done",
            scratch.display(),
            AT + 500
        ),
    )?;
    let with = |bytes: &[u8]| {
        let mut all = first.clone();
        all[500..500 + bytes.len()].copy_from_slice(bytes);
        all
    };
    expect(&a, &first)?;
    expect(&b, &with(&in_b))?;
    expect(&s, &with(&in_s))?;
    for copy in [&b, &s] {
        let meta = fs::symlink_metadata(copy)?;
        ensure!(
            meta.is_file() && meta.nlink() == 1,
            "{} is no file of its own",
            copy.display()
        );
    }
    if bed.store.backing() != Backing::File {
        shown_by_lvs(bed, &["a", "b", "s"])?;
        ensure!(
            bed.lv("s")?.origin.as_deref() == Some("a"),
            "{:?}",
            bed.lv("s")?
        );
    }

    sh_in(&bed.images(), "mv b c")?;
    bed.expect_names(&["a", "c", "s"])?;
    sh_in(&bed.images(), "rm a")?;
    bed.expect_names(&["c", "s"])?;
    expect(&c, &with(&in_b))?;
    expect(&s, &with(&in_s))?;
    sh_in(&bed.images(), "rm c s")?;
    bed.expect_names(&[])
}

fn shown_by_lvs(bed: &Bed<'_>, names: &[&str]) -> Result<()> {
    for name in names {
        let lv = bed.lv(name)?;
        ensure!(lv.size == SIZE * MIB, "{lv:?}");
        let pool = (bed.store.backing() == Backing::Thin).then_some(POOL);
        ensure!(lv.pool.as_deref() == pool, "{lv:?}");
        ensure!(
            lv.tags
                .iter()
                .any(|tag| tag.starts_with("gluster_bd.gfid=")),
            "{lv:?}"
        );
    }
    Ok(())
}

/// Copies of copies, written to in turn with everything open, and through a second mount.
pub(crate) fn every_name_of_a_clone_has_its_own_bytes(bed: &mut Bed<'_>) -> Result<()> {
    let names = ["a", "b", "c", "d"];
    fs::write(bed.at("a"), pattern(1, 300_000))?;
    sh_in(&bed.images(), "ln a b; ln -s b c; ln c d")?;
    let files = names.map(|name| open(&bed.at(name)));
    for (number, file) in (0_u64..).zip(files) {
        use std::os::unix::fs::FileExt;
        file?.write_all_at(&pattern(100 + number, 5000), 10_000 * number)?;
    }
    let expect = |folder: &std::path::Path| -> Result<()> {
        for (number, name) in (0_u64..).zip(names) {
            let mut bytes = pattern(1, 300_000);
            let at = usize::try_from(10_000 * number)?;
            bytes[at..at + 5000].copy_from_slice(&pattern(100 + number, 5000));
            expect_at(&folder.join(name), 0, &bytes)?;
            ensure!(size_of(&folder.join(name))? == 300_000, "size of {name}");
        }
        Ok(())
    };
    expect(&bed.images())?;
    let other = bed.another_mount(&[])?;
    expect(&other.join(bed.top()))?;
    sh(&format!("umount '{}'", other.display()))?;
    Ok(())
}
