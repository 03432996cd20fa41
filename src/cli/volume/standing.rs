//! A volume that is there, and bricks that are added to it.

use super::layout::{Counts, Kind, Layout, bricks, refused};
use super::words::Word;
use crate::CliError;

/// A volume that is there, as `gluster volume info` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// How its bricks stand.
    pub(crate) layout: Layout,
    /// How many groups there are.
    pub(crate) groups: usize,
    /// It was started, and not stopped.
    pub(crate) is_started: bool,
    /// It was never started.
    pub(crate) is_new: bool,
    /// Its option `user.bd` is on.
    pub(crate) is_ours: bool,
    /// Its bricks, as HOST:/DIR.
    pub(crate) bricks: Vec<String>,
}

impl Standing {
    /// Reads what `gluster volume info` says of a volume; none where it makes no sense.
    pub(crate) fn read(text: &str) -> Option<Standing> {
        let value = |key: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(':'))
        };
        // `2 x 3 = 6`, `1 x (2 + 1) = 3`, `4`
        let counts = value("Number of Bricks")?.trim();
        let (groups, group) = match counts.split_once(" x ") {
            None => (counts.parse().ok()?, 1),
            Some((groups, rest)) => {
                let all: usize = rest.split_once("= ")?.1.trim().parse().ok()?;
                let groups: usize = groups.trim().parse().ok()?;
                (groups, all.checked_div(groups)?)
            }
        };
        let kind = match value("Type")? {
            kind if kind.contains("Replicate") => Kind::Replicas,
            kind if kind.contains("Disperse") => Kind::Pieces,
            _ => Kind::Alone,
        };
        let numbered = |line: &str| {
            let (name, brick) = line.trim().split_once(": ")?;
            name.strip_prefix("Brick")?.parse::<usize>().ok()?;
            Some(brick.split(' ').next().unwrap_or(brick).to_owned())
        };
        let status = value("Status")?.trim();
        Some(Standing {
            layout: Layout {
                group,
                has_arbiter: kind == Kind::Replicas && counts.contains('+'),
                kind,
            },
            groups,
            is_started: status == "Started",
            is_new: status == "Created",
            is_ours: value("user.bd").is_some_and(|value| value.trim() == "on"),
            bricks: text.lines().filter_map(numbered).collect(),
        })
    }

    /// The layout of bricks that are added: whole groups, or, with a greater `replica`, one or more for each
    /// group that there is.
    pub(crate) fn grown_by(&self, words: &[Word]) -> Result<Layout, CliError> {
        let counts = Counts::read(words)?;
        let named = bricks(words);
        let Some(replicas) = counts.replica else {
            if counts.is_dispersed || counts.arbiter.is_some() || counts.has_thin_arbiter {
                return Err(refused(
                    "bricks are added to a volume with replica N alone, or without such words"
                        .to_owned(),
                ));
            }
            self.layout.takes(named)?;
            return Ok(self.layout);
        };
        let now = match self.layout.kind {
            Kind::Pieces => {
                return Err(refused("a dispersed volume has no replicas".to_owned()));
            }
            Kind::Replicas | Kind::Alone => self.layout.group,
        };
        let wanted = counts.replicated(replicas)?;
        if wanted.group == now {
            self.layout.takes(named)?;
            return Ok(self.layout);
        }
        if wanted.group < now {
            return Err(refused(format!(
                "the volume has {now} replicas; gluster volume remove-brick makes them fewer"
            )));
        }
        let more = wanted.group - now;
        if named != more * self.groups {
            return Err(refused(format!(
                "{named} bricks are named; {} make {now} replicas {}",
                more * self.groups,
                wanted.group
            )));
        }
        Ok(Layout {
            group: more,
            ..wanted
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::words;
    use super::*;

    #[test]
    fn a_volume_grows_by_whole_groups() {
        let info = "\nVolume Name: vms\nType: Distributed-Replicate\nStatus: Started\n\
                    Number of Bricks: 2 x (2 + 1) = 6\nBricks:\nBrick1: a:/b/1\n\
                    Brick3: c:/b/1 (arbiter)\nOptions Reconfigured:\nuser.bd: on\n";
        let volume = Standing::read(info).unwrap();
        assert_eq!((volume.groups, volume.layout.group), (2, 3));
        assert!(volume.layout.has_arbiter && volume.is_started && volume.is_ours && !volume.is_new);
        assert_eq!(volume.bricks, ["a:/b/1", "c:/b/1"]);
        assert!(volume.grown_by(&words("a:/v b:/v c:/d")).is_ok());
        assert!(volume.grown_by(&words("a:/v b:/v")).is_err());
        let alone =
            Standing::read("Type: Distribute\nStatus: Created\nNumber of Bricks: 2\n").unwrap();
        assert_eq!((alone.groups, alone.layout.group), (2, 1));
        assert!(alone.is_new && !alone.is_ours);
        assert!(alone.grown_by(&words("a:/v")).is_ok());
        let doubled = alone.grown_by(&words("replica 2 a:/v b:/v")).unwrap();
        assert_eq!((doubled.group, doubled.has_arbiter), (1, false));
        assert!(alone.grown_by(&words("replica 2 a:/v")).is_err());
        let pairs = "Type: Replicate\nStatus: Started\nNumber of Bricks: 1 x 2 = 2\n";
        let pairs = Standing::read(pairs).unwrap();
        let with_arbiter = pairs.grown_by(&words("replica 3 arbiter 1 c:/d")).unwrap();
        assert!(with_arbiter.is_arbiter(0));
        assert!(pairs.grown_by(&words("disperse 3 c:/d")).is_err());
        assert_eq!(Standing::read("nonsense"), None);
    }
}
