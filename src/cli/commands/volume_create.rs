use std::path::{Path, PathBuf};

use bd_model::VgName;
use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::health::settle_pool;
use crate::interrupt::Interrupt;
use crate::storage::{BRICKS_STAY, BrickSource, Wanted, find_group, prepare, run};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct VolumeCreate {
    /// The new volume
    name: String,
    /// Bricks as HOST:/VG, or HOST:/DIR?VG for a directory, whose last part is made if it is missing, or HOST:/DIR for one that
    /// is a brick already or holds no images; any words of gluster volume create before them,
    /// such as replica 3. The old words device vg and device lv are taken, too
    #[arg(required = true, value_name = "WORD|BRICK")]
    words: Vec<String>,
}

/// A brick as it stands on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    host: String,
    path: String,
    vg: Option<VgName>,
}

/// One word of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// A brick.
    Brick(Asked),
    /// Anything else, for the stock command.
    Other(String),
}

/// A brick of the new volume.
#[derive(Debug, Serialize)]
pub(super) struct MadeBrick {
    pub(super) host: String,
    pub(super) dir: PathBuf,
    pub(super) vg: Option<VgName>,
}

/// The new volume.
#[derive(Debug, Serialize)]
pub(super) struct Made {
    pub(super) volume: String,
    pub(super) bricks: Vec<MadeBrick>,
    /// What was set of their pools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) set: Vec<String>,
}

impl VolumeCreate {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let words = parse(&self.words)?;
        if run("gluster", &["--mode=script", "volume", "info", &self.name]).is_ok() {
            return Err(CliError::Refused(format!(
                "volume {} exists already; choose another name",
                self.name
            )));
        }
        let interrupt = Interrupt::watch()?;
        // All bricks of a volume need one name for the directory of their images.
        let mut top = None;
        let mut stock = Vec::new();
        let mut bricks = Vec::new();
        let mut settings = Vec::new();
        for word in words {
            match word {
                Word::Other(word) => stock.push(word),
                Word::Brick(asked) => {
                    let brick = make_brick(context, asked, &mut top, &mut settings, &interrupt)?;
                    interrupt.check_or(BRICKS_STAY)?;
                    stock.push(format!("{}:{}", brick.host, brick.dir.display()));
                    bricks.push(brick);
                }
            }
        }
        let mut args = vec!["--mode=script", "volume", "create", self.name.as_str()];
        args.extend(stock.iter().map(String::as_str));
        // The bricks stay: the same command again takes them as they are. From here on a signal
        // changes nothing: a volume without its option would serve no images.
        run("gluster", &args)?;
        let on = [
            "--mode=script",
            "volume",
            "set",
            &self.name,
            "user.bd",
            "on",
        ];
        run("gluster", &on)?;
        let made = Made {
            volume: self.name,
            bricks,
            set: settings,
        };
        context.print(&made, |made| {
            let mut text: String = made.set.iter().map(|line| format!("{line}\n")).collect();
            text.push_str(&format!(
                "volume create: {0}: success: please start it: gluster volume start {0}\n",
                made.volume
            ));
            text
        })?;
        Ok(Exit::Done)
    }
}

fn parse(words: &[String]) -> Result<Vec<Word>, CliError> {
    let mut parsed = Vec::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        if word == "device" {
            match words.next().map(String::as_str) {
                Some("vg" | "lv") => continue,
                _ => return Err(CliError::Usage("device is followed by vg or lv")),
            }
        }
        match word.split_once(":/") {
            None => parsed.push(Word::Other(word.clone())),
            Some((host, rest)) => {
                let (path, vg) = match rest.rsplit_once('?') {
                    Some((path, vg)) => (path, Some(vg_name(vg)?)),
                    None => (rest, None),
                };
                parsed.push(Word::Brick(Asked {
                    host: host.to_owned(),
                    path: format!("/{path}"),
                    vg,
                }));
            }
        }
    }
    match parsed.iter().any(|word| matches!(word, Word::Brick(_))) {
        true => Ok(parsed),
        false => Err(CliError::Usage("name a brick, as in HOST:/VG")),
    }
}

fn vg_name(text: &str) -> Result<VgName, CliError> {
    text.parse()
        .map_err(|_| CliError::Usage("a brick is HOST:/VG or HOST:/DIR?VG"))
}

