//! LVs that were not made through the volume.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use loopdev::{Bed, POOL, Store, sh, wait_for};

use super::tools::{MIB, expect_at, pattern, put, size_of};

/// Makes an LV by hand, or puts a file into the store; it holds `bytes` from its start.
fn make(store: &Store, name: &str, mib: u64, bytes: &[u8], scratch: &Path) -> Result<()> {
    fs::write(scratch, bytes)?;
    let size = format!("{mib}m");
    match store {
        Store::Folder(folder) => {
            // In one step, as a copy within the folder would show half of it.
            let new = folder.with_file_name(format!("new-{name}"));
            fs::write(&new, bytes)?;
            fs::File::options()
                .write(true)
                .open(&new)?
                .set_len(mib * MIB)?;
            fs::rename(new, folder.join(name))?;
            return Ok(());
        }
        Store::Pool(vg) => {
            vg.thin_lv(POOL, name, mib)?;
        }
        Store::Group(vg) => {
            vg.lvm(
                "lvcreate",
                &["-y", "-Wn", "-L", &size, "-n", name, vg.name()],
            )?
            .ok()?;
        }
    }
    let vg = store.vg()?;
    sh(&format!(
        "dd if='{}' of='{}' bs=1M conv=notrunc,fsync status=none",
        scratch.display(),
        vg.device(name).display()
    ))?;
    Ok(())
}

pub(crate) fn appear_as_files(bed: &mut Bed<'_>) -> Result<()> {
    let scratch = bed.rig.dir().join("bytes");
    // While the volume is stopped, and while it runs.
    bed.volume.stop()?;
    make(&bed.store, "before", 8, &pattern(1, 70_000), &scratch)?;
    bed.volume.start()?;
    bed.remount()?;
    let start = std::time::Instant::now();
    make(&bed.store, "while", 12, &pattern(2, 70_000), &scratch)?;
    for (name, seed, mib) in [("before", 1, 8), ("while", 2, 12)] {
        let file = bed.at(name);
        wait_for(&format!("{name} to appear"), || {
            Ok(size_of(&file).is_ok_and(|n| n > 0))
        })?;
        ensure!(
            size_of(&file)? == mib * MIB,
            "{name}: {} bytes",
            size_of(&file)?
        );
        expect_at(&file, 0, &pattern(seed, 70_000))?;
    }
    println!(
        "measured: an LV made by hand appears after {:.1} s",
        start.elapsed().as_secs_f32()
    );
    let mut listed = fs::read_dir(bed.images())?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()?;
    listed.sort();
    ensure!(listed == ["before", "while"], "listed: {listed:?}");
    // They are images like others.
    put(&bed.at("while"), 100, b"changed")?;
    fs::hard_link(bed.at("while"), bed.at("copy"))?;
    expect_at(&bed.at("copy"), 100, b"changed")?;
    fs::rename(bed.at("before"), bed.at("renamed"))?;
    bed.expect_names(&["copy", "renamed", "while"])?;
    bed.check()?;
    for name in ["copy", "renamed", "while"] {
        fs::remove_file(bed.at(name))?;
    }
    bed.expect_names(&[])
}
