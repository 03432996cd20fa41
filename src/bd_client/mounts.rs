//! Where a file system is mounted in the eyes of a process: bind mounts show it at other places, too.

use std::collections::VecDeque;

/// How many links the kernel follows on one path.
const LINKS: usize = 40;

/// A line of mountinfo (proc_pid_mountinfo(5)).
#[derive(Debug)]
struct Mounted {
    /// Major and minor number.
    device: Vec<u8>,
    /// The directory of the file system that is seen there.
    inside: Vec<u8>,
    at: Vec<u8>,
}

/// The device that is mounted at one of these directories.
pub(crate) fn device_at(mountinfo: &[u8], points: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut mounts = read(mountinfo);
    // The last one lies on top.
    let found = mounts.rfind(|mount| points.contains(&mount.at));
    found.map(|mount| mount.device)
}

/// What a way inside the file system leads through that leaves it again by `..`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// Directories alone, so that it leaves where its names say.
    Directories,
    /// Something that is not there, or no directory.
    Nothing,
    /// Links, after which `..` leads elsewhere.
    Links,
}

/// A way that goes through links of the file system, and out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost;

/// The path from the root of a device's file system that an absolute path leads to, through mounts, `..` and
/// links of the host, of which `read_link` knows the text; `None` if it leads elsewhere.
///
/// Inside the file system nothing is followed: its own links are for who knows them. Where the path leaves it
/// again, `passage` says of the way there, from the file system's root, what it leads through.
pub(crate) fn path_on(
    mountinfo: &[u8],
    device: &[u8],
    path: &[u8],
    read_link: impl Fn(&[u8]) -> Option<Vec<u8>>,
    passage: impl Fn(&[u8]) -> Passage,
) -> Result<Option<Vec<u8>>, Lost> {
    let mounts: Vec<Mounted> = read(mountinfo).collect();
    let mut here: Vec<Vec<u8>> = Vec::new();
    let mut rest: VecDeque<Vec<u8>> = names(path).map(<[u8]>::to_vec).collect();
    let mut links = 0;
    loop {
        let mount = nearest(&mounts, &here).filter(|mount| mount.device == device);
        if let Some(mount) = mount
            && rest.front().is_none_or(|name| name != b"..")
        {
            if let Some(exit) = exit(rest.iter().map(Vec::as_slice)) {
                let way = rest.iter().take(exit).map(Vec::as_slice);
                match passage(&joined(names(&mount.inside).chain(way))) {
                    Passage::Directories => drop(rest.drain(..exit)),
                    Passage::Nothing => return Ok(None),
                    Passage::Links => return Err(Lost),
                }
                continue;
            }
            let at = names(&mount.at).count();
            here.extend(rest);
            // Something else may be mounted below.
            let is_on = nearest(&mounts, &here).is_some_and(|mount| mount.device == device);
            return Ok(is_on.then(|| joined(names(&mount.inside).chain(slices(&here[at..])))));
        }
        let Some(name) = rest.pop_front() else {
            return Ok(None);
        };
        if name == b".." {
            here.pop();
            continue;
        }
        here.push(name);
        let is_inside = nearest(&mounts, &here).is_some_and(|mount| mount.device == device);
        if !is_inside && let Some(text) = read_link(&joined(slices(&here))) {
            links += 1;
            if links > LINKS {
                return Ok(None);
            }
            here.pop();
            if text.starts_with(b"/") {
                here.clear();
            }
            let all = names(&text).map(<[u8]>::to_vec).chain(rest);
            rest = all.collect();
        }
    }
}

/// The mount that a path without links is on. What was mounted last lies on top.
fn nearest<'a>(mounts: &'a [Mounted], path: &[Vec<u8>]) -> Option<&'a Mounted> {
    let covers = mounts.iter().filter(|mount| {
        let mut at = names(&mount.at);
        let is_below = at.by_ref().zip(path).all(|(a, b)| a == b.as_slice());
        is_below && names(&mount.at).count() <= path.len()
    });
    covers.max_by_key(|mount| names(&mount.at).count())
}

/// The absolute paths of `text`, a relative path in the directory `dir` of a device's file system, in the
/// mounts that show the directory; none if it does not leave the file system.
pub(crate) fn absolute(mountinfo: &[u8], device: &[u8], dir: &[u8], text: &[u8]) -> Vec<Vec<u8>> {
    if exit(names(dir).chain(names(text))).is_none() {
        return Vec::new();
    }
    let seen = read(mountinfo).filter(|mount| mount.device == device);
    let paths = seen.filter_map(|mount| {
        let mut rest = names(dir);
        let is_shown = names(&mount.inside).all(|name| rest.next() == Some(name));
        is_shown.then(|| joined(names(&mount.at).chain(rest).chain(names(text))))
    });
    paths.collect()
}

/// Which of a path's names is the first `..` that leads above where the path begins.
fn exit<'a>(path: impl Iterator<Item = &'a [u8]>) -> Option<usize> {
    let mut depth = 0_usize;
    for (number, name) in path.enumerate() {
        match name == b".." {
            true if depth == 0 => return Some(number),
            true => depth -= 1,
            false => depth += 1,
        }
    }
    None
}