fn make_brick(
    context: &Context,
    asked: Asked,
    top: &mut Option<String>,
    settings: &mut Vec<String>,
    interrupt: &Interrupt,
) -> Result<MadeBrick, CliError> {
    let Asked { host, path, vg } = asked;
    let single = path.trim_matches('/').to_owned();
    let single = (!single.contains('/')).then_some(single);
    if !is_local(&host) {
        return remote(host, path, vg, single, top.as_deref());
    }
    let (dir, vg) = match (vg, single) {
        (Some(vg), _) => (Some(PathBuf::from(&path)), Some(vg)),
        // A group of that name comes first; then a directory may be meant.
        (None, Some(name)) if find_group(&name)?.is_some() => (None, Some(vg_name(&name)?)),
        (None, Some(name)) if !Path::new(&path).is_dir() => {
            return Err(CliError::NotFound(format!(
                "there is neither a volume group {name} nor a directory {path} on this host; see: \
                 vgs"
            )));
        }
        (None, _) => (Some(PathBuf::from(&path)), None),
    };
    let dir = match &vg {
        None => PathBuf::from(path),
        Some(vg) => {
            let top = top.get_or_insert_with(|| vg.to_string()).clone();
            let source = BrickSource {
                vg: vg.clone(),
                pool: Wanted::Only,
                dir,
                top: Some(top),
            };
            let made = source.dir.as_deref().filter(|dir| !dir.exists());
            made.map_or(Ok(()), make_dir)?;
            match prepare(context, &source, interrupt) {
                Ok((dir, info)) => {
                    settings.extend(settle_pool(&info.engine));
                    dir
                }
                Err(error) => {
                    // What is in it is for the same command again.
                    let _left = made.map(std::fs::remove_dir);
                    return Err(error);
                }
            }
        }
    };
    Ok(MadeBrick { host, dir, vg })
}

/// Makes the last part of a brick directory, as the stock command does.
fn make_dir(dir: &Path) -> Result<(), CliError> {
    std::fs::create_dir(dir).map_err(|error| {
        let text = format!("cannot make the brick directory {}: {error}", dir.display());
        match error.kind() {
            std::io::ErrorKind::NotFound => CliError::NotFound(format!(
                "{text}; its last part alone is made, on a file system that is mounted above it"
            )),
            _ => CliError::Failed(text),
        }
    })
}

/// A brick of another host: its gluster-bdd cannot be asked from here.
fn remote(
    host: String,
    path: String,
    vg: Option<VgName>,
    single: Option<String>,
    top: Option<&str>,
) -> Result<MadeBrick, CliError> {
    let top = match top {
        Some(top) => format!(" --top {top}"),
        None => String::new(),
    };
    match (vg, single) {
        (Some(vg), _) => Err(CliError::Refused(format!(
            "{host} is another host; run there: gluster-bd brick create {vg} --dir {path}{top}, \
             and then name the brick {host}:{path} here"
        ))),
        (None, Some(vg)) => Err(CliError::Refused(format!(
            "{host} is another host; run there: gluster-bd brick create {vg}{top}, and then name \
             the brick {host}:/srv/gluster-bd/{vg}/brick here"
        ))),
        (None, None) => Ok(MadeBrick {
            host,
            dir: PathBuf::from(path),
            vg: None,
        }),
    }
}

/// Whether an address of that name is one of this host.
fn is_local(host: &str) -> bool {
    use std::net::{ToSocketAddrs, UdpSocket};
    (host, 0)
        .to_socket_addrs()
        .is_ok_and(|mut addresses| addresses.any(|address| UdpSocket::bind(address).is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Vec<Word>, CliError> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        parse(&words)
    }

    fn brick(host: &str, path: &str, vg: Option<&str>) -> Word {
        Word::Brick(Asked {
            host: host.to_owned(),
            path: path.to_owned(),
            vg: vg.map(|vg| vg.parse().unwrap()),
        })
    }

    #[test]
    fn the_old_forms_are_taken() {
        for line in ["device vg h1:/vg0", "device lv h1:/vg0", "h1:/vg0"] {
            assert_eq!(words(line).unwrap(), [brick("h1", "/vg0", None)]);
        }
        let other = |word: &str| Word::Other(word.to_owned());
        assert_eq!(
            words("replica 2 h1:/vg0 h2:/d/b?vg1 force").unwrap(),
            [
                other("replica"),
                other("2"),
                brick("h1", "/vg0", None),
                brick("h2", "/d/b", Some("vg1")),
                other("force"),
            ]
        );
    }

    #[test]
    fn what_names_no_brick_is_refused() {
        for line in ["replica 2", "device h1:/vg0", "h1:/d?", "h1:/d?-x"] {
            assert!(words(line).is_err(), "{line}");
        }
    }

    #[test]
    fn addresses_of_this_host_are_local() {
        assert!(is_local("127.0.0.1"));
        assert!(!is_local("192.0.2.1"));
    }
}
