use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{InfoError, ParseError, Volfile, VolumeInfo};

/// Beside a volume's volfiles: sharding was switched on, and has not come to any client.
const KEPT_WHOLE: &str = "gluster-bd-kept-whole";

/// Why a volfile was left as it was.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// A file could not be read or written.
    #[error("cannot {verb} {}: {source}", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The volume's info file makes no sense.
    #[error("{}: {source}", path.display())]
    Info {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: InfoError,
    },
    /// The volfile is not one that glusterd wrote.
    #[error("{} is left as it is: {source}", path.display())]
    Volfile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ParseError,
    },
    /// A client's volfile has no top to put the translator below.
    #[error("{} is left as it is: it does not end with a debug/io-stats on one translator", .0.display())]
    Top(PathBuf),
}

/// What a volfile is for, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// FUSE and libgfapi clients.
    Client,
    /// All else: bricks, and the volfiles of services, which must not have our client
    /// translator: it gives links a meaning that healing and rebalancing must not see.
    Other,
}

impl Role {
    /// A client's volfile is `VOLUME.TRANSPORT-fuse.vol`, with `trusted-` in front for hosts of
    /// the pool. Those through a gfproxy stay plain: our translator needs the cluster
    /// translators below it, and these are in the proxy.
    fn of(path: &Path) -> Role {
        let part =
            |part: Option<&std::ffi::OsStr>| part.and_then(|p| p.to_str().map(str::to_owned));
        let volume = part(path.parent().and_then(Path::file_name)).unwrap_or_default();
        let name = part(path.file_name()).unwrap_or_default();
        let name = name.strip_prefix("trusted-").unwrap_or(&name);
        match name.strip_prefix(&format!("{volume}.")) {
            Some("tcp-fuse.vol" | "rdma-fuse.vol") => Role::Client,
            _ => Role::Other,
        }
    }
}

/// Brings the volfile at `path` into step with its volume's `user.bd`; whether it was changed.
///
/// The file is replaced whole or not at all. Volfiles without an `info` beside them (those of
/// services, and the temporary ones that glusterd compares) are left alone.
pub fn filter(path: &Path) -> Result<bool, FilterError> {
    let path = &std::path::absolute(path).map_err(failed("find", path))?;
    let Some((info, mut volfile)) = read(path)? else {
        return Ok(false);
    };
    let before = volfile.clone();
    volfile.remove_ours();
    if is_to_stay_whole(path, &info, &volfile)? {
        volfile.remove_sharding();
    }
    // Whoever takes `user.bd` away, as a reset of the volume does: what a brick holds as images stays that.
    volfile.insert_brick(&info, |dir| match info.is_ours {
        true => is_configured(dir),
        false => is_bound(dir, &info),
    });
    volfile.insert_bypass(&info);
    if info.is_ours {
        volfile.remove_harm();
        volfile.remove_crashes();
        if Role::of(path) == Role::Client && !volfile.insert_client() {
            return Err(FilterError::Top(path.clone()));
        }
    }
    if volfile == before {
        return Ok(false);
    }
    replace(path, &volfile.to_string()).map_err(failed("write", path))?;
    Ok(true)
}

/// Whether sharding is to be kept away from a volume's files.
///
/// `info` still says what was before: where sharding is just being switched on for a volume of ours, no
/// file is in pieces yet, and none must be before the hook has switched it off again. Until then, a mark
/// says so to those that write volfiles meanwhile. Where sharding was on before the volume became ours,
/// files in pieces need it.
fn is_to_stay_whole(
    path: &Path,
    info: &VolumeInfo,
    volfile: &Volfile,
) -> Result<bool, FilterError> {
    let mark = path.with_file_name(KEPT_WHOLE);
    if info.is_ours && info.is_sharded {
        return mark.try_exists().map_err(failed("look for", &mark));
    }
    if Role::of(path) == Role::Client {
        if info.is_ours && volfile.is_sharded() {
            fs::write(&mark, "").map_err(failed("write", &mark))?;
        } else if let Err(error) = fs::remove_file(&mark)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(failed("remove", &mark)(error));
        }
    }
    Ok(info.is_ours)
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FilterError + use<> {
    let path = path.to_owned();
    move |source| FilterError::File { verb, path, source }
}

/// A volfile and what glusterd says of its volume; `None` where no `info` is beside it.
pub(super) fn read(path: &Path) -> Result<Option<(VolumeInfo, Volfile)>, FilterError> {
    let info_path = path.with_file_name("info");
    let info = match fs::read_to_string(&info_path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(failed("read", &info_path))?,
    };
    let info: VolumeInfo = info.parse().map_err(|source| FilterError::Info {
        path: info_path,
        source,
    })?;
    let text = fs::read_to_string(path).map_err(failed("read", path))?;
    let volfile = text.parse().map_err(|source| FilterError::Volfile {
        path: path.to_owned(),
        source,
    })?;
    Ok(Some((info, volfile)))
}

/// Whether a directory is a brick of ours.
pub(super) fn is_configured(dir: &Path) -> bool {
    configuration(dir).is_file()
}

/// Whether a directory is a brick of ours that has served this volume: it may hold images of it.
pub(super) fn is_bound(dir: &Path, info: &VolumeInfo) -> bool {
    let line = format!("volume = \"{}\"", info.id);
    fs::read_to_string(configuration(dir)).is_ok_and(|text| text.lines().any(|found| found == line))
}

/// What makes a brick directory one of ours: the configuration that gluster-bdd has written.
fn configuration(dir: &Path) -> PathBuf {
    dir.join(bd_proto::BRICK_FOLDER)
        .join(bd_proto::BRICK_CONFIGURATION)
}

/// Replaces a file by a text, with the mode and owner it had.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let about = fs::metadata(path)?;
    let mut new = path.as_os_str().to_owned();
    new.push(".gluster-bd");
    let new = PathBuf::from(new);
    let written = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            let owner = (Some(about.uid()), Some(about.gid()));
            std::os::unix::fs::fchown(&file, owner.0, owner.1)?;
            file.set_permissions(fs::Permissions::from_mode(about.mode() & 0o7777))?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&new, path));
    if written.is_err()
        && let Err(error) = fs::remove_file(&new)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    written
}

#[cfg(test)]
mod tests;
