use std::fmt;
use std::str::FromStr;

use bd_model::{BrickId, Bytes, Gfid};

/// A tag of a VG or LV.
///
/// Those of gluster-bd start with `gluster_bd.`; any other is carried along unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Tag {
    /// On an LV: the image it belongs to.
    Gfid(Gfid),
    /// On a VG: the brick it belongs to.
    Brick(BrickId),
    /// On an LV: it never appears as a file.
    Hidden,
    /// On a thick LV: its bytes from here on may still be those of an earlier owner.
    Zeroing(Bytes),
    /// On an LV: it is the destination of a copy or snapshot that has not ended.
    Unfinished,
    /// On a copy-on-write LV: it serves a copy and goes when that ends.
    Temporary,
    /// On an LV: a merge has made this snapshot's LV that of its origin, and the LV that was the
    /// origin's before may not say so yet.
    Merged(Gfid),
    /// On an LV: it holds what an image was before a merge, and goes.
    Outgoing,
    /// On an LV: the image it is a snapshot of, whatever LVM's own origin is.
    Origin(Gfid),
    /// A tag of somebody else.
    Other(String),
}

/// Why a text is not a tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a tag; LVM takes letters, digits and _ + . - / = ! : & #")]
pub struct TagError(String);

const PREFIX: &str = "gluster_bd.";

impl Tag {
    /// Reads the comma-separated list of a report.
    pub fn parse_list(text: &str) -> Result<Vec<Tag>, TagError> {
        text.split(',')
            .filter(|part| !part.is_empty())
            .map(str::parse)
            .collect()
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Tag, TagError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_+.-/=!:&#".contains(c);
        if text.is_empty() || text.starts_with('-') || !text.chars().all(allowed) {
            return Err(TagError(text.to_owned()));
        }
        let other = || Tag::Other(text.to_owned());
        let Some(ours) = text.strip_prefix(PREFIX) else {
            return Ok(other());
        };
        Ok(match ours.split_once('=') {
            Some(("gfid", id)) => id.parse().map_or_else(|_| other(), Tag::Gfid),
            Some(("merged", id)) => id.parse().map_or_else(|_| other(), Tag::Merged),
            Some(("origin", id)) => id.parse().map_or_else(|_| other(), Tag::Origin),
            Some(("brick", id)) => id.parse().map_or_else(|_| other(), Tag::Brick),
            Some(("zeroing", from)) => from
                .parse()
                .map_or_else(|_| other(), |bytes| Tag::Zeroing(Bytes(bytes))),
            None if ours == "hidden" => Tag::Hidden,
            None if ours == "unfinished" => Tag::Unfinished,
            None if ours == "temporary" => Tag::Temporary,
            None if ours == "outgoing" => Tag::Outgoing,
            _ => other(),
        })
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tag::Gfid(gfid) => write!(f, "{PREFIX}gfid={gfid}"),
            Tag::Brick(brick) => write!(f, "{PREFIX}brick={brick}"),
            Tag::Hidden => write!(f, "{PREFIX}hidden"),
            Tag::Zeroing(from) => write!(f, "{PREFIX}zeroing={}", from.0),
            Tag::Unfinished => write!(f, "{PREFIX}unfinished"),
            Tag::Temporary => write!(f, "{PREFIX}temporary"),
            Tag::Merged(gfid) => write!(f, "{PREFIX}merged={gfid}"),
            Tag::Outgoing => write!(f, "{PREFIX}outgoing"),
            Tag::Origin(gfid) => write!(f, "{PREFIX}origin={gfid}"),
            Tag::Other(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_round_trip() {
        let gfid = Gfid::random();
        for tag in [
            Tag::Gfid(gfid),
            Tag::Brick(BrickId::random()),
            Tag::Hidden,
            Tag::Zeroing(Bytes(4 << 20)),
            Tag::Unfinished,
            Tag::Temporary,
            Tag::Merged(gfid),
            Tag::Outgoing,
            Tag::Origin(gfid),
            Tag::Other("backup".to_owned()),
            Tag::Other("gluster_bd.later=1".to_owned()),
        ] {
            assert_eq!(tag.to_string().parse(), Ok(tag));
        }
        let list = format!("x,gluster_bd.gfid={gfid}");
        assert_eq!(
            Tag::parse_list(&list),
            Ok(vec![Tag::Other("x".to_owned()), Tag::Gfid(gfid)])
        );
        assert_eq!(Tag::parse_list(""), Ok(vec![]));
    }

    #[test]
    fn texts_that_could_end_an_argument_are_no_tags() {
        for text in ["", "-x", "a b", "a'b", "a\"b", "a,b", "a\nb"] {
            assert!(text.parse::<Tag>().is_err(), "{text:?}");
        }
    }
}
