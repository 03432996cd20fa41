//! Bricks of a new volume, or of one that grows: what each is to become, and how it comes to that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bd_model::VgName;
use bd_proto::Request;

use super::claim::{forget_failed, mark_of, unmark};
use super::layout::Layout;
use super::pool::{Pool, is_local};
use super::stock::gluster;
use super::words::{Asked, Word, vg_name};
use crate::CliError;
use crate::context::Context;
use crate::health::settle_pool;
use crate::interrupt::Interrupt;
use crate::server::ask_brick;
use crate::storage::{
    BRICKS_STAY, BrickSource, Wanted, brick_dir, find_group, make_plain_group, prepare, take_for,
};

/// A brick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Brick {
    /// Its host, as it was named.
    pub(crate) host: String,
    /// Its directory.
    pub(crate) dir: PathBuf,
    /// The volume group that it is made on; none for a directory that is taken as it is.
    pub(crate) vg: Option<VgName>,
    /// The disks that the group is made of first; none where it is there.
    disks: Vec<String>,
    /// Its directory was named, and is not that which is made on the group.
    has_own_dir: bool,
    /// It is on this host.
    is_here: bool,
}

/// Bricks in the order of the command line.
#[derive(Debug)]
pub(crate) struct Bricks {
    /// The bricks.
    pub(crate) all: Vec<Brick>,
    /// The name of their image directory; none where no group is named.
    top: Option<String>,
    /// Those of this host that no volume has marked.
    unmarked: Vec<PathBuf>,
    /// What disks hold is removed.
    wipe: bool,
}

impl Bricks {
    /// Looks what the bricks are to become, as far as this host can tell; makes nothing. `top` is the
    /// name of the image directory where the volume has one, `wipe` says that what disks hold may be removed.
    pub(crate) fn plan(
        context: &Context,
        words: &[Word],
        layout: &Layout,
        top: Option<String>,
        wipe: bool,
    ) -> Result<Bricks, CliError> {
        let asked = words.iter().filter_map(|word| match word {
            Word::Brick(asked) => Some(asked),
            Word::Other(_) => None,
        });
        let mut bricks = Bricks {
            all: Vec::new(),
            top,
            unmarked: Vec::new(),
            wipe,
        };
        for (number, asked) in asked.enumerate() {
            let brick = plan(asked, layout.is_arbiter(number), wipe)?;
            let twice = |disk: &&String| {
                let mut others = bricks.all.iter().filter(|other| other.host == brick.host);
                others.any(|other| other.disks.contains(disk))
            };
            if let Some(disk) = brick.disks.iter().find(twice) {
                return Err(CliError::Words(format!(
                    "{}:{disk} is named twice",
                    brick.host
                )));
            }
            bricks.all.push(brick);
        }
        if bricks.top.is_none() {
            bricks.top = bricks.top_of_these(context)?;
        }
        if bricks.all.iter().any(|brick| !brick.is_here) {
            let pool = Pool::ask()?;
            let mut others = bricks.all.iter().filter(|brick| !brick.is_here);
            others.try_for_each(|brick| pool.require(&brick.host))?;
        }
        Ok(bricks)
    }

    /// The name of the image directory: that of a brick which is there, or of the first group.
    fn top_of_these(&self, context: &Context) -> Result<Option<String>, CliError> {
        for brick in &self.all {
            if brick.is_here && is_brick(&brick.dir) {
                return Ok(Some(describe(context, &brick.dir)?.top));
            }
        }
        let first = self.all.iter().find_map(|brick| brick.vg.as_ref());
        Ok(first.map(ToString::to_string))
    }

