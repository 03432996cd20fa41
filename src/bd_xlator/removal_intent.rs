//! Images that lose their last name while gluster-bdd is away.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bd_model::Gfid;
use rustix::fs::{AtFlags, CWD, linkat};

/// Writes the intent that gluster-bdd would write: that the last name of an image is about to go.
/// Durable when this returns.
///
/// gluster-bdd reads it when it serves the brick again, and whole: it gets its name when all is in it.
///
/// # Errors
/// The image has another intent: what was begun with it must be ended by gluster-bdd first.
pub(crate) fn note(dir: &Path, gfid: Gfid) -> io::Result<()> {
    let path = bd_proto::intent_path(dir, gfid);
    let folder = path.parent().unwrap_or(dir);
    let mut file = File::options()
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .mode(0o600)
        .open(folder)?;
    file.write_all(bd_proto::CONDEMNED.as_bytes())?;
    file.sync_all()?;
    let nameless = format!("/proc/self/fd/{}", file.as_raw_fd());
    match linkat(CWD, nameless, CWD, &path, AtFlags::SYMLINK_FOLLOW) {
        Err(rustix::io::Errno::EXIST) if fs::read(&path)? == bd_proto::CONDEMNED.as_bytes() => {}
        linked => linked?,
    }
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_is_written_once_and_no_other_is_replaced() {
        let dir = std::env::temp_dir().join(format!("gluster-bd-{}", Gfid::random()));
        let (gfid, other) = (Gfid::random(), Gfid::random());
        let path = |gfid| bd_proto::intent_path(&dir, gfid);
        fs::create_dir_all(path(gfid).parent().unwrap()).unwrap();
        fs::write(path(other), "{}").unwrap();
        for _ in 0..2 {
            note(&dir, gfid).unwrap();
            assert_eq!(fs::read_to_string(path(gfid)).unwrap(), bd_proto::CONDEMNED);
        }
        assert_eq!(
            note(&dir, other).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(fs::read_to_string(path(other)).unwrap(), "{}");
        fs::remove_dir_all(dir).unwrap();
    }
}
