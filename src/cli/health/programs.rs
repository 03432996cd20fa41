//! Programs and libraries that must be there, in versions that serve.

use std::path::{Path, PathBuf};

use super::Found;
use crate::storage::run;

/// LVM from here on has what is used of it.
const LVM: [u64; 3] = [2, 3, 16];
/// The kernel from here on.
const LINUX: [u64; 3] = [5, 10, 0];
/// What each client of a volume with images needs, below GlusterFS's folder.
const CLIENT: [&str; 1] = ["xlator/features/bd-client.so"];
/// What a host with bricks needs as well.
const SERVER: [&str; 3] = [
    "xlator/storage/bd.so",
    "xlator/performance/bd-bypass.so",
    "filter/gluster-bd",
];
/// Series of glusterfs that the translators are tested with.
const GLUSTERFS: [u64; 2] = [10, 11];

pub(super) fn findings() -> Vec<Found> {
    let mut found = Vec::new();
    if let Ok(said) = run("lvm", &["version"]) {
        let version = said.split("LVM version:").nth(1).map(numbers);
        found.extend(too_old("LVM", "old_lvm", version, LVM));
    }
    if let Ok(release) = std::fs::read_to_string("/proc/sys/kernel/osrelease") {
        found.extend(too_old(
            "Linux",
            "old_kernel",
            Some(numbers(&release)),
            LINUX,
        ));
    }
    found.extend(translators());
    found
}

/// The numbers that a version starts with; those left out are zero.
pub(super) fn numbers(text: &str) -> [u64; 3] {
    let mut version = [0; 3];
    let text = text.trim_start();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    for (number, part) in version.iter_mut().zip(text[..end].split('.')) {
        *number = part.parse().unwrap_or(0);
    }
    version
}

fn too_old(
    what: &str,
    kind: &'static str,
    version: Option<[u64; 3]>,
    least: [u64; 3],
) -> Option<Found> {
    let version = version.filter(|version| *version < least)?;
    let text = |[a, b, c]: [u64; 3]| format!("{a}.{b}.{c}");
    Some(Found::new(
        kind,
        format!("{what} {} is too old", text(version)),
        format!("install {} or later", text(least)),
    ))
}

fn translators() -> Vec<Found> {
    let Some((folder, version)) = gluster() else {
        return vec![Found::new(
            "no_gluster",
            "there is no glusterfs on this host".to_owned(),
            "install glusterfs-server or glusterfs-client",
        )];
    };
    let mut found = Vec::new();
    if !GLUSTERFS.contains(&numbers(&version)[0]) {
        found.push(Found::note(
            "untested_gluster",
            format!("gluster-bd was tested with glusterfs 10 and 11, and this is {version}"),
        ));
    }
    let wanted = match Path::new("/usr/sbin/glusterd").exists() {
        true => [&CLIENT[..], &SERVER[..]].concat(),
        false => CLIENT.to_vec(),
    };
    found.extend(
        missing(&folder, &wanted)
            .map(|(cause, cure)| Found::new("missing_translator", cause, cure)),
    );
    found
}

/// What is missing of what each client of a volume needs, and what to do about it.
pub(crate) fn missing_on_clients() -> Option<String> {
    let (folder, _) = gluster()?;
    let (cause, cure) = missing(&folder, &CLIENT).next()?;
    Some(format!("{cause}; {cure}"))
}

/// Files below a folder that are not there: what is wrong, and its cure.
fn missing(folder: &Path, wanted: &[&str]) -> impl Iterator<Item = (String, String)> {
    let paths: Vec<PathBuf> = wanted.iter().map(|name| folder.join(name)).collect();
    paths.into_iter().filter(|path| !path.exists()).map(|path| {
        let cure =
            "it must be built for the installed glusterfs and put there; run: scripts/install";
        (format!("{} is missing", path.display()), cure.to_owned())
    })
}

/// Finds the folder of the version that `glusterfs --version` tells, and that version.
fn gluster() -> Option<(PathBuf, String)> {
    let said = run("glusterfs", &["--version"]).ok()?;
    let version = said.lines().next()?.split(' ').nth(1)?.to_owned();
    let mut roots = vec![PathBuf::from("/usr/lib64"), PathBuf::from("/usr/lib")];
    if let Ok(entries) = std::fs::read_dir("/usr/lib") {
        roots.extend(entries.flatten().map(|entry| entry.path()));
    }
    roots
        .into_iter()
        .map(|root| root.join("glusterfs").join(&version))
        .find(|folder| folder.join("xlator").is_dir())
        .map(|folder| (folder, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_numbers() {
        assert_eq!(numbers(" 2.03.16(2) (2022-05-18)"), [2, 3, 16]);
        assert_eq!(numbers("6.1.0-56-cloud-amd64\n"), [6, 1, 0]);
        assert_eq!(numbers("10"), [10, 0, 0]);
        assert_eq!(too_old("LVM", "old_lvm", Some([2, 3, 16]), LVM), None);
        let old = too_old("LVM", "old_lvm", Some([2, 2, 187]), LVM).unwrap();
        assert_eq!(
            old.settle(true).message,
            "LVM 2.2.187 is too old; install 2.3.16 or later"
        );
    }
}