    /// Makes the bricks of this host, and says what was set besides. What is there is taken as it is.
    pub(crate) fn make(
        &mut self,
        context: &Context,
        interrupt: &Interrupt,
    ) -> Result<Vec<String>, CliError> {
        let mut set = Vec::new();
        for brick in self.all.iter().filter(|brick| brick.is_here) {
            if let Some(vg) = &brick.vg {
                if !brick.disks.is_empty() {
                    make_plain_group(vg, &brick.disks, self.wipe)?;
                    set.push(format!(
                        "made volume group {vg} of {}",
                        brick.disks.join(", ")
                    ));
                }
                let dir = brick.has_own_dir.then(|| brick.dir.clone());
                let made = dir.as_deref().filter(|dir| !dir.exists());
                made.map_or(Ok(()), make_dir)?;
                let source = BrickSource {
                    vg: vg.clone(),
                    pool: Wanted::Only,
                    top: self.top.clone(),
                    dir: dir.clone(),
                };
                match prepare(context, &source, interrupt) {
                    Ok((_, info)) => set.extend(settle_pool(&info.engine)),
                    Err(error) => {
                        // What is in it is for the same command again.
                        let _left = made.map(std::fs::remove_dir);
                        return Err(error);
                    }
                }
            }
            if is_brick(&brick.dir) {
                set.extend(forget_failed(&brick.dir, &describe(context, &brick.dir)?)?);
            }
            if mark_of(&brick.dir)?.is_none() {
                self.unmarked.push(brick.dir.clone());
            }
            interrupt.check_or(BRICKS_STAY)?;
        }
        Ok(set)
    }

    /// Gives the bricks to a volume by the stock command `gluster volume VERB`, with directories for groups.
    pub(crate) fn give(&self, verb: &str, volume: &str, words: &[Word]) -> Result<(), CliError> {
        let words = self.stock_words(words);
        let mut args = vec!["volume", verb, volume];
        args.extend(words.iter().map(String::as_str));
        match gluster(&args) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.unmark()?;
                Err(self.refused(error.into()))
            }
        }
    }

    /// The words as the stock command takes them: directories for groups.
    pub(crate) fn stock_words(&self, words: &[Word]) -> Vec<String> {
        let mut bricks = self.all.iter();
        let word = |word: &Word| match word {
            Word::Other(word) => Some(word.clone()),
            Word::Brick(_) => bricks.next().map(Brick::name),
        };
        words.iter().filter_map(word).collect()
    }

    /// What makes the bricks, each on its host.
    pub(crate) fn commands(&self) -> Vec<String> {
        let command = |brick: &Brick| {
            let command = brick.command(self.top.as_deref(), self.wipe)?;
            match brick.is_here {
                true => Some(command),
                false => Some(format!("on {}: {command}", brick.host)),
            }
        };
        self.all.iter().filter_map(command).collect()
    }

    /// Frees the bricks of this host for another volume, after one was not made.
    pub(crate) fn unmark(&self) -> Result<(), CliError> {
        self.unmarked.iter().try_for_each(|dir| unmark(dir))
    }

    /// The error after bricks of other hosts were not taken: what makes them, a command for each host.
    /// `cause` is that of the stock command.
    pub(crate) fn refused(&self, cause: CliError) -> CliError {
        let mut commands: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for brick in self.all.iter().filter(|brick| !brick.is_here) {
            if let Some(command) = brick.command(self.top.as_deref(), self.wipe) {
                commands.entry(&brick.host).or_default().push(command);
            }
        }
        if commands.is_empty() {
            return cause;
        }
        let lines: Vec<String> = commands
            .iter()
            .map(|(host, commands)| format!("on {host}: {}", commands.join(" && ")))
            .collect();
        CliError::Refused(format!(
            "{cause}\nMake the bricks of other hosts, also where that was done before, and give this \
             command again:\n{}",
            lines.join("\n")
        ))
    }

    /// The bricks of other hosts that were to be made there, and are none of ours, by what glusterd there
    /// would start, with commas between; `None` if all are there. One that does not answer is not among them.
    pub(crate) fn missing(&self, volume: &str) -> Option<String> {
        let there = self.all.iter().filter(|b| !b.is_here && b.vg.is_some());
        let lacks = |brick: &&Brick| {
            let path = brick.dir.display().to_string();
            let slug = path.trim_start_matches('/').replace('/', "-");
            let host = format!("--remote-host={}", brick.host);
            let volfile = format!("{volume}.{}.{slug}", brick.host);
            gluster(&[&host, "system::", "getspec", &volfile])
                .is_ok_and(|text| !text.contains("type storage/bd"))
        };
        let missing: Vec<String> = there.filter(lacks).map(Brick::name).collect();
        (!missing.is_empty()).then(|| missing.join(", "))
    }
}

