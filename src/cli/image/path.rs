use std::fmt;
use std::str::FromStr;

/// A volume, and a file of it: `VOL:/PATH`, or `VOL:NAME` for a name in the top image directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImagePath {
    /// The volume.
    pub(crate) volume: String,
    /// The file.
    pub(crate) name: NewName,
}

/// A volume, or a directory of it: `VOL` or `VOL:/DIR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The volume.
    pub(crate) volume: String,
    /// The directory.
    pub(crate) directory: Option<String>,
}

/// A name without directory, or a path within the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NewName {
    /// Just a name.
    Bare(String),
    /// From the volume's root.
    Path(String),
}

/// Why a text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    /// There is no colon.
    #[error("{0:?} names no volume; write VOL:/PATH")]
    NoVolume(String),
    /// The part before the colon cannot be a volume's name.
    #[error("{0:?} cannot be the name of a volume; those are letters, digits, - and _")]
    Volume(String),
    /// The path is empty, or has `.`, `..` or an empty part.
    #[error("{0:?} is not the path of a file in a volume")]
    Path(String),
}

impl FromStr for NewName {
    type Err = PathError;

    fn from_str(text: &str) -> Result<NewName, PathError> {
        let wrong = || PathError::Path(text.to_owned());
        if text.contains('\0') {
            return Err(wrong());
        }
        let path = text.strip_prefix('/').unwrap_or(text);
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(wrong());
        }
        Ok(match text.contains('/') {
            true => NewName::Path(format!("/{path}")),
            false => NewName::Bare(text.to_owned()),
        })
    }
}

impl FromStr for ImagePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<ImagePath, PathError> {
        let (volume, path) = text
            .split_once(':')
            .ok_or_else(|| PathError::NoVolume(text.to_owned()))?;
        Ok(ImagePath {
            volume: volume_name(volume)?,
            name: path.parse()?,
        })
    }
}

impl FromStr for Place {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Place, PathError> {
        let Some((volume, path)) = text.split_once(':') else {
            return Ok(Place {
                volume: volume_name(text)?,
                directory: None,
            });
        };
        let directory = match path.trim_end_matches('/') {
            "" if path.is_empty() => return Err(PathError::Path(text.to_owned())),
            "" => "/".to_owned(),
            path => match path.parse()? {
                NewName::Bare(name) => format!("/{name}"),
                NewName::Path(path) => path,
            },
        };
        Ok(Place {
            volume: volume_name(volume)?,
            directory: Some(directory),
        })
    }
}

impl fmt::Display for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.volume, self.name)
    }
}

impl fmt::Display for NewName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NewName::Bare(name) => f.write_str(name),
            NewName::Path(path) => f.write_str(path),
        }
    }
}

fn volume_name(text: &str) -> Result<String, PathError> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match !text.is_empty() && text.chars().all(good) {
        true => Ok(text.to_owned()),
        false => Err(PathError::Volume(text.to_owned())),
    }
}

/// A name in a directory.
pub(crate) fn join(directory: &str, name: &str) -> String {
    match directory {
        "/" => format!("/{name}"),
        directory => format!("{directory}/{name}"),
    }
}

/// The directory of an absolute path.
pub(crate) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((directory, _)) => directory,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_grammar_is_taken() {
        let path = |text: &str| text.parse::<ImagePath>().map(|p| (p.volume, p.name));
        let at = |path: &str| Ok(("vms".to_owned(), NewName::Path(path.to_owned())));
        assert_eq!(path("vms:/vg0/lv1"), at("/vg0/lv1"));
        assert_eq!(path("vms:vg0/lv1"), at("/vg0/lv1"));
        assert_eq!(path("vms:/a:b c"), at("/a:b c"));
        let bare = Ok(("vms".to_owned(), NewName::Bare("lv1".to_owned())));
        assert_eq!(path("vms:lv1"), bare);
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in [
            "",
            "vms",
            "vms:",
            ":/a",
            "vms:/",
            "vms:/a/",
            "vms:/a//b",
            "vms:/a/../b",
            "vms:.",
            "v m:/a",
            "../v:/a",
        ] {
            assert!(text.parse::<ImagePath>().is_err(), "{text:?}");
        }
        assert!("a/../b".parse::<NewName>().is_err());
    }

    #[test]
    fn places_are_volumes_or_directories() {
        let place = |text: &str| text.parse::<Place>().map(|place| place.directory);
        assert_eq!(place("vms"), Ok(None));
        assert_eq!(place("vms:/"), Ok(Some("/".to_owned())));
        assert_eq!(place("vms:/vg0/"), Ok(Some("/vg0".to_owned())));
        assert_eq!(place("vms:vg0"), Ok(Some("/vg0".to_owned())));
        assert!(place("vms:").is_err());
    }

    #[test]
    fn paths_are_put_together_and_taken_apart() {
        assert_eq!(
            (join("/", "a"), join("/d", "a")),
            ("/a".into(), "/d/a".into())
        );
        assert_eq!((parent("/a"), parent("/d/a")), ("/", "/d"));
    }
}
