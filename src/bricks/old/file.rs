use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bd_model::{Gfid, ImageKind, xattr};
use bd_proto::Fault;
use rustix::fs::lgetxattr;
use rustix::io::Errno;

use super::super::attributes::{failed, gfid_of, has_data};
use super::super::namespace::Namespace;

/// What the mark of a file says, by the rules of GlusterFS 5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OldMark {
    /// It has none.
    None,
    /// It is an image.
    Image {
        kind: ImageKind,
        /// Bytes that its LV had when the mark was written; none in marks of ours.
        size: Option<u64>,
    },
    /// No mark that GlusterFS 5 wrote.
    Bad(String),
}

impl OldMark {
    fn read(text: &str) -> OldMark {
        let bad = || OldMark::Bad(text.to_owned());
        let (kind, size) = match text.rsplit_once(':') {
            Some((kind, size)) => (kind, Some(size)),
            None => (text, None),
        };
        let kind = match kind {
            "lv" => ImageKind::Thick,
            "thin" => ImageKind::Thin,
            _ => return bad(),
        };
        match size.map(str::parse) {
            None => OldMark::Image { kind, size: None },
            Some(Ok(size)) => OldMark::Image {
                kind,
                size: Some(size),
            },
            Some(Err(_)) => bad(),
        }
    }
}

/// The mark of the file at `path`.
pub(super) fn mark_of(path: &Path) -> Result<OldMark, Fault> {
    let mut value = [0_u8; 256];
    match lgetxattr(path, xattr::IMAGE, &mut value[..]) {
        Ok(len) => {
            let text = String::from_utf8_lossy(&value[..len]);
            Ok(OldMark::read(text.trim_end_matches('\0')))
        }
        Err(Errno::NODATA | Errno::NOENT) => Ok(OldMark::None),
        Err(Errno::RANGE) => Ok(OldMark::Bad("something very long".to_owned())),
        Err(errno) => Err(failed("read the mark of", path, &errno)),
    }
}

/// A regular file of an old brick.
#[derive(Clone, Debug)]
pub(super) struct OldFile {
    /// One of its names.
    pub(super) path: PathBuf,
    /// The same, from the root of its volume.
    pub(super) shown: String,
    /// File system and inode.
    pub(super) identity: (u64, u64),
    pub(super) gfid: Option<Gfid>,
    pub(super) mark: OldMark,
    pub(super) size: u64,
    /// Whether it holds bytes itself.
    pub(super) holds_data: bool,
}

/// All files of the brick, each once, in no order.
pub(super) fn files(dir: &Path, namespace: &Namespace) -> Result<Vec<OldFile>, Fault> {
    let mut found: HashMap<(u64, u64), OldFile> = HashMap::new();
    namespace.each_file(|path, about| {
        let identity = (about.dev(), about.ino());
        if found.contains_key(&identity) {
            return Ok(());
        }
        let below = path.strip_prefix(dir).unwrap_or(path);
        let file = OldFile {
            shown: Path::new("/").join(below).display().to_string(),
            path: path.to_owned(),
            identity,
            gfid: gfid_of(path)?,
            mark: mark_of(path)?,
            size: about.len(),
            holds_data: about.blocks() > 0 && has_data(path)?,
        };
        found.insert(identity, file);
        Ok(())
    })?;
    Ok(found.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_glusterfs_5_are_in_bytes() {
        let image = |kind, size| OldMark::Image { kind, size };
        for (text, mark) in [
            ("lv:4194304", image(ImageKind::Thick, Some(4 << 20))),
            // More than 16 EiB, if it were MiB.
            ("thin:17592186044416", image(ImageKind::Thin, Some(1 << 44))),
            ("lv", image(ImageKind::Thick, None)),
        ] {
            assert_eq!(OldMark::read(text), mark);
        }
        for text in [
            "", "LV:1", "lv:", "lv:4M", "lv:1:2", "thick", "pending", "lv:-1",
        ] {
            assert_eq!(OldMark::read(text), OldMark::Bad(text.to_owned()));
        }
    }
}
