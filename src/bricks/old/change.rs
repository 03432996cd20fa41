use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bd_durable::failpoint;
use bd_engine::Engine;
use bd_model::Bytes;
use bd_proto::{Fault, OldStep};
use rustix::fs::{Timespec, Timestamps, XattrFlags, fremovexattr, fsetxattr, futimens, lgetxattr};
use rustix::io::Errno;

use super::super::attributes::failed;
use super::super::namespace::Namespace;
use super::judge::Found;

/// On a stub that is getting its size: the times that it has to have afterwards.
const TIMES: &str = "trusted.gluster-bd.times";

/// Takes over one image; what is done already is not done again.
pub(super) fn take(namespace: &Namespace, engine: &dyn Engine, found: &Found) -> Result<(), Fault> {
    let told = &found.told;
    let (Some(gfid), Some(lv), Some(kind), Some(size)) =
        (told.gfid, &told.lv, told.kind, told.size)
    else {
        return Ok(());
    };
    if told.steps.contains(&OldStep::Handle) {
        namespace.link_handle(gfid, &found.path)?;
    }
    if told.steps.contains(&OldStep::Tag) {
        engine.adopt(lv, gfid)?;
        failpoint::reach("old.tagged");
    }
    set_size(&found.path, size).map_err(|error| failed("set the size of", &found.path, &error))?;
    failpoint::reach("old.sized");
    if told.steps.contains(&OldStep::Mark)
        && let Some(stub) = namespace.stub(gfid)?
    {
        namespace.mark(&stub, kind)?;
    }
    Ok(())
}

/// Gives a stub its size, and lets it keep its times, also over a crash.
fn set_size(path: &Path, size: Bytes) -> io::Result<()> {
    let about = fs::symlink_metadata(path)?;
    let saved = saved(path)?;
    if about.len() == size.0 && saved.is_none() {
        return Ok(());
    }
    let file = fs::File::options().write(true).open(path)?;
    let times = match saved {
        Some(times) => times,
        None => {
            let times = [
                about.atime(),
                about.atime_nsec(),
                about.mtime(),
                about.mtime_nsec(),
            ];
            let text = times.map(|number| number.to_string()).join(" ");
            fsetxattr(&file, TIMES, text.as_bytes(), XattrFlags::empty())?;
            times
        }
    };
    file.set_len(size.0)?;
    let at = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    let [atime, atime_nsec, mtime, mtime_nsec] = times;
    futimens(
        &file,
        &Timestamps {
            last_access: at(atime, atime_nsec),
            last_modification: at(mtime, mtime_nsec),
        },
    )?;
    fremovexattr(&file, TIMES)?;
    Ok(())
}

/// The times that a crash has kept from a stub.
fn saved(path: &Path) -> io::Result<Option<[i64; 4]>> {
    let mut value = [0_u8; 128];
    let len = match lgetxattr(path, TIMES, &mut value[..]) {
        Ok(len) => len,
        Err(Errno::NODATA) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let text = String::from_utf8_lossy(&value[..len]);
    let numbers: Vec<i64> = text
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    Ok(numbers.try_into().ok())
}
