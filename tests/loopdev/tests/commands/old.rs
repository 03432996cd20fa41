//! A brick as the BD translator of GlusterFS 3.5 to 5 has left it.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use bd_model::{Gfid, xattr};
use loopdev::{Rig, Volume};
use rustix::fs::{XattrFlags, lgetxattr, lsetxattr};

/// The time of all images, with which they were written last.
fn time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(1_500_000_000, 123_456_789)
}

/// An image of an old brick.
pub(crate) struct Old {
    /// Its path in the volume.
    pub(crate) path: &'static str,
    /// Its gfid, which is the name of its LV.
    pub(crate) gfid: Gfid,
}

/// The gfid of a file of a brick.
pub(crate) fn gfid(path: &Path) -> Result<Gfid> {
    let mut bytes = [0; 16];
    let len = lgetxattr(path, "trusted.gfid", &mut bytes[..])?;
    ensure!(len == 16, "{} has a gfid of {len} bytes", path.display());
    Ok(Gfid::from_bytes(bytes))
}

/// Has a stock volume make files in a brick, and gives them marks, owners and a time. The volume is stopped
/// then. A file of it that is no image has the text of its name.
pub(crate) fn make(
    rig: &mut Rig,
    volume: &Volume,
    images: &[(&'static str, &str)],
    plain: &str,
) -> Result<Vec<Old>> {
    let brick = volume.bricks().first().context("no brick")?.clone();
    volume.start()?;
    let mount = rig.mount(volume, &[])?;
    for (path, _) in images {
        let path = mount.join(path);
        fs::create_dir_all(path.parent().context("no folder")?)?;
        fs::File::create(path)?;
    }
    fs::write(mount.join(plain), plain)?;
    rig.unmount(&mount)?;
    volume.stop()?;
    let mut made = Vec::new();
    for (path, mark) in images {
        let at = brick.join(path);
        lsetxattr(&at, xattr::IMAGE, mark.as_bytes(), XattrFlags::empty())?;
        chown(&at, Some(107), Some(108))?;
        // What GlusterFS 10 has noted of times, GlusterFS 5 did not know.
        let _none = rustix::fs::lremovexattr(&at, "trusted.glusterfs.mdata");
        fs::File::options()
            .write(true)
            .open(&at)?
            .set_modified(time())?;
        made.push(Old {
            path,
            gfid: gfid(&at)?,
        });
    }
    Ok(made)
}

/// An image has its bytes, and all else that it had, in a mounted volume.
pub(crate) fn expect(mount: &Path, old: &Old, bytes: &[u8]) -> Result<()> {
    let path: PathBuf = mount.join(old.path);
    let about = fs::metadata(&path).with_context(|| path.display().to_string())?;
    ensure!(about.len() == bytes.len() as u64, "{}: {about:?}", old.path);
    ensure!(
        (about.uid(), about.gid()) == (107, 108),
        "{}: {about:?}",
        old.path
    );
    ensure!(about.modified()? == time(), "{}: {about:?}", old.path);
    ensure!(fs::read(&path)? == bytes, "{} has other bytes", old.path);
    let asked = loopdev::cmd(
        "getfattr",
        &[
            "-n",
            "glusterfs.gfid.string",
            "--only-values",
            &path.to_string_lossy(),
        ],
    )?;
    ensure!(asked.ok()?.stdout == old.gfid.to_string(), "{}", old.path);
    Ok(())
}
