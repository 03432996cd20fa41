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

/// The path from the root of a device's file system that an absolute path leads to, through mounts, `..` and
/// links of the host, of which `read_link` knows the text; `None` if it leads elsewhere, or leaves the file
/// system again.
///
/// Inside the file system nothing is followed: its own links are for who knows them.
pub(crate) fn path_on(
    mountinfo: &[u8],
    device: &[u8],
    path: &[u8],
    read_link: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let mounts: Vec<Mounted> = read(mountinfo).collect();
    let mut here: Vec<Vec<u8>> = Vec::new();
    let mut rest: VecDeque<Vec<u8>> = names(path).map(<[u8]>::to_vec).collect();
    let mut links = 0;
    loop {
        let mount = nearest(&mounts, &here).filter(|mount| mount.device == device);
        if let Some(mount) = mount
            && rest.front().is_none_or(|name| name != b"..")
        {
            let at = names(&mount.at).count();
            here.extend(rest);
            // Something else may be mounted below.
            nearest(&mounts, &here).filter(|mount| mount.device == device)?;
            let rest = &here[at..];
            return stays_inside(rest).then(|| joined(names(&mount.inside).chain(slices(rest))));
        }
        let name = rest.pop_front()?;
        if name == b".." {
            here.pop();
            continue;
        }
        here.push(name);
        let is_inside = nearest(&mounts, &here).is_some_and(|mount| mount.device == device);
        if !is_inside && let Some(text) = read_link(&joined(slices(&here))) {
            links += 1;
            if links > LINKS {
                return None;
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

/// Whether no `..` of a path leads above where the path begins.
fn stays_inside(path: &[Vec<u8>]) -> bool {
    let mut depth = 0_usize;
    path.iter().all(|name| {
        let step = match name == b".." {
            true => depth.checked_sub(1),
            false => depth.checked_add(1),
        };
        depth = step.unwrap_or_default();
        step.is_some()
    })
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

    fn on(path: &str) -> Option<String> {
        let device = device_at(INFO, &[b"/mnt/vol".to_vec()])?;
        let path = path_on(INFO, &device, path.as_bytes(), linked)?;
        Some(String::from_utf8(path).unwrap())
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
            "/srv/my disks/x/../../my disks/a",
            "/loop/a",
        ] {
            assert_eq!(on(path), None, "{path}");
        }
        assert_eq!(device_at(INFO, &[b"/nothere".to_vec()]), None);
        assert_eq!(device_at(b"nonsense", &[b"/".to_vec()]), None);
    }
}
