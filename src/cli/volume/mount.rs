//! The mount of a volume on this host.

use std::fs;
use std::path::{Path, PathBuf};

use crate::CliError;
use crate::storage::{mounted_at, remember, run};

/// A mount that a volume is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// What is mounted, as HOST:/VOLUME.
    source: String,
    /// Where, an absolute path.
    at: String,
    /// Its options.
    options: String,
    /// It is there.
    is_there: bool,
}

impl Mount {
    /// Looks whether a volume can be mounted there. `hosts` are those of its bricks: the first is asked for the
    /// volume, and the others where it does not answer.
    ///
    /// # Errors
    /// The path is not absolute, something else is mounted or lies there.
    pub(crate) fn plan(volume: &str, hosts: &[&str], at: &Path) -> Result<Mount, CliError> {
        let text = at.display().to_string();
        if !at.is_absolute() {
            return Err(CliError::Usage("--mount takes an absolute path"));
        }
        let (first, others) = hosts.split_first().unwrap_or((&"localhost", &[]));
        let mut backups: Vec<&str> = Vec::new();
        for host in others {
            if host != first && !backups.contains(host) {
                backups.push(host);
            }
        }
        let mut options = "_netdev,nofail".to_owned();
        if !backups.is_empty() {
            options.push_str(&format!(",backup-volfile-servers={}", backups.join(":")));
        }
        let source = format!("{first}:/{volume}");
        let mounted = mounted_at(&text)?;
        if let Some(other) = mounted.as_ref().filter(|other| **other != source) {
            return Err(CliError::Refused(format!(
                "cannot mount the volume on {text}: {other} is mounted there; choose another directory"
            )));
        }
        if mounted.is_none() && fs::read_dir(at).is_ok_and(|mut files| files.next().is_some()) {
            return Err(CliError::Refused(format!(
                "cannot mount the volume on {text}: it has files; choose an empty directory"
            )));
        }
        Ok(Mount {
            source,
            at: text,
            options,
            is_there: mounted.is_some(),
        })
    }

    /// Where it is.
    pub(crate) fn at(&self) -> &str {
        &self.at
    }

    /// What makes it.
    pub(crate) fn command(&self) -> String {
        let Mount {
            source,
            at,
            options,
            ..
        } = self;
        format!("mount -t glusterfs -o {options} {source} {at}")
    }

    /// Makes the directory, the mount and the line in fstab, as far as they are missing.
    pub(crate) fn make(&self) -> Result<(), CliError> {
        fs::create_dir_all(PathBuf::from(&self.at)).map_err(|source| CliError::Path {
            path: self.at.clone(),
            source,
        })?;
        let options = ["-t", "glusterfs", "-o", &self.options];
        if !self.is_there {
            run("mount", &[&options[..], &[&self.source, &self.at]].concat())?;
        }
        remember(
            &self.source,
            &self.at,
            &format!("glusterfs {}", self.options),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_hosts_are_asked_where_the_first_does_not_answer() {
        let mount = Mount::plan("vms", &["a", "b", "a", "b", "c"], Path::new("/no/such")).unwrap();
        assert_eq!(
            mount.command(),
            "mount -t glusterfs -o _netdev,nofail,backup-volfile-servers=b:c a:/vms /no/such"
        );
        let alone = Mount::plan("vms", &["a"], Path::new("/no/such")).unwrap();
        assert!(
            alone
                .command()
                .ends_with(" -o _netdev,nofail a:/vms /no/such")
        );
    }

    #[test]
    fn a_directory_with_something_is_refused() {
        for at in ["/usr", "/proc", "relative"] {
            assert!(Mount::plan("vms", &["a"], Path::new(at)).is_err(), "{at}");
        }
    }
}
