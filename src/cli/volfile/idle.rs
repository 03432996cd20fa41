//! Bricks of our volumes that serve no images, because nobody has configured them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::elsewhere::is_elsewhere;
use super::filter::{FilterError, is_bound, is_configured, read};
use super::graph::REFUSED;

/// Where glusterd lets bricks log.
const LOGS: &str = "/var/log/glusterfs/bricks";

/// Bytes at the end of a log in which the same line is not repeated: glusterd runs the filter
/// several times in a row.
const RECENT: usize = 4096;

/// A brick of this host whose volume is switched on, and which has no configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdleBrick {
    /// Its volume.
    pub volume: String,
    /// Its directory.
    pub dir: PathBuf,
}

impl IdleBrick {
    /// What is wrong.
    pub fn cause(&self) -> String {
        format!(
            "volume {} has user.bd on, but {} is no brick of gluster-bd: it serves no images",
            self.volume,
            self.dir.display()
        )
    }

    /// What mends it.
    pub fn cure(&self) -> String {
        format!(
            "run: gluster-bd brick init {0} --vg VG, and then stop and start the volume: gluster \
             volume stop {1}; gluster volume start {1}",
            self.dir.display(),
            self.volume
        )
    }

    /// Writes a warning into the brick's log, unless it stands at its end already.
    ///
    /// A brick that has no log yet gets one; where glusterd keeps no logs, nothing is written.
    pub fn warn(&self) -> Result<(), FilterError> {
        self.warn_in(Path::new(LOGS))
    }

    fn warn_in(&self, logs: &Path) -> Result<(), FilterError> {
        if !logs.is_dir() {
            return Ok(());
        }
        let path = logs.join(log_name(&self.dir));
        let text = format!("{}; {}", self.cause(), self.cure());
        let written = match fs::read(&path) {
            Ok(old) => {
                let recent = &old[old.len().saturating_sub(RECENT)..];
                match String::from_utf8_lossy(recent).contains(&text) {
                    true => Ok(()),
                    false => append(&path, &text),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => append(&path, &text),
            Err(error) => Err(error),
        };
        written.map_err(|source| FilterError::File {
            verb: "write",
            path,
            source,
        })
    }
}

/// A line as glusterfs writes it.
fn append(path: &Path, text: &str) -> io::Result<()> {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S.%6f +0000");
    let line = format!("[{now}] W [gluster-bd] 0-storage/bd: {text} \n");
    let mut file = fs::File::options().create(true).append(true).open(path)?;
    file.write_all(line.as_bytes())
}

/// The name that glusterd gives to the log of a brick: its path with hyphens for slashes.
pub fn log_name(dir: &Path) -> String {
    let path = dir.display().to_string();
    format!("{}.log", path.trim_start_matches('/').replace('/', "-"))
}

/// The bricks of the volfile at `path` that are on this host and should be configured.
pub fn idle_bricks(path: &Path) -> Result<Vec<IdleBrick>, FilterError> {
    let Some((info, volfile)) = read(path)? else {
        return Ok(Vec::new());
    };
    if is_elsewhere(path, &volfile) {
        return Ok(Vec::new());
    }
    let volume = path.parent().and_then(Path::file_name);
    let volume = volume.map(|name| name.to_string_lossy().into_owned());
    let plain = volfile
        .plain_bricks()
        .filter(|dir| info.is_ours && dir.is_dir() && !is_configured(dir));
    Ok(plain
        .map(|dir| IdleBrick {
            volume: volume.clone().unwrap_or_default(),
            dir: dir.to_owned(),
        })
        .collect())
}

/// Why GlusterFS serves nothing by the volfile at `path`, if that is to have our translators and the filter
/// has failed, or was not there.
pub fn why_unserved(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    if text.contains(REFUSED) {
        return Some(format!(
            "nothing is served by {}: the volfile filter could not edit it; /var/log/glusterfs/gluster-bd-filter.log \
             says why",
            path.display()
        ));
    }
    let (info, volfile) = read(path).ok()??;
    let mut plain = volfile.plain_bricks();
    let brick = plain.find(|dir| is_bound(dir, &info) || info.is_ours && is_configured(dir))?;
    Some(format!(
        "brick {} cannot start: its volfile {} lacks storage/bd, without which images would be files of zeros",
        brick.display(),
        path.display()
    ))
}

/// The bricks of the volfile at `path` that are on this host and hold images, though `user.bd` is off.
pub fn bricks_left_on(path: &Path) -> Result<Vec<PathBuf>, FilterError> {
    let Some((info, volfile)) = read(path)? else {
        return Ok(Vec::new());
    };
    let bound = volfile
        .bricks()
        .filter(|dir| !info.is_ours && is_bound(dir, &info));
    Ok(bound.map(Path::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_written_once_in_a_row() {
        let folder = tempfile::tempdir().unwrap();
        let brick = IdleBrick {
            volume: "vms".to_owned(),
            dir: PathBuf::from("/srv/b/1"),
        };
        let path = folder.path().join("srv-b-1.log");
        let count = || {
            let text = fs::read_to_string(&path).unwrap();
            text.matches("gluster-bd brick init /srv/b/1 --vg VG")
                .count()
        };
        brick.warn_in(folder.path()).unwrap();
        brick.warn_in(folder.path()).unwrap();
        assert_eq!(count(), 1);
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.contains(" +0000] W [gluster-bd] 0-storage/bd: volume vms"),
            "{text}"
        );
        append(&path, &"x".repeat(RECENT)).unwrap();
        brick.warn_in(folder.path()).unwrap();
        assert_eq!(count(), 2);
        assert!(brick.warn_in(&folder.path().join("none")).is_ok());
    }
}