fn slices(names: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
    names.iter().map(Vec::as_slice)
}

/// The absolute path of these names.
fn joined<'a>(names: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut path = Vec::new();
    for name in names {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    path
}

fn read(mountinfo: &[u8]) -> impl DoubleEndedIterator<Item = Mounted> {
    mountinfo.split(|&byte| byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|&byte| byte == b' ').skip(2);
        Some(Mounted {
            device: fields.next()?.to_vec(),
            inside: plain(fields.next()?),
            at: plain(fields.next()?),
        })
    })
}

/// A field without the kernel's escapes: a backslash and three octal digits.
fn plain(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, more @ ..] = rest {
        let digits = more
            .get(..3)
            .and_then(|three| std::str::from_utf8(three).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (first, escaped) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &more[3..];
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    bytes
}

/// The names of a path, without the empty ones and `.`.
fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &[u8] = b"22 1 8:1 / / rw - ext4 /dev/sda1 rw
40 22 0:52 / /mnt/vol rw - fuse.glusterfs h:/vol rw
41 22 0:52 /vg0 /srv/my\\040disks rw - fuse.glusterfs h:/vol rw
42 41 0:60 / /srv/my\\040disks/other rw - tmpfs none rw
43 22 0:52 / /over rw - fuse.glusterfs h:/vol rw
44 43 0:60 / /over rw - tmpfs none rw
";

    /// Links of the host, and what they say.
    fn linked(path: &[u8]) -> Option<Vec<u8>> {
        let text = match path {
            b"/vms" => "/mnt/vol/vg0",
            b"/srv/here" => "my disks/",
            b"/srv/up" => "../srv/here",
            b"/loop" => "/loop",
            // Inside the volume nobody asks here.
            b"/mnt/vol/vg0" => "/nowhere",
            _ => return None,
        };
        Some(text.into())
    }

    /// What the volume has.
    fn passed(path: &[u8]) -> Passage {
        match path {
            b"/vg0/x/.." | b"/vg0/.." | b"/vg0/x/../.." => Passage::Directories,
            b"/vg0/link/.." => Passage::Links,
            _ => Passage::Nothing,
        }
    }

    fn found(path: &str) -> Result<Option<String>, Lost> {
        let device = device_at(INFO, &[b"/mnt/vol".to_vec()]).unwrap();
        let path = path_on(INFO, &device, path.as_bytes(), linked, passed)?;
        Ok(path.map(|path| String::from_utf8(path).unwrap()))
    }

    fn on(path: &str) -> Option<String> {
        found(path).unwrap()
    }

    #[test]
    fn ways_out_and_in_again_are_followed() {
        for path in [
            "/srv/my disks/x/../../my disks/a",
            "/mnt/vol/vg0/../../vol/vg0/x/../../../vol/vg0/a",
            "/vms/x/../../../vol/vg0/a",
        ] {
            assert_eq!(on(path).as_deref(), Some("/vg0/a"), "{path}");
        }
        assert_eq!(on("/srv/my disks/gone/../../my disks/a"), None);
        assert_eq!(found("/srv/my disks/link/../../my disks/a"), Err(Lost));
        let of = |dir: &str, text: &str| {
            let all = absolute(INFO, b"0:52", dir.as_bytes(), text.as_bytes());
            all.into_iter()
                .map(|path| String::from_utf8(path).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(of("/vg0/x", "../a"), [""; 0]);
        assert_eq!(
            of("/vg0/x", "../../../vol/vg0/a"),
            [
                "/mnt/vol/vg0/x/../../../vol/vg0/a",
                "/srv/my disks/x/../../../vol/vg0/a",
                "/over/vg0/x/../../../vol/vg0/a"
            ]
        );
        assert_eq!(of("/other", "../../b").len(), 2);
    }

    #[test]
    fn bind_mounts_are_seen_through() {
        assert_eq!(on("/mnt/vol/vg0/a").unwrap(), "/vg0/a");
        assert_eq!(on("//srv/my disks/./a").unwrap(), "/vg0/a");
        // As do links and `..`, on the host and behind it.
        for path in [
            "/vms/a",
            "/srv/here/a",
            "/srv/up/a",
            "/usr/../srv/./up/a",
            "/srv/my disks/../my disks/a",
            "/mnt/vol/../vol/vg0/a",
        ] {
            assert_eq!(on(path).as_deref(), Some("/vg0/a"), "{path}");
        }
        assert_eq!(on("/vms/x/../a").unwrap(), "/vg0/x/../a");
        // What lies on top counts, and another file system is none of ours.
        for path in [
            "/srv/my disks/other/a",
            "/over/a",
            "/srv/a",
            "/",
            "/srv/my disks/../a",
            "/loop/a",
        ] {
            assert_eq!(on(path), None, "{path}");
        }
        assert_eq!(device_at(INFO, &[b"/nothere".to_vec()]), None);
        assert_eq!(device_at(b"nonsense", &[b"/".to_vec()]), None);
    }
}
