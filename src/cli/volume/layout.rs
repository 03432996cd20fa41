//! How the bricks of a volume stand together, and whether they can.

use super::words::Word;
use crate::CliError;

/// Bricks in groups of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Bricks of a group.
    pub(crate) group: usize,
    /// The last of each group holds names only.
    pub(crate) has_arbiter: bool,
    /// What each group has in common.
    pub(crate) kind: Kind,
}

/// What bricks of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: each stands alone.
    Alone,
    /// The same bytes.
    Replicas,
    /// Pieces of the same files.
    Pieces,
}

pub(super) fn refused(text: String) -> CliError {
    CliError::Words(text)
}

/// The numbers that the words of the stock command have given.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) replica: Option<usize>,
    pub(super) arbiter: Option<usize>,
    pub(super) is_dispersed: bool,
    disperse: Option<usize>,
    data: Option<usize>,
    redundancy: Option<usize>,
    pub(super) has_thin_arbiter: bool,
}

impl Counts {
    pub(super) fn read(words: &[Word]) -> Result<Counts, CliError> {
        let mut counts = Counts::default();
        let mut words = words.iter().peekable();
        let mut bricks = false;
        while let Some(word) = words.next() {
            let word = match word {
                Word::Brick(_) => {
                    bricks = true;
                    continue;
                }
                Word::Other(word) => word.as_str(),
            };
            if word == "force" {
                continue;
            }
            if bricks {
                return Err(refused(format!(
                    "{word} stands behind a brick; all words but force stand before the bricks"
                )));
            }
            let number = match words.peek() {
                Some(Word::Other(text)) => text.parse().ok(),
                _ => None,
            };
            let taken = match word {
                "replica" => counts.replica.replace(needed(word, number)?),
                "arbiter" => counts.arbiter.replace(needed(word, number)?),
                "disperse-data" => counts.data.replace(needed(word, number)?),
                "redundancy" => counts.redundancy.replace(needed(word, number)?),
                "thin-arbiter" => {
                    needed(word, number)?;
                    counts.has_thin_arbiter = true;
                    None
                }
                "disperse" => {
                    counts.disperse = number;
                    None
                }
                "transport" => {
                    words.next();
                    continue;
                }
                _ => {
                    return Err(refused(format!(
                        "{word} is neither a brick (HOST:/VG, HOST:/DIR) nor a word of gluster volume \
                         create before bricks, such as replica 3"
                    )));
                }
            };
            if taken.is_some() {
                return Err(refused(format!("{word} is given twice")));
            }
            counts.is_dispersed |= word.starts_with("disperse") || word == "redundancy";
            if number.is_some() {
                words.next();
            }
        }
        Ok(counts)
    }
}

fn needed(word: &str, number: Option<usize>) -> Result<usize, CliError> {
    number.ok_or_else(|| refused(format!("{word} is followed by a number, as in {word} 3")))
}

impl Layout {
    /// The layout that words ask for, which fits the number of bricks.
    pub(crate) fn of(words: &[Word]) -> Result<Layout, CliError> {
        let counts = Counts::read(words)?;
        let named = bricks(words) - usize::from(counts.has_thin_arbiter);
        let layout = match counts.replica {
            Some(_) if counts.is_dispersed => {
                return Err(refused(
                    "replica and disperse exclude each other".to_owned(),
                ));
            }
            Some(replicas) => counts.replicated(replicas)?,
            None if counts.arbiter.is_some() || counts.has_thin_arbiter => {
                return Err(refused(
                    "an arbiter is one of replicas: write replica 3 arbiter 1".to_owned(),
                ));
            }
            None if counts.is_dispersed => counts.dispersed(named)?,
            None => Layout {
                group: 1,
                has_arbiter: false,
                kind: Kind::Alone,
            },
        };
        layout.takes(named)?;
        Ok(layout)
    }

    /// Fails unless so many bricks make whole groups.
    pub(super) fn takes(&self, bricks: usize) -> Result<(), CliError> {
        match bricks % self.group {
            0 => Ok(()),
            _ => Err(refused(format!(
                "{bricks} bricks are named, and the volume takes them {} at a time: name {} or {}",
                self.group,
                bricks.div_ceil(self.group) * self.group,
                match bricks / self.group * self.group {
                    0 => self.group * (bricks.div_ceil(self.group) + 1),
                    fewer => fewer,
                }
            ))),
        }
    }

    /// Whether the brick with that number, from zero, holds names only.
    pub(crate) fn is_arbiter(&self, number: usize) -> bool {
        self.has_arbiter && number % self.group + 1 == self.group
    }
}

