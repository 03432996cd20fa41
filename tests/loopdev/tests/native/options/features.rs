//! Features of Gluster's that know files by the fops that they see, of which a copy and a merge are none.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use loopdev::{Backing, Bed, Place, cmd, run, wait_for};

use crate::images::tools::{errno, expect_at, pattern, sh_in, size_of};

#[test]
fn know_copies_and_merges() {
    let name = "native::options::features::know_copies_and_merges";
    run(name, Place::Native, |rig| {
        let mut bed = rig.bed(Backing::File, 512)?;
        worm(&mut bed)?;
        forbidden(&mut bed)?;
        let options = [
            "features.cache-invalidation on",
            "performance.cache-invalidation on",
            "performance.md-cache-timeout 600",
            "changelog.changelog on",
            "changelog.encoding ascii",
            "changelog.rollover-time 1",
        ];
        set(&mut bed, &options)?;
        bitrot(&bed, true)?;
        caches(&mut bed)?;
        changelog(&bed)?;
        signatures(&bed)?;
        bitrot(&bed, false)?;
        bed.clear()?;
        bed.check()
    });
}

/// Sets options, each with its value, and starts the volume and the mount anew.
fn set(bed: &mut Bed<'_>, options: &[&str]) -> Result<()> {
    let volume = bed.volume.name().to_owned();
    let words = options.iter().flat_map(|option| option.split(' '));
    let words: Vec<&str> = ["volume", "set", &volume]
        .into_iter()
        .chain(words)
        .collect();
    bed.rig.gluster(&words)?.ok()?;
    bed.volume.stop()?;
    bed.volume.start()?;
    bed.remount()
}

fn merge(path: &Path) -> Result<i32> {
    let said = cmd(
        "setfattr",
        &[
            Path::new("-n"),
            Path::new("merge"),
            Path::new("-v"),
            Path::new("1"),
            path,
        ],
    )?;
    Ok(said.code)
}

/// A snapshot `s` of `a` that is longer.
fn origin_and_snapshot(bed: &Bed<'_>) -> Result<(Vec<u8>, Vec<u8>)> {
    let (old, new) = (pattern(1, 50_000), pattern(2, 90_000));
    fs::write(bed.at("a"), &old)?;
    symlink("a", bed.at("s"))?;
    fs::write(bed.at("s"), &new)?;
    Ok((old, new))
}

/// What may be written once is not overwritten by a merge.
fn worm(bed: &mut Bed<'_>) -> Result<()> {
    let (old, new) = origin_and_snapshot(bed)?;
    set(bed, &["features.worm on"])?;
    let refused = errno("a write", fs::write(bed.at("a"), "x"))?;
    ensure!(refused == nix::libc::EROFS, "{refused}");
    ensure!(merge(&bed.at("s"))? != 0, "a merge on a WORM volume");
    for (name, bytes) in [("a", &old), ("s", &new)] {
        ensure!(size_of(&bed.at(name))? == bytes.len() as u64, "{name}");
        expect_at(&bed.at(name), 0, bytes)?;
    }
    fs::hard_link(bed.at("a"), bed.at("c"))?;
    expect_at(&bed.at("c"), 0, &old)?;
    set(bed, &["features.worm off", "features.worm-file-level on"])?;
    // Made under the option, and made final by its mode.
    sh_in(
        &bed.images(),
        "echo old > w; ln -s w ws; echo newer > ws; chmod 444 w",
    )?;
    ensure!(merge(&bed.at("ws"))? != 0, "a merge into a WORM file");
    sh_in(
        &bed.images(),
        "grep -qx old w; grep -qx newer ws; if rm -f w 2>/dev/null; then exit 1; fi",
    )?;
    set(bed, &["features.worm-file-level off"])?;
    bed.clear()
}

/// What a volume lets nobody do, nobody does to images either.
fn forbidden(bed: &mut Bed<'_>) -> Result<()> {
    origin_and_snapshot(bed)?;
    sh_in(
        &bed.images(),
        "mkdir -m 777 open; echo secret > r; chmod 600 r; md5sum a s > ../sums",
    )?;
    set(bed, &["features.read-only on"])?;
    let lines = [
        "ln a b",
        "ln -s a b",
        "touch b",
        "rm s",
        "mv s b",
        "truncate -s 1 a",
        "setfattr -n merge -v 1 s",
        "setfattr -n user.glusterfs.bd -v thin:1M a",
        "setfattr -n user.glusterfs.bd.dir -v lv .",
    ];
    let refused = |bed: &Bed<'_>, line: &str, why: &str| -> Result<()> {
        let said = sh_in(
            &bed.images(),
            &format!("{{ {line} && echo done; }} 2>&1 || true"),
        )?;
        ensure!(said.stdout.contains(why), "{line}: {said}");
        Ok(())
    };
    for line in lines {
        refused(bed, line, "Read-only file system")?;
    }
    sh_in(
        &bed.images(),
        "md5sum -c ../sums; test \"$(ls | tr '\\n' ' ')\" = 'a open r s '",
    )?;
    // Whoever it is, it is nobody.
    set(bed, &["features.read-only off", "server.all-squash on"])?;
    sh_in(
        &bed.images().join("open"),
        "echo x > x; ln x y; ln -s x z; echo more >> z; cmp x y; test \"$(stat -c %u x y z | sort -u)\" = 65534; \
         test \"$(cat z)\" = \"$(printf 'x\\nmore')\"; rm x y z",
    )?;
    for line in ["ln r open/r", "ln -s ../r open/r", "cat r", "touch b"] {
        refused(bed, line, "Permission denied")?;
    }
    set(bed, &["server.all-squash off"])?;
    fs::remove_file(bed.at("../sums"))?;
    bed.clear()
}

