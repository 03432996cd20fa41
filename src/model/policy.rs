use std::fmt;
use std::str::FromStr;

use crate::{Bytes, ImageKind, SizeError};

/// What `ln` means in an image directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkMeans {
    /// A full clone with bytes of its own.
    Clone,
    /// A second name of the same image, as on any file system.
    Hardlink,
}

/// The value of `user.glusterfs.bd.dir`: what happens to new files of a directory.
///
/// The text form is `thin` or `lv`, then optionally `,min=SIZE` and `,link=clone` or
/// `,link=hardlink`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirPolicy {
    /// The kind of LV that a new file gets.
    pub kind: ImageKind,
    /// The size at which a file becomes an image; zero means when it is made.
    pub image_from: Bytes,
    /// What `ln` means here.
    pub link: LinkMeans,
}

/// Why a text is not a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not text.
    #[error("a policy is text that starts with thin or lv")]
    NoText,
    /// The first word is neither `thin` nor `lv`.
    #[error("{0:?} is not a kind of image; a policy starts with thin or lv")]
    Kind(String),
    /// A further word is not known.
    #[error("{0:?} is not part of a policy; use min=SIZE, link=clone or link=hardlink")]
    Word(String),
    /// The size behind `min=` cannot be read.
    #[error(transparent)]
    Size(#[from] SizeError),
}

impl DirPolicy {
    /// Files become images of `kind` when they are made, and `ln` clones.
    pub fn new(kind: ImageKind) -> DirPolicy {
        DirPolicy {
            kind,
            image_from: Bytes(0),
            link: LinkMeans::Clone,
        }
    }

    /// Reads the bytes of an attribute, which may end in NULs.
    ///
    /// # Errors
    /// They are no policy.
    pub fn read(value: &[u8]) -> Result<DirPolicy, PolicyError> {
        let text = std::str::from_utf8(value).map_err(|_| PolicyError::NoText)?;
        text.trim_end_matches('\0').parse()
    }
}

impl FromStr for DirPolicy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<DirPolicy, PolicyError> {
        let mut words = text.split(',');
        let mut policy = match words.next() {
            Some("thin") => DirPolicy::new(ImageKind::Thin),
            Some("lv") => DirPolicy::new(ImageKind::Thick),
            _ => return Err(PolicyError::Kind(text.to_owned())),
        };
        for word in words {
            match word.split_once('=') {
                Some(("min", size)) => policy.image_from = size.parse()?,
                Some(("link", "clone")) => policy.link = LinkMeans::Clone,
                Some(("link", "hardlink")) => policy.link = LinkMeans::Hardlink,
                _ => return Err(PolicyError::Word(word.to_owned())),
            }
        }
        Ok(policy)
    }
}

impl fmt::Display for DirPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if self.image_from.0 > 0 {
            write!(f, ",min={}b", self.image_from.0)?;
        }
        if self.link == LinkMeans::Hardlink {
            f.write_str(",link=hardlink")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_round_trip() {
        for text in ["thin", "lv", "thin,min=4096b", "lv,min=1b,link=hardlink"] {
            assert_eq!(text.parse::<DirPolicy>().unwrap().to_string(), text);
        }
        assert_eq!(
            "thin,link=clone".parse(),
            Ok(DirPolicy::new(ImageKind::Thin))
        );
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "on",
            "thin,",
            "thin,min=",
            "thin,link=copy",
            "min=1,thin",
        ] {
            assert!(text.parse::<DirPolicy>().is_err(), "{text:?}");
        }
        assert_eq!(DirPolicy::read(b"\xc3\x28"), Err(PolicyError::NoText));
        assert_eq!(
            DirPolicy::read(b"lv\0"),
            Ok(DirPolicy::new(ImageKind::Thick))
        );
    }
}
