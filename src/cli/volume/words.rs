//! The words of `volume create` and `volume add-brick`.

use bd_model::VgName;

use crate::CliError;

/// A brick as it stands on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Its host.
    pub(crate) host: String,
    /// A directory, or a volume group with a slash before it.
    pub(crate) path: String,
    /// The volume group, where `?VG` follows the directory; that which is made of the disks.
    pub(crate) vg: Option<VgName>,
    /// Disks that a volume group is made of.
    pub(crate) disks: Vec<String>,
}

/// One word of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// A brick.
    Brick(Asked),
    /// Anything else, for the stock command.
    Other(String),
}

/// Reads the words; the old ones `device vg` and `device lv` are left out.
///
/// # Errors
/// There is no brick, a brick makes no sense, or one is named twice.
pub(crate) fn parse(words: &[String]) -> Result<Vec<Word>, CliError> {
    let mut parsed = Vec::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        if word == "device" {
            match words.next().map(String::as_str) {
                Some("vg" | "lv") => continue,
                _ => return Err(CliError::Usage("device is followed by vg or lv")),
            }
        }
        let word = match word.split_once(":/") {
            None => Word::Other(word.clone()),
            Some((host, rest)) if rest.starts_with(DEV) => Word::Brick(Asked {
                host: host.to_owned(),
                path: format!("/{rest}"),
                vg: None,
                disks: disks_of(rest)?,
            }),
            Some((host, rest)) => {
                let (path, vg) = match rest.rsplit_once('?') {
                    Some((path, vg)) => (path, Some(vg_name(vg)?)),
                    None => (rest, None),
                };
                Word::Brick(Asked {
                    host: host.to_owned(),
                    path: format!("/{}", path.trim_end_matches('/')),
                    vg,
                    disks: Vec::new(),
                })
            }
        };
        match &word {
            Word::Brick(brick) if parsed.contains(&word) => {
                return Err(CliError::Words(format!(
                    "{}:{} is named twice; each brick is a volume group or a directory of its own",
                    brick.host, brick.path
                )));
            }
            _ => parsed.push(word),
        }
    }
    match parsed.iter().any(|word| matches!(word, Word::Brick(_))) {
        true => Ok(parsed),
        false => Err(CliError::Usage("name a brick, as in HOST:/VG")),
    }
}

/// What a brick of disks begins with, after its host and a slash.
const DEV: &str = "dev/";

/// Disks with commas between them.
fn disks_of(rest: &str) -> Result<Vec<String>, CliError> {
    let disks: Vec<String> = format!("/{rest}").split(',').map(str::to_owned).collect();
    let starts = |disk: &String| disk.strip_prefix('/').is_some_and(|d| d.starts_with(DEV));
    match disks.iter().all(starts) {
        true => Ok(disks),
        false => Err(CliError::Usage(
            "disks are named as in HOST:/dev/sdb,/dev/sdc",
        )),
    }
}

/// Names the groups that are made of disks: as the volume, and with a number where a host has several.
///
/// # Errors
/// The volume's name can be none of a group.
pub(crate) fn name_groups(words: &mut [Word], volume: &str) -> Result<(), CliError> {
    let mut hosts: Vec<String> = Vec::new();
    for word in words {
        let Word::Brick(brick) = word else { continue };
        if brick.disks.is_empty() {
            continue;
        }
        let number = 1 + hosts.iter().filter(|host| **host == brick.host).count();
        hosts.push(brick.host.clone());
        let name = match number {
            1 => volume.to_owned(),
            number => format!("{volume}-{number}"),
        };
        brick.vg = Some(name.parse().map_err(|_| {
            CliError::Words(format!(
                "no volume group can be called {name}; make one on the disks: gluster-bd storage create \
                 NAME {}",
                brick.disks.join(" ")
            ))
        })?);
    }
    Ok(())
}

/// A volume group's name, as it stands in a brick.
pub(super) fn vg_name(text: &str) -> Result<VgName, CliError> {
    text.parse()
        .map_err(|_| CliError::Usage("a brick is HOST:/VG or HOST:/DIR?VG"))
}

/// Those of a line, for tests.
#[cfg(test)]
pub(super) fn words(line: &str) -> Vec<Word> {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    parse(&words).unwrap()
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
            disks: Vec::new(),
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
    fn groups_of_disks_are_named_as_the_volume() {
        let mut words = words("h1:/dev/sdb,/dev/sdc h2:/dev/sdb h1:/dev/sdd h1:/vg0").unwrap();
        name_groups(&mut words, "vms").unwrap();
        let bricks: Vec<_> = words
            .iter()
            .map(|word| match word {
                Word::Brick(brick) => (brick.vg.as_ref().map(VgName::as_str), brick.disks.len()),
                Word::Other(_) => unreachable!(),
            })
            .collect();
        let expected = [
            (Some("vms"), 2),
            (Some("vms"), 1),
            (Some("vms-2"), 1),
            (None, 0),
        ];
        assert_eq!(bricks, expected);
        assert!(name_groups(&mut words, "-x").is_err());
    }

    #[test]
    fn what_names_no_brick_is_refused() {
        for line in [
            "replica 2",
            "device h1:/vg0",
            "h1:/d?",
            "h1:/d?-x",
            "h1:/vg0 h2:/vg0 h1:/vg0/",
            "h1:/dev/sdb,sdc",
            "h1:/dev/sdb h1:/dev/sdb",
        ] {
            assert!(words(line).is_err(), "{line}");
        }
    }
}