impl Brick {
    /// Its name for the stock command.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.host, self.dir.display())
    }

    /// What makes it, on its host; none for a directory that is taken as it is.
    fn command(&self, top: Option<&str>, wipe: bool) -> Option<String> {
        let vg = self.vg.as_ref()?;
        let mut disks: String = self.disks.iter().map(|d| format!(" --disk {d}")).collect();
        if wipe && !disks.is_empty() {
            disks.push_str(" --wipe");
        }
        let dir = match self.has_own_dir {
            true => format!(" --dir {}", self.dir.display()),
            false => String::new(),
        };
        let top = top.map(|top| format!(" --top {top}")).unwrap_or_default();
        Some(format!("gluster-bd brick create {vg}{disks}{dir}{top}"))
    }
}

/// What one brick is to become.
fn plan(asked: &Asked, is_arbiter: bool, wipe: bool) -> Result<Brick, CliError> {
    let Asked {
        host,
        path,
        vg,
        disks,
    } = asked;
    let is_here = is_local(host);
    let single = path.trim_matches('/');
    let single = (!single.contains('/')).then_some(single);
    let as_it_is = Brick {
        host: host.clone(),
        dir: PathBuf::from(path),
        vg: None,
        disks: Vec::new(),
        has_own_dir: true,
        is_here,
    };
    if is_arbiter {
        return match (vg, single) {
            (None, Some(_)) if is_here && !Path::new(path).is_dir() => names_only(asked),
            (None, _) => Ok(as_it_is),
            (Some(_), _) => names_only(asked),
        };
    }
    let on_group = |vg: VgName, has_own_dir: bool| Brick {
        dir: match has_own_dir {
            true => PathBuf::from(path),
            false => brick_dir(vg.as_str()),
        },
        vg: Some(vg),
        has_own_dir,
        ..as_it_is.clone()
    };
    if let Some(vg) = vg
        && !disks.is_empty()
    {
        return Ok(Brick {
            disks: match is_here {
                true => take_for(vg, disks, wipe)?,
                false => disks.clone(),
            },
            ..on_group(vg.clone(), false)
        });
    }
    match (vg, single) {
        (Some(vg), _) if is_here => {
            find_group(vg.as_str())?.ok_or_else(|| no_group(vg.as_str()))?;
            can_be_made(Path::new(path))?;
            Ok(on_group(vg.clone(), true))
        }
        (Some(vg), _) => Ok(on_group(vg.clone(), true)),
        // A group of that name comes first; then a directory may be meant.
        (None, Some(name)) if !is_here || find_group(name)?.is_some() => {
            Ok(on_group(vg_name(name)?, false))
        }
        (None, Some(name)) if !Path::new(path).is_dir() => Err(CliError::NotFound(format!(
            "there is neither a volume group {name} nor a directory {path} on this host; see: vgs"
        ))),
        (None, _) => Ok(as_it_is),
    }
}

fn names_only(asked: &Asked) -> Result<Brick, CliError> {
    Err(CliError::Refused(format!(
        "{}:{} is to be the arbiter, which holds names and no image: name a directory of a small file \
         system there, as HOST:/DIR, and no volume group",
        asked.host, asked.path
    )))
}

