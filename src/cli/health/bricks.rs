//! Bricks of this host that should serve, and do not.

use std::fs;
use std::path::{Path, PathBuf};

use bd_proto::{RefusedBrick, Reply, Request};

use super::Found;
use crate::server::ask;
use crate::volfile::{Volfile, host_and_brick, is_elsewhere, log_name};

/// Where glusterd keeps the numbers of processes.
const RUN: &str = "/run/gluster/vols";

/// What a volume's folder says of a brick of ours.
#[derive(Debug, PartialEq, Eq)]
struct Served {
    dir: PathBuf,
    /// Where glusterd keeps the number of its process.
    pid_file: PathBuf,
}

/// The bricks that gluster-bdd has not taken.
pub(super) fn refused(socket: &Path) -> Vec<RefusedBrick> {
    match ask(socket, &Request::Refused) {
        Ok(Reply::Refused(refused)) => refused,
        // An older one, or none: other findings.
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// Bricks of ours, of a started volume, without a process, or with one that gluster-bdd does not take.
pub(super) fn findings(refused: &[RefusedBrick], volume: &str, volfiles: &[PathBuf]) -> Vec<Found> {
    let bricks = volfiles.iter().filter_map(|path| served(volume, path));
    bricks
        .filter_map(|brick| judge(volume, &brick.dir, is_running(&brick.pid_file), refused))
        .collect()
}

fn judge(volume: &str, dir: &Path, is_running: bool, refused: &[RefusedBrick]) -> Option<Found> {
    let why = refused.iter().find(|refused| refused.dir == dir);
    let why = why.map(|refused| format!("gluster-bdd has refused it: {}", refused.why));
    let brick = format!("brick {} of volume {volume}", dir.display());
    match (is_running, why) {
        (true, None) => None,
        (true, Some(why)) => Some(Found::new(
            "brick_waits",
            format!("{brick} waits, and serves nobody: {why}"),
            "when that is mended it serves by itself",
        )),
        (false, why) => Some(Found::new(
            "brick_down",
            match why {
                Some(why) => format!("{brick} has no process: {why}"),
                None => format!("{brick} has no process"),
            },
            format!(
                "see /var/log/glusterfs/bricks/{}, and run: gluster volume start {volume} force",
                log_name(dir)
            ),
        )),
    }
}

/// Whether a volfile is for a brick of ours on this host.
pub(super) fn is_here(volume: &str, path: &Path) -> bool {
    served(volume, path).is_some()
}

/// The brick of ours, on this host, that a volfile is for.
fn served(volume: &str, path: &Path) -> Option<Served> {
    let volfile: Volfile = fs::read_to_string(path).ok()?.parse().ok()?;
    let ours = volfile.blocks.iter().find(|b| b.kind == "storage/bd")?;
    let below = ours.subvolumes.first()?;
    let posix = volfile.blocks.iter().find(|block| block.name == *below)?;
    let dir = PathBuf::from(posix.option("directory")?);
    let (host, brick) = host_and_brick(path, volume, &dir)?;
    // Where glusterd does not say whose brick it is: on another host there may be no such directory.
    let is_here = !is_elsewhere(path, &volfile) && dir.is_dir();
    is_here.then(|| Served {
        pid_file: Path::new(RUN)
            .join(volume)
            .join(format!("{host}-{brick}.pid")),
        dir,
    })
}

fn is_running(pid_file: &Path) -> bool {
    let Ok(text) = fs::read_to_string(pid_file) else {
        return false;
    };
    // Its number may be another process's by now.
    let name = fs::read_to_string(format!("/proc/{}/comm", text.trim()));
    name.is_ok_and(|name| name.trim_end() == "glusterfsd")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brick_that_does_not_serve_is_named_with_cause_and_cure() {
        let dir = Path::new("/srv/b1");
        let refused = [RefusedBrick {
            dir: dir.to_owned(),
            why: "no VG".to_owned(),
        }];
        let text = |is_running, refused: &[RefusedBrick]| {
            let found = judge("vms", dir, is_running, refused)?;
            Some(found.settle(false).message)
        };
        assert_eq!(text(true, &[]), None);
        assert_eq!(
            text(true, &refused).unwrap(),
            "brick /srv/b1 of volume vms waits, and serves nobody: gluster-bdd has refused it: no \
             VG; when that is mended it serves by itself"
        );
        let down = text(false, &refused).unwrap();
        assert!(down.contains("no process: gluster-bdd has refused it: no VG; see"));
        assert!(
            text(false, &[])
                .unwrap()
                .ends_with("bricks/srv-b1.log, and run: gluster volume start vms force")
        );
    }

    #[test]
    fn the_process_of_a_brick_is_found_by_its_volfile() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("a/b1");
        fs::create_dir_all(&dir).unwrap();
        let text = format!(
            "volume v-posix\n    type storage/posix\n    option directory {}\nend-volume\n\n\
             volume v-bd\n    type storage/bd\n    subvolumes v-posix\nend-volume\n",
            dir.display()
        );
        let brick = log_name(&dir).replace(".log", "");
        let path = folder.path().join(format!("my.vms.host.net.{brick}.vol"));
        fs::write(&path, text).unwrap();
        let found = served("my.vms", &path).unwrap();
        assert_eq!(found.dir, dir);
        assert_eq!(
            found.pid_file,
            Path::new(RUN).join(format!("my.vms/host.net-{brick}.pid"))
        );
        assert_eq!(served("vms", &path), None);
        assert!(!is_running(&path));
    }
}
