use std::collections::VecDeque;

/// The text of a symbolic link, as the way to its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Whether the way starts at the volume's root; else in the link's directory.
    pub(crate) from_root: bool,
    /// The names on the way, with `..` among them.
    pub(crate) names: VecDeque<Vec<u8>>,
}

/// Where absolute paths that lead into the volume start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Roots {
    /// At these directories, of which each is the mount point.
    Mount(Vec<Vec<u8>>),
    /// At the volume's root itself, as for libgfapi.
    Volume,
}

/// Reads the text of a symbolic link; `None` if it leads out of the volume for sure.
pub(crate) fn parse(text: &[u8], roots: &Roots) -> Option<Target> {
    if text.is_empty() {
        return None;
    }
    if text[0] != b'/' {
        return Some(Target {
            from_root: false,
            names: names(text),
        });
    }
    let path = names(text);
    match roots {
        Roots::Volume => Some(Target {
            from_root: true,
            names: path,
        }),
        Roots::Mount(mounts) => mounts.iter().find_map(|mount| below(&path, mount)),
    }
}

/// The part of an absolute path below a mount point.
fn below(path: &VecDeque<Vec<u8>>, mount: &[u8]) -> Option<Target> {
    let mount = names(mount);
    let inside = path.len() > mount.len() && path.iter().zip(&mount).all(|(a, b)| a == b);
    inside.then(|| Target {
        from_root: true,
        names: path.iter().skip(mount.len()).cloned().collect(),
    })
}

/// The names of a path, without the empty ones and `.`.
fn names(path: &[u8]) -> VecDeque<Vec<u8>> {
    path.split(|&b| b == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(<[u8]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(list: &[&str]) -> Roots {
        Roots::Mount(list.iter().map(|mount| mount.as_bytes().to_vec()).collect())
    }

    fn read(text: &str, roots: &Roots) -> Option<(bool, String)> {
        parse(text.as_bytes(), roots).map(|target| {
            let names: Vec<_> = target
                .names
                .iter()
                .map(|name| String::from_utf8(name.clone()).unwrap())
                .collect();
            (target.from_root, names.join("/"))
        })
    }

    fn relative(names: &str) -> Option<(bool, String)> {
        Some((false, names.to_owned()))
    }

    fn rooted(names: &str) -> Option<(bool, String)> {
        Some((true, names.to_owned()))
    }

    #[test]
    fn relative_targets() {
        let roots = mounts(&["/mnt/vol"]);
        assert_eq!(read("a", &roots), relative("a"));
        assert_eq!(read("./a", &roots), relative("a"));
        assert_eq!(read("../x//./a", &roots), relative("../x/a"));
        assert_eq!(read("...", &roots), relative("..."));
        assert_eq!(read("a/", &roots), relative("a"));
    }

    #[test]
    fn absolute_targets_inside_the_mount() {
        let roots = mounts(&["/mnt/vol", "/media/disk/vol/"]);
        assert_eq!(read("/mnt/vol/a", &roots), rooted("a"));
        assert_eq!(read("//mnt/./vol//d/a", &roots), rooted("d/a"));
        assert_eq!(read("/media/disk/vol/a", &roots), rooted("a"));
        assert_eq!(read("/mnt/vol/../vol/a", &roots), rooted("../vol/a"));
    }

    #[test]
    fn absolute_targets_elsewhere() {
        let roots = mounts(&["/mnt/vol"]);
        for text in [
            "/",
            "/mnt",
            "/mnt/vol",
            "/mnt/vol/",
            "/mnt/volume/a",
            "/mnt/x/../vol/a",
            "",
        ] {
            assert_eq!(read(text, &roots), None, "{text}");
        }
        assert_eq!(read("/mnt/vol/a", &mounts(&[])), None);
    }

    #[test]
    fn libgfapi_starts_at_the_root_of_the_volume() {
        assert_eq!(read("/d/a", &Roots::Volume), rooted("d/a"));
        assert_eq!(read("d/a", &Roots::Volume), relative("d/a"));
    }
}
