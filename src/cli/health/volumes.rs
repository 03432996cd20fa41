//! Volumes of this host's glusterd: bricks that serve no images, options that images cannot have, and
//! releases out of step.

use std::path::{Path, PathBuf};

use bd_model::xattr;

use super::programs::numbers;
use super::{Found, bricks};
use crate::context::Context;
use crate::image::Session;
use crate::storage::run;
use crate::volfile::{VolumeInfo, bricks_left_on, idle_bricks, why_unserved};

/// Where glusterd keeps its volumes.
const VOLUMES: &str = "/var/lib/glusterd/vols";
/// The release of this command.
const RELEASE: &str = env!("CARGO_PKG_VERSION");

pub(super) fn findings(context: &Context) -> Vec<Found> {
    let mut found = Vec::new();
    let refused = bricks::refused(&context.socket);
    for folder in entries(Path::new(VOLUMES)) {
        let name = folder.file_name().and_then(|name| name.to_str());
        let started = name.filter(|_| is_started(&folder));
        let idle = idle(&folder);
        let served = started.filter(|_| idle.is_empty());
        found.extend(idle);
        if let Some(name) = started {
            found.extend(bricks::findings(&refused, name, &entries(&folder)));
        }
        found.extend(left_on(&folder));
        found.extend(unserved(&folder));
        found.extend(sharding(&folder));
        found.extend(trash(&folder));
        if let Some(name) = served {
            found.extend(brick(context, name));
        }
    }
    found.extend(peers());
    found
}

/// A started volume with a brick of ours on this host.
pub(super) fn with_brick_here() -> Option<String> {
    entries(Path::new(VOLUMES)).iter().find_map(|folder| {
        let name = folder.file_name()?.to_str()?;
        let mut volfiles = volfiles(folder).into_iter();
        let is_here = is_started(folder) && volfiles.any(|path| bricks::is_here(name, &path));
        is_here.then(|| name.to_owned())
    })
}

/// What is in a folder, in order; nothing where there is none.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

/// A volume whose `user.bd` was taken away, with bricks that hold images.
fn left_on(folder: &Path) -> Option<Found> {
    let name = folder.file_name()?.to_str()?;
    let mut bricks = volfiles(folder)
        .into_iter()
        .flat_map(|path| bricks_left_on(&path).unwrap_or_default());
    let brick = bricks.next()?;
    Some(Found::new(
        "switched_off",
        format!(
            "volume {name} has user.bd off, and its brick {} holds images: they stay images, but clients \
             cannot copy them by ln",
            brick.display()
        ),
        format!(
            "run: gluster volume set {name} user.bd on; or, if it is to have no images any more, copy them \
             elsewhere and run gluster-bd brick remove"
        ),
    ))
}

/// A volume of which nothing is served by a volfile, as that lacks our translators.
fn unserved(folder: &Path) -> Option<Found> {
    let name = folder.file_name()?.to_string_lossy();
    let why = volfiles(folder)
        .iter()
        .find_map(|path| why_unserved(path))?;
    let cure = format!(
        "run scripts/install if GlusterFS is of another release now, and then: gluster volume start {name} force"
    );
    Some(Found::new("volfile_without_bd", why, cure))
}

/// The volfiles of a volume.
fn volfiles(folder: &Path) -> Vec<PathBuf> {
    let mut found = entries(folder);
    found.retain(|path| path.extension().is_some_and(|end| end == "vol"));
    found
}

/// Bricks of a volume that nobody has configured.
fn idle(folder: &Path) -> Vec<Found> {
    let volfiles = volfiles(folder);
    // A volfile that cannot be read is none of glusterd's.
    let mut bricks: Vec<_> = volfiles
        .iter()
        .flat_map(|path| idle_bricks(path).unwrap_or_default())
        .collect();
    bricks.dedup();
    let found = bricks
        .iter()
        .map(|brick| Found::new("idle_brick", brick.cause(), brick.cure()));
    found.collect()
}

/// What glusterd says of a volume of ours, as text and read.
fn ours(folder: &Path) -> Option<(String, VolumeInfo)> {
    let text = std::fs::read_to_string(folder.join("info")).ok()?;
    let info: VolumeInfo = text.parse().ok()?;
    info.is_ours.then_some((text, info))
}

/// Whether a volume is one of ours, and started.
fn is_started(folder: &Path) -> bool {
    // 1 is glusterd's number for a started volume.
    ours(folder).is_some_and(|(text, _)| text.lines().any(|line| line == "status=1"))
}

/// Whether a volume keeps large files in pieces, which images cannot be.
fn sharding(folder: &Path) -> Option<Found> {
    let (_, info) = ours(folder)?;
    let name = folder.file_name()?.to_str()?;
    info.is_sharded.then(|| {
        Found::new(
            "sharding",
            format!("volume {name} has features.shard on: no new image can be made in it"),
            format!(
                "move files that are kept in pieces elsewhere (the larger ones outside of image \
                 directories), and run: gluster volume set {name} features.shard off"
            ),
        )
    })
}

