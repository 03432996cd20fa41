//! Copies of a file's bytes: shared where the file system can, else only its data extents.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, ioctl_ficlone, seek};
use rustix::io::Errno;

/// Bytes that are moved at once.
const STEP: usize = 1 << 20;

/// Makes the first `len` bytes of `target` those of `source`.
///
/// `target` is empty, or has `len` bytes which read as zeros. Holes stay holes.
pub(super) fn copy(source: &File, target: &File, len: u64) -> Result<(), Errno> {
    match ioctl_ficlone(target, source) {
        Ok(()) => return Ok(()),
        // All of these say that sharing is not to be had here.
        Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::XDEV | Errno::INVAL | Errno::NOSYS) => {}
        Err(errno) => return Err(errno),
    }
    rustix::fs::ftruncate(target, len)?;
    let mut buffer = vec![0; STEP];
    let mut end = 0;
    while let Some(start) = next_data(source, end)?.filter(|start| *start < len) {
        end = seek(source, SeekFrom::Hole(start))?.min(len);
        copy_range(source, target, start, end, &mut buffer)?;
    }
    Ok(())
}

fn next_data(file: &File, from: u64) -> Result<Option<u64>, Errno> {
    match seek(file, SeekFrom::Data(from)) {
        Ok(start) => Ok(Some(start)),
        Err(Errno::NXIO) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn copy_range(
    source: &File,
    target: &File,
    start: u64,
    end: u64,
    buffer: &mut [u8],
) -> Result<(), Errno> {
    let system = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let mut at = start;
    while at < end {
        let want = usize::try_from(end - at).map_or(buffer.len(), |n| n.min(buffer.len()));
        let part = &mut buffer[..want];
        source.read_exact_at(part, at).map_err(system)?;
        target.write_all_at(part, at).map_err(system)?;
        at += part.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_copied_and_holes_stay() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name| {
            File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(folder.path().join(name))
                .unwrap()
        };
        let (source, target) = (open("source"), open("target"));
        let len = 64 << 20;
        source.set_len(len).unwrap();
        source.write_all_at(b"first", 3).unwrap();
        source.write_all_at(b"last", len - 4).unwrap();
        copy(&source, &target, len).unwrap();
        assert_eq!(target.metadata().unwrap().len(), len);
        let mut bytes = [0; 5];
        target.read_exact_at(&mut bytes, 3).unwrap();
        assert_eq!(&bytes, b"first");
        target.read_exact_at(&mut bytes, len - 5).unwrap();
        assert_eq!(&bytes, b"\0last");
        use std::os::unix::fs::MetadataExt;
        assert!(target.metadata().unwrap().blocks() * 512 < 1 << 20);
    }
}