fn no_group(vg: &str) -> CliError {
    CliError::NotFound(format!(
        "there is no volume group {vg} on this host; see: vgs, or make it: gluster-bd storage create {vg} \
         DEVICE..."
    ))
}

/// Fails unless a directory is there, or its last part can be made.
fn can_be_made(dir: &Path) -> Result<(), CliError> {
    match dir.is_dir() || dir.parent().is_some_and(Path::is_dir) {
        true => Ok(()),
        false => Err(cannot_make(dir, &std::io::ErrorKind::NotFound.into())),
    }
}

/// Makes the last part of a brick directory, as the stock command does.
fn make_dir(dir: &Path) -> Result<(), CliError> {
    std::fs::create_dir(dir).map_err(|error| cannot_make(dir, &error))
}

fn cannot_make(dir: &Path, error: &std::io::Error) -> CliError {
    let text = format!("cannot make the brick directory {}: {error}", dir.display());
    match error.kind() {
        std::io::ErrorKind::NotFound => CliError::NotFound(format!(
            "{text}; its last part alone is made, on a file system that is mounted above it"
        )),
        _ => CliError::Failed(text),
    }
}

/// Whether a directory of this host is a brick of ours.
pub(crate) fn is_brick(dir: &Path) -> bool {
    let configuration = dir.join(bd_proto::BRICK_FOLDER);
    configuration.join(bd_proto::BRICK_CONFIGURATION).is_file()
}

fn describe(context: &Context, dir: &Path) -> Result<bd_proto::BrickInfo, CliError> {
    let dir = dir.to_owned();
    ask_brick(&context.socket, &Request::DescribeBrick { dir })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(host: &str, path: &str, vg: Option<&str>) -> Brick {
        let asked = Asked {
            host: host.to_owned(),
            path: path.to_owned(),
            vg: vg.map(|vg| vg.parse().unwrap()),
            disks: Vec::new(),
        };
        plan(&asked, false, false).unwrap()
    }

    /// Addresses that are for documentation alone: never this host.
    const A: &str = "203.0.113.1";
    const B: &str = "203.0.113.2";

    #[test]
    fn each_other_host_gets_one_command() {
        let bricks = Bricks {
            all: vec![
                there(A, "/vg0", None),
                there(B, "/d/b", Some("vg1")),
                there(A, "/vg1", None),
                there(B, "/d/plain", None),
                Brick {
                    disks: vec!["/dev/sdb".to_owned(), "/dev/sdc".to_owned()],
                    ..there(B, "/vg2", None)
                },
            ],
            top: Some("vg0".to_owned()),
            unmarked: Vec::new(),
            wipe: false,
        };
        let error = bricks.refused(CliError::Failed("no".to_owned()));
        let text = error.to_string();
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "on 203.0.113.1: gluster-bd brick create vg0 --top vg0 && gluster-bd brick create vg1 \
                 --top vg0",
                "on 203.0.113.2: gluster-bd brick create vg1 --dir /d/b --top vg0 && gluster-bd brick create vg2 \
                 --disk /dev/sdb --disk /dev/sdc --top vg0",
            ]
        );
        assert_eq!(error.exit(), crate::Exit::Refused);
        assert_eq!(
            bricks.all[0].name(),
            "203.0.113.1:/srv/gluster-bd/vg0/brick"
        );
    }

    #[test]
    fn an_arbiter_takes_no_group() {
        let arbiter = |path: &str, vg: Option<&str>| {
            let asked = Asked {
                host: "localhost".to_owned(),
                path: path.to_owned(),
                vg: vg.map(|vg| vg.parse().unwrap()),
                disks: Vec::new(),
            };
            plan(&asked, true, false)
        };
        assert!(arbiter("/d/b", Some("vg0")).is_err());
        assert!(arbiter("/no-such-directory", None).is_err());
        assert_eq!(arbiter("/a/b", None).unwrap().vg, None);
    }
}