/// Whether the brick that answers for a volume's root is of another release.
fn brick(context: &Context, volume: &str) -> Option<Found> {
    // A volume that does not answer is no matter of releases.
    let session = Session::open(context, volume).ok()?;
    let release = match session.attribute("/", xattr::RELEASE) {
        Ok(Some(release)) => String::from_utf8_lossy(&release).into_owned(),
        Ok(None) => "an older one".to_owned(),
        Err(_) => return None,
    };
    out_of_step(
        &format!("a brick of volume {volume}"),
        &release,
        &format!(
            "see gluster-bd check on each host of gluster volume info {volume}, install one \
             release on all, and restart the bricks"
        ),
    )
}

/// Whether something runs another release than this command.
pub(super) fn out_of_step(what: &str, release: &str, cure: &str) -> Option<Found> {
    (release != RELEASE).then(|| {
        Found::new(
            "version",
            format!("the release of gluster-bd here is {RELEASE}, and {what} runs {release}"),
            cure,
        )
    })
}

/// Whether a host of the pool has an older glusterfs than this one.
fn peers() -> Option<Found> {
    let here = run("glusterfs", &["--version"]).ok()?;
    let here = numbers(here.split(' ').nth(1)?)[0];
    let asked = [
        "--mode=script",
        "volume",
        "get",
        "all",
        "cluster.max-op-version",
    ];
    let said = run("gluster", &asked).ok()?;
    older(here, &said)
}

/// As [`peers`], from what `gluster volume get` says.
fn older(here: u64, said: &str) -> Option<Found> {
    let most: u64 = said
        .lines()
        .find_map(|line| line.strip_prefix("cluster.max-op-version"))?
        .trim()
        .parse()
        .ok()?;
    // The number of a version is its series times ten thousand, and more.
    let most = most / 10_000;
    (most < here).then(|| {
        Found::new(
            "older_peer",
            format!("this host has glusterfs {here}, and another of its pool has {most}"),
            "update the others (gluster pool list), with gluster-bd's translators for the new one",
        )
    })
}

/// Whether somebody may believe that removed images are kept.
fn trash(folder: &Path) -> Option<Found> {
    let (_, info) = ours(folder)?;
    let name = folder.file_name()?.to_str()?;
    let cause =
        format!("volume {name} has features.trash on, which keeps plain files only, and no images");
    info.has_trash.then(|| Found::note("trash", cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_release_is_named_with_its_cure() {
        assert_eq!(out_of_step("gluster-bdd", RELEASE, "x"), None);
        let text = out_of_step("gluster-bdd", "0.0.1", "run: y")
            .unwrap()
            .settle(true)
            .message;
        assert!(
            text.ends_with("gluster-bdd runs 0.0.1; run: y") && text.contains(RELEASE),
            "{text}"
        );
    }

    #[test]
    fn an_older_peer_is_seen_by_what_the_pool_can_do() {
        let said = |number: u32| {
            format!(
                "Option                                   Value\n------  -----\n\
                 cluster.max-op-version                   {number}\n"
            )
        };
        assert_eq!(older(10, &said(100_000)), None);
        assert_eq!(older(10, &said(110_000)), None);
        let text = older(11, &said(100_000)).unwrap().settle(true).message;
        assert!(text.starts_with("this host has glusterfs 11, and another of its pool has 10"));
        assert_eq!(older(11, "nonsense"), None);
    }

    #[test]
    fn only_started_volumes_of_ours_are_asked() {
        let folder = tempfile::tempdir().unwrap();
        let info = include_str!("../testdata/volume.info");
        let with = |text: &str| {
            std::fs::write(folder.path().join("info"), text).unwrap();
            is_started(folder.path())
        };
        let started = |text: &str, status: &str| {
            let rest: Vec<&str> = text.lines().filter(|l| !l.starts_with("status=")).collect();
            format!("{}\nstatus={status}\n", rest.join("\n"))
        };
        assert!(with(&started(info, "1")));
        assert!(!with(&started(info, "2")));
        assert!(!with(&started(
            &info.replace("user.bd=on", "user.bd=off"),
            "1"
        )));
        assert!(!is_started(&folder.path().join("nothere")));
        assert_eq!(sharding(folder.path()), None);
        std::fs::write(
            folder.path().join("info"),
            format!("{info}features.shard=on\n"),
        )
        .unwrap();
        let text = sharding(folder.path()).unwrap().settle(true).message;
        assert!(text.ends_with("features.shard off"), "{text}");
        assert_eq!(trash(folder.path()), None);
        std::fs::write(
            folder.path().join("info"),
            format!("{info}features.trash=on\n"),
        )
        .unwrap();
        assert!(trash(folder.path()).unwrap().settle(true).advice);
    }
}