impl Counts {
    pub(super) fn replicated(&self, replicas: usize) -> Result<Layout, CliError> {
        let (group, has_arbiter) = match (self.arbiter, replicas) {
            (None, 0 | 1) => {
                return Err(refused(format!(
                    "replica {replicas} makes no replicas; write replica 3"
                )));
            }
            (None, replicas) => (replicas, false),
            (Some(1), 2 | 3) => (3, true),
            (Some(_), _) => {
                return Err(refused(
                    "one of three replicas can be an arbiter: write replica 3 arbiter 1".to_owned(),
                ));
            }
        };
        if self.has_thin_arbiter && group != 2 {
            return Err(refused(
                "a thin arbiter stands beside two replicas: write replica 2 thin-arbiter 1"
                    .to_owned(),
            ));
        }
        Ok(Layout {
            group,
            has_arbiter,
            kind: Kind::Replicas,
        })
    }

    fn dispersed(&self, bricks: usize) -> Result<Layout, CliError> {
        let group = match (self.disperse, self.data, self.redundancy) {
            (Some(all), _, _) => all,
            (None, Some(data), Some(redundancy)) => data + redundancy,
            (None, _, _) => bricks,
        };
        if let (Some(data), Some(redundancy)) = (self.data, self.redundancy)
            && data + redundancy != group
        {
            return Err(refused(format!(
                "{data} pieces of data and {redundancy} of redundancy are not {group}"
            )));
        }
        let redundancy = match (self.redundancy, self.data) {
            (Some(redundancy), _) => redundancy,
            (None, Some(data)) => group.saturating_sub(data),
            (None, None) => 1,
        };
        if group < 3 || redundancy == 0 || redundancy * 2 >= group {
            return Err(refused(format!(
                "{group} pieces cannot have {redundancy} of redundancy: less than half of them, and at \
                 least one of three, as in disperse 3 redundancy 1"
            )));
        }
        Ok(Layout {
            group,
            has_arbiter: false,
            kind: Kind::Pieces,
        })
    }
}

/// How many bricks are named.
pub(super) fn bricks(words: &[Word]) -> usize {
    let bricks = words.iter().filter(|word| matches!(word, Word::Brick(_)));
    bricks.count()
}

#[cfg(test)]
mod tests {
    use super::super::words::words;
    use super::*;

    #[test]
    fn words_that_fit_are_taken() {
        let of = |line: &str| {
            let layout = Layout::of(&words(line)).unwrap();
            (layout.group, layout.has_arbiter)
        };
        assert_eq!(of("a:/v b:/v"), (1, false));
        assert_eq!(of("transport tcp a:/v force"), (1, false));
        assert_eq!(of("replica 2 a:/v b:/v"), (2, false));
        assert_eq!(
            of("replica 3 a:/v b:/v c:/v a:/w b:/w c:/w force"),
            (3, false)
        );
        assert_eq!(of("replica 3 arbiter 1 a:/v b:/v c:/v"), (3, true));
        assert_eq!(of("replica 2 arbiter 1 a:/v b:/v c:/v"), (3, true));
        assert_eq!(of("replica 2 thin-arbiter 1 a:/v b:/v c:/d"), (2, false));
        assert_eq!(of("disperse a:/v b:/v c:/v"), (3, false));
        assert_eq!(of("disperse 3 redundancy 1 a:/v b:/v c:/v"), (3, false));
        assert_eq!(
            of("disperse-data 2 redundancy 1 a:/v b:/v c:/v"),
            (3, false)
        );
        let layout = Layout::of(&words("replica 3 arbiter 1 a:/v b:/v c:/d")).unwrap();
        assert_eq!(
            [0, 1, 2, 5].map(|n| layout.is_arbiter(n)),
            [false, false, true, true]
        );
    }

    #[test]
    fn words_that_do_not_fit_are_refused_with_the_numbers() {
        let said = |line: &str| Layout::of(&words(line)).unwrap_err().to_string();
        assert!(said("replica 3 a:/v b:/v").contains("name 3 or 6"));
        assert!(said("replica 3 a:/v b:/v c:/v d:/v").contains("name 6 or 3"));
        for line in [
            "replica a:/v",
            "replica 1 a:/v",
            "replica 3 replica 3 a:/v b:/v c:/v",
            "arbiter 1 a:/v b:/v c:/v",
            "replica 3 arbiter 2 a:/v b:/v c:/v",
            "replica 4 arbiter 1 a:/v b:/v c:/v d:/v",
            "replica 3 thin-arbiter 1 a:/v b:/v c:/v d:/v",
            "replica 3 disperse 3 a:/v b:/v c:/v",
            "disperse a:/v b:/v",
            "disperse 4 redundancy 2 a:/v b:/v c:/v d:/v",
            "disperse 3 disperse-data 3 a:/v b:/v c:/v",
            "a:/v replica 3 b:/v c:/v",
            "relica 3 a:/v b:/v c:/v",
            "3 a:/v",
        ] {
            said(line);
        }
    }
}