/// Caches of other clients, which believe what they have for ten minutes unless a brick tells them.
fn caches(bed: &mut Bed<'_>) -> Result<()> {
    let other = bed.another_mount(&["--attribute-timeout=0", "--entry-timeout=0"])?;
    let (old, new) = origin_and_snapshot(bed)?;
    let seen = other.join(bed.top()).join("a");
    ensure!(size_of(&seen)? == old.len() as u64);
    ensure!(merge(&bed.at("s"))? == 0, "cannot merge");
    wait_for("the other client to hear of the merge", || {
        Ok(size_of(&seen)? == new.len() as u64)
    })?;
    expect_at(&seen, 0, &new)?;
    bed.clear()
}

/// Geo-replication copies the bytes of files that the changelog names.
fn changelog(bed: &Bed<'_>) -> Result<()> {
    origin_and_snapshot(bed)?;
    fs::hard_link(bed.at("a"), bed.at("b"))?;
    let gfid = |name: &str| -> Result<String> {
        let said = sh_in(
            &bed.images(),
            &format!("getfattr -n glusterfs.gfid.string --only-values {name}"),
        )?;
        Ok(said.stdout.trim().to_owned())
    };
    let (a, b) = (gfid("a")?, gfid("b")?);
    let noted = |gfid: &str| -> Result<usize> {
        let said = sh_in(
            &bed.brick().join(".glusterfs/changelogs"),
            &format!(
                "find . -name 'CHANGELOG.*' -exec cat {{}} + | tr '\\0' '\\n' | grep -c ^D{gfid} || true"
            ),
        )?;
        said.stdout.trim().parse().context("a number")
    };
    wait_for("the copy to be noted", || {
        Ok(noted(&a)? == 1 && noted(&b)? == 1)
    })?;
    ensure!(merge(&bed.at("s"))? == 0, "cannot merge");
    wait_for("the merge to be noted", || Ok(noted(&a)? == 2))
}

/// Has Gluster look for bit rot, or not.
fn bitrot(bed: &Bed<'_>, on: bool) -> Result<()> {
    let volume = bed.volume.name();
    let set = |words: &[&str]| {
        let words = [&["volume", "bitrot", volume], words].concat();
        bed.rig.gluster(&words)?.ok().map(drop)
    };
    if !on {
        return set(&["disable"]);
    }
    let crawls = || -> Result<usize> {
        let log = fs::read_to_string("/var/log/glusterfs/bitd.log").unwrap_or_default();
        Ok(log.matches("Completed crawling brick").count())
    };
    let before = crawls()?;
    set(&["enable"])?;
    wait_for("the signer to have seen all files", || {
        Ok(crawls()? > before)
    })?;
    set(&["signing-time", "10"])
}

/// A signature says that a file must have these bytes; what knows of no hole that is punched must not say so
/// of images.
fn signatures(bed: &Bed<'_>) -> Result<()> {
    fs::write(bed.at("punched"), pattern(7, 100_000))?;
    fs::write(bed.at("../plain"), pattern(8, 100_000))?;
    let signed = |path: &str| -> Result<bool> {
        let path = bed.brick().join(path);
        let said = cmd(
            "getfattr",
            &[
                Path::new("-n"),
                Path::new("trusted.bit-rot.signature"),
                &path,
            ],
        )?;
        Ok(said.code == 0)
    };
    let punched = format!("{}/punched", bed.top());
    // A signer may come up deaf (GlusterFS 10.3): then it is started once more.
    for last in [false, false, true] {
        let begun = Instant::now();
        wait_for("plain files to be signed", || {
            Ok(signed("plain")? || !last && begun.elapsed() > Duration::from_secs(30))
        })?;
        if signed("plain")? {
            break;
        }
        bitrot(bed, false)?;
        bitrot(bed, true)?;
        fs::write(bed.at("../plain"), pattern(8, 100_000))?;
    }
    ensure!(!signed(&punched)?, "an image is signed");
    // A signed file that becomes an image has none any more.
    sh_in(bed.root(), "setfattr -n user.glusterfs.bd -v thin plain")?;
    ensure!(!signed("plain")?, "an image keeps its signature as a file");
    expect_at(&bed.at("../plain"), 0, &pattern(8, 100_000))?;
    fs::remove_file(bed.at("../plain"))?;
    Ok(())
}
