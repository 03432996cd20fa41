use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Bytes, Gfid, SizeError};

/// How the blocks of an image are allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageKind {
    /// A thin LV: blocks come from the thin pool when they are first written.
    Thin,
    /// A thick (linear) LV: all blocks are allocated and zeroed when it is made.
    #[serde(rename = "lv")]
    Thick,
}

impl fmt::Display for ImageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ImageKind::Thin => "thin",
            ImageKind::Thick => "lv",
        })
    }
}

/// The value of `user.glusterfs.bd`: what is asked of a file, and what a stub says it is.
///
/// The text forms are `lv`, `thin`, `lv:SIZE`, `thin:SIZE` as in GlusterFS 5, and `pending:GFID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageMark {
    /// The file's bytes live on an LV of this kind; a size asks for a resize as well.
    Image {
        /// Thin or thick.
        kind: ImageKind,
        /// The size asked for; a stub's own mark has none, `st_size` says it.
        size: Option<Bytes>,
    },
    /// The destination of a clone or snapshot that is under way; it has no LV yet.
    Pending {
        /// The image that it shall be a copy of, and of no other. Stubs of old do not say it, and
        /// become none.
        of: Option<Gfid>,
    },
}

/// Why a text is not a mark.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// Not text.
    #[error("a mark is text; write lv, thin, lv:SIZE or thin:SIZE")]
    NoText,
    /// Neither `lv` nor `thin` nor `pending`.
    #[error("{0:?} is not a kind of image; write lv, thin, lv:SIZE or thin:SIZE")]
    Kind(String),
    /// The part behind the colon is not a size.
    #[error(transparent)]
    Size(#[from] SizeError),
}

impl ImageMark {
    /// Reads the bytes of an attribute, which may end in NULs.
    ///
    /// # Errors
    /// They are no mark.
    pub fn read(value: &[u8]) -> Result<ImageMark, MarkError> {
        let text = std::str::from_utf8(value).map_err(|_| MarkError::NoText)?;
        text.trim_end_matches('\0').parse()
    }
}

impl FromStr for ImageMark {
    type Err = MarkError;

    fn from_str(text: &str) -> Result<ImageMark, MarkError> {
        if let Some(source) = text.strip_prefix("pending:") {
            let source = source.parse();
            let source = source.map_err(|_| MarkError::Kind(text.to_owned()))?;
            return Ok(ImageMark::Pending { of: Some(source) });
        }
        let (kind, size) = match text.split_once(':') {
            Some((kind, size)) => (kind, Some(Bytes::parse_with_unit(size, Bytes::MIB)?)),
            None => (text, None),
        };
        let kind = match kind {
            "thin" => ImageKind::Thin,
            "lv" => ImageKind::Thick,
            "pending" if size.is_none() => return Ok(ImageMark::Pending { of: None }),
            _ => return Err(MarkError::Kind(text.to_owned())),
        };
        Ok(ImageMark::Image { kind, size })
    }
}

impl fmt::Display for ImageMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageMark::Image { kind, size: None } => write!(f, "{kind}"),
            ImageMark::Image {
                kind,
                size: Some(size),
            } => write!(f, "{kind}:{}b", size.0),
            ImageMark::Pending { of: None } => f.write_str("pending"),
            ImageMark::Pending { of: Some(source) } => write!(f, "pending:{source}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_round_trip() {
        let copy = "pending:01020304-0506-0708-090a-0b0c0d0e0f10";
        for text in ["thin", "lv", "thin:4096b", "lv:1b", "pending", copy] {
            assert_eq!(text.parse::<ImageMark>().unwrap().to_string(), text);
            assert_eq!(ImageMark::read(text.as_bytes()), text.parse());
            let with_nul = [text.as_bytes(), b"\0"].concat();
            assert_eq!(ImageMark::read(&with_nul), text.parse());
        }
        let mark = "lv:4MB".parse::<ImageMark>().unwrap();
        assert_eq!(
            mark,
            ImageMark::Image {
                kind: ImageKind::Thick,
                size: Some(Bytes(4 << 20))
            }
        );
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "LV", "thick", "lv:", "lv:x", "pending:1", "lv:1:2"] {
            assert!(text.parse::<ImageMark>().is_err(), "{text:?}");
        }
        assert_eq!(ImageMark::read(b"\xc3\x28"), Err(MarkError::NoText));
    }
}
