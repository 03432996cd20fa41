//! pjdfstest, a suite of what POSIX says of file systems, through FUSE.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use loopdev::{Backing, Place, Rig, Volume, cmd, run, sh, wait_for};

/// The release that `scripts/packages` installs.
const PROGRAM: &str = "target/tools/bin/pjdfstest";

/// Times as GlusterFS keeps them, and two users that are there.
const CONFIGURATION: &str = r#"
[features]
posix_fallocate = {}
utimensat = {}
utime_now = {}
[settings]
naptime = 0.01
allow_remount = false
[dummy_auth]
entries = [["nobody", "nogroup"], ["games", "games"]]
"#;

/// What cannot be where `ln` makes clones and `ln -s` snapshots: each of these cases makes a second name of a
/// regular file, or a symbolic link to one, and looks through it at the file itself.
const BY_DESIGN: &[&str] = &[
    "chmod::change_perm::regular",
    "link::changed_ctime_success::regular",
    "link::remove_link::regular",
    "link::share_metadata::regular",
    "rename::preserve_metadata::regular",
    "rename::preserve_metadata_symlink",
    "symlink::create_symlink::regular",
    "symlink::create_symlink_to_symlink",
    "unlink::update_ctime_success::regular",
    "utimensat::follow_symlink",
];

/// Runs all cases in a directory, and gives those that fail, with what they said.
fn failures(configuration: &Path, dir: &Path) -> Result<BTreeSet<String>> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(PROGRAM);
    ensure!(
        program.exists(),
        "there is no {PROGRAM}; get it with: scripts/packages install"
    );
    let program = program.display().to_string();
    let said = cmd(
        &program,
        &[Path::new("-c"), configuration, Path::new("-p"), dir],
    )?;
    let summary = said
        .stdout
        .lines()
        .find(|line| line.starts_with("Summary: "));
    let summary = summary.with_context(|| format!("{}: {said}", dir.display()))?;
    ensure!(summary.contains("398 total"), "{summary}");
    let failed = said.stdout.lines().filter_map(|line| {
        let (name, outcome) = line.split_once(' ')?;
        (outcome.trim() == "FAILED").then(|| name.to_owned())
    });
    let failed: BTreeSet<String> = failed.collect();
    ensure!(
        summary.contains(&format!("{} failed", failed.len())),
        "{summary}, and not {failed:?}"
    );
    println!("measured: {}: {summary}", dir.display());
    Ok(failed)
}

/// Mounts a volume where names of sockets are short enough, and users may go.
fn mount(rig: &mut Rig, volume: &Volume, name: &str) -> Result<PathBuf> {
    let at = Path::new("/run/pjd").join(name);
    fs::create_dir_all(&at)?;
    let args = [
        "--process-name=fuse".to_owned(),
        format!("--log-file=/var/log/glusterfs/pjd-{name}.log"),
        format!("--volfile-server={}", rig.host()?),
        format!("--volfile-id=/{}", volume.name()),
        at.display().to_string(),
    ];
    let path = at.display().to_string();
    rig.on_teardown(format!("mount {path}"), move || {
        cmd("umount", &["-l", &path])?.ok().map(drop)
    });
    cmd("glusterfs", &args)?.ok()?;
    wait_for(&format!("the mount {}", at.display()), || {
        Ok(fs::metadata(&at).is_ok_and(|root| root.ino() == 1))
    })?;
    Ok(at)
}

#[test]
fn fails_as_on_a_stock_volume() {
    let name = "native::pjdfstest::fails_as_on_a_stock_volume";
    run(name, Place::Native, |rig| {
        let disk = rig.filesystem("stock", 512)?;
        let bed = rig.bed(Backing::File, 1024)?;
        let stock = bed.rig.volume("stock", &[disk.join("brick")])?;
        stock.start()?;
        let volume = bed.volume.clone();
        let top = bed.top().to_owned();
        let stock = mount(bed.rig, &stock, "s")?;
        let images = mount(bed.rig, &volume, "i")?;
        let configuration = bed.rig.dir().join("pjdfstest.toml");
        fs::write(&configuration, CONFIGURATION)?;
        let plain = images.join("plain");
        let [thin, links] = ["thin", "links"].map(|dir| images.join(&top).join(dir));
        for dir in [&plain, &thin, &links] {
            fs::create_dir(dir)?;
        }
        sh(&format!(
            "setfattr -n user.glusterfs.bd.dir -v thin,link=hardlink {}",
            links.display()
        ))?;
        let dirs: [PathBuf; 4] = [stock, plain, links, thin];
        // Most of the time they wait for times to differ.
        let failed: Vec<BTreeSet<String>> = thread::scope(|scope| {
            let runs: Vec<_> = dirs
                .iter()
                .map(|dir| scope.spawn(|| failures(&configuration, dir)))
                .collect();
            let ended = runs
                .into_iter()
                .map(|run| run.join().map_err(|_| anyhow!("a panic"))?);
            ended.collect::<Result<_>>()
        })?;
        let [stock, plain, links, thin] = &failed[..] else {
            return Err(anyhow!("four runs")).context("thread");
        };
        for (what, failed) in [("plain", plain), ("links", links)] {
            let more: Vec<_> = failed.difference(stock).collect();
            ensure!(more.is_empty(), "{what}: {more:#?}");
        }
        let more: BTreeSet<&str> = thin.difference(stock).map(String::as_str).collect();
        let expected: BTreeSet<&str> = BY_DESIGN.iter().copied().collect();
        ensure!(more == expected, "{more:#?}");
        for dir in ["../plain", "thin", "links"] {
            fs::remove_dir(bed.at(dir)).with_context(|| dir.to_owned())?;
        }
        bed.expect_names(&[])?;
        bed.check()
    });
}
