use std::fmt;
use std::str::FromStr;

use super::Block;

/// A volfile as glusterd writes it: translators, each below those that come after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volfile {
    /// The translators, in the order of the file.
    pub blocks: Vec<Block>,
}

/// Why a text is not a volfile of glusterd's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A line that does not belong where it stands.
    #[error("line {0} is not what glusterd writes there: {1:?}")]
    Line(usize, String),
    /// The last block has no end.
    #[error("the block of {0} has no end-volume")]
    Open(String),
}

impl FromStr for Volfile {
    type Err = ParseError;

    /// Parses what glusterd writes, and refuses all else: a file that is rewritten must not lose
    /// what was not understood.
    fn from_str(text: &str) -> Result<Volfile, ParseError> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (index, line) in text.lines().enumerate() {
            let odd = || ParseError::Line(index + 1, line.to_owned());
            let trimmed = line.trim();
            let (word, rest) = trimmed.split_once(' ').unwrap_or((trimmed, ""));
            match (word, &mut open) {
                ("", _) => {}
                ("volume", None) if !rest.is_empty() => {
                    open = Some(Block {
                        name: rest.to_owned(),
                        kind: String::new(),
                        options: Vec::new(),
                        subvolumes: Vec::new(),
                    });
                }
                ("type", Some(block)) if block.kind.is_empty() && !rest.is_empty() => {
                    rest.clone_into(&mut block.kind);
                }
                ("option", Some(block)) => {
                    let (key, value) = rest.split_once(' ').ok_or_else(odd)?;
                    block.options.push((key.to_owned(), value.to_owned()));
                }
                ("subvolumes", Some(block)) if block.subvolumes.is_empty() => {
                    block.subvolumes = rest.split_whitespace().map(str::to_owned).collect();
                }
                ("end-volume", Some(block)) if rest.is_empty() && !block.kind.is_empty() => {
                    blocks.extend(open.take());
                }
                _ => return Err(odd()),
            }
        }
        match open {
            Some(block) => Err(ParseError::Open(block.name)),
            None => Ok(Volfile { blocks }),
        }
    }
}

impl fmt::Display for Volfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, block) in self.blocks.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            block.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_glusterd_writes_round_trips() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "vol") {
                let text = std::fs::read_to_string(&path).unwrap();
                let volfile: Volfile = text.parse().unwrap();
                assert_eq!(volfile.to_string(), text, "{}", path.display());
                assert!(!volfile.blocks.is_empty());
                seen += 1;
            }
        }
        assert_eq!(seen, 10);
    }

    #[test]
    fn all_else_is_refused_with_its_line() {
        for (text, line) in [
            ("type x/y\n", 1),
            ("volume a\n    type x/y\n    color red\nend-volume\n", 3),
            ("volume a\nend-volume\n", 2),
            ("volume a\n    type x/y\n    option k\nend-volume\n", 3),
            ("volume a\n    type x/y\nvolume b\n", 3),
            ("# comment\n", 1),
        ] {
            match text.parse::<Volfile>() {
                Err(ParseError::Line(at, _)) => assert_eq!(at, line, "{text:?}"),
                other => panic!("{text:?}: {other:?}"),
            }
        }
        assert_eq!(
            "volume a\n".parse::<Volfile>(),
            Err(ParseError::Open("a".into()))
        );
    }
}
