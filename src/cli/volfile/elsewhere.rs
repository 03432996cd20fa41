//! Whose brick a volfile is: glusterd keeps the volfiles of all bricks of a volume on each of its hosts.

use std::fs;
use std::path::Path;

use super::Volfile;
use super::idle::log_name;

/// Whether the volfile at `path` is that of a brick of another host, as far as glusterd says it. Hosts
/// often have directories of the same names.
pub fn is_elsewhere(path: &Path, volfile: &Volfile) -> bool {
    let differs = || Some(brick_host(path, volfile)? != own_host(path)?);
    differs().unwrap_or(false)
}

/// The host and the brick in `dir` as the name of the brick's volfile has them, `VOLUME.HOST.BRICK.vol`.
pub fn host_and_brick<'a>(path: &'a Path, volume: &str, dir: &Path) -> Option<(&'a str, String)> {
    let brick = log_name(dir).strip_suffix(".log")?.to_owned();
    let name = path.file_name()?.to_str()?.strip_prefix(volume)?;
    let name = name.strip_prefix('.')?.strip_suffix(".vol")?;
    let host = name.strip_suffix(brick.as_str())?.strip_suffix('.')?;
    Some((host, brick))
}

/// The host of a brick, by the number that glusterd has given to it.
fn brick_host(path: &Path, volfile: &Volfile) -> Option<String> {
    let folder = path.parent()?;
    let volume = folder.file_name()?.to_str()?;
    let (host, brick) = host_and_brick(path, volume, volfile.bricks().next()?)?;
    value(&folder.join(format!("bricks/{host}:-{brick}")), "uuid=")
}

/// This host, by the same number.
fn own_host(path: &Path) -> Option<String> {
    value(&path.ancestors().nth(3)?.join("glusterd.info"), "UUID=")
}

fn value(path: &Path, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(key).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brick_of_another_host_is_known_by_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let vols = folder.path().join("vols/my.vms");
        fs::create_dir_all(vols.join("bricks")).unwrap();
        let text = "volume p\n    type storage/posix\n    option directory /srv/b/1\nend-volume\n";
        let volfile: Volfile = text.parse().unwrap();
        let path = vols.join("my.vms.host.net.srv-b-1.vol");
        let is_elsewhere = || is_elsewhere(&path, &volfile);
        assert!(!is_elsewhere(), "nothing is known");
        let brick = vols.join("bricks/host.net:-srv-b-1");
        fs::write(&brick, "uuid=a\nhostname=host.net\n").unwrap();
        assert!(!is_elsewhere(), "this host is not known");
        let own = |id: &str| fs::write(folder.path().join("glusterd.info"), format!("UUID={id}\n"));
        own("a").unwrap();
        assert!(!is_elsewhere());
        own("b").unwrap();
        assert!(is_elsewhere());
    }
}
