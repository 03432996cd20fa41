//! Where a file system is mounted in the eyes of a process: bind mounts show it at other places, too.

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

/// The path from the root of a device's file system that an absolute path leads to; `None` if another file
/// system is there. No link is followed.
pub(crate) fn path_on(mountinfo: &[u8], device: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    let path = names(path);
    if path.contains(&&b".."[..]) {
        return None;
    }
    let mut nearest: Option<Mounted> = None;
    for mount in read(mountinfo) {
        let at = names(&mount.at);
        let is_nearer = nearest
            .as_ref()
            .is_none_or(|other| names(&other.at).len() <= at.len());
        if path.starts_with(&at) && is_nearer {
            nearest = Some(mount);
        }
    }
    let mount = nearest.filter(|mount| mount.device == device)?;
    let rest = path.get(names(&mount.at).len()..)?;
    let mut inside = Vec::new();
    for name in names(&mount.inside).iter().chain(rest) {
        inside.push(b'/');
        inside.extend_from_slice(name);
    }
    Some(inside)
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
fn names(path: &[u8]) -> Vec<&[u8]> {
    path.split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .collect()
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

    fn on(path: &str) -> Option<String> {
        let device = device_at(INFO, &[b"/mnt/vol".to_vec()])?;
        let path = path_on(INFO, &device, path.as_bytes())?;
        Some(String::from_utf8(path).unwrap())
    }

    #[test]
    fn bind_mounts_are_seen_through() {
        assert_eq!(on("/mnt/vol/vg0/a").unwrap(), "/vg0/a");
        assert_eq!(on("//srv/my disks/./a").unwrap(), "/vg0/a");
        // What lies on top counts, and another file system is none of ours.
        for path in [
            "/srv/my disks/other/a",
            "/over/a",
            "/srv/a",
            "/",
            "/srv/my disks/../a",
        ] {
            assert_eq!(on(path), None, "{path}");
        }
        assert_eq!(device_at(INFO, &[b"/nothere".to_vec()]), None);
        assert_eq!(device_at(b"nonsense", &[b"/".to_vec()]), None);
    }
}
