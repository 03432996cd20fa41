use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use bd_model::VgName;

use super::policy::{Policy, PolicyError, PolicyFile};

/// Where the policies are read from unless told otherwise; the file need not be there.
pub const DEFAULT_PATH: &str = "/etc/gluster-bd/policy.toml";

/// The policies of the running server.
#[derive(Debug, Default)]
pub struct Policies {
    path: Option<PathBuf>,
    now: RwLock<(PolicyFile, u64)>,
}

impl Policies {
    /// Reads the policies from `path`, or from [`DEFAULT_PATH`], where none at all is no error.
    pub fn load(path: Option<PathBuf>) -> Result<Policies, PolicyError> {
        let file = read(path.as_deref())?;
        Ok(Policies {
            path,
            now: RwLock::new((file, 0)),
        })
    }

    /// The policies `file`, which [`Policies::reload`] replaces by those of the default path.
    pub fn new(file: PolicyFile) -> Policies {
        Policies {
            path: None,
            now: RwLock::new((file, 0)),
        }
    }

    /// Reads the file again; after an error the old policies hold.
    pub fn reload(&self) -> Result<(), PolicyError> {
        let file = read(self.path.as_deref())?;
        self.set(file);
        Ok(())
    }

    /// Puts other policies in place of the present ones.
    pub fn set(&self, file: PolicyFile) {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        *now = (file, now.1 + 1);
    }

    /// The policy of a VG, and how often the policies were replaced.
    pub fn of(&self, vg: &VgName) -> (Policy, u64) {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        (now.0.of(vg), now.1)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(DEFAULT_PATH))
    }
}

fn read(path: Option<&Path>) -> Result<PolicyFile, PolicyError> {
    let at = path.unwrap_or(Path::new(DEFAULT_PATH));
    match std::fs::read_to_string(at) {
        Ok(text) => PolicyFile::parse(at, &text),
        Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            Ok(PolicyFile::default())
        }
        Err(source) => Err(PolicyError::Read {
            path: at.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_file_leaves_the_old_policies() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        let vg = "vg0".parse().unwrap();
        let error = Policies::load(Some(path.clone())).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot read the policy file /"),
            "{error}"
        );
        std::fs::write(&path, "[vg.vg0]\nextend_at = 50\n").unwrap();
        let policies = Policies::load(Some(path.clone())).unwrap();
        assert_eq!(policies.of(&vg).0.extend_at, 50);
        std::fs::write(&path, "[vg.vg0]\nextend_at = 500\n").unwrap();
        let error = policies.reload().unwrap_err().to_string();
        assert!(error.contains("line 2, extend_at: 500 is not"), "{error}");
        assert_eq!(policies.of(&vg).0.extend_at, 50);
        std::fs::write(&path, "").unwrap();
        policies.reload().unwrap();
        assert_eq!(policies.of(&vg), (Policy::default(), 1));
    }
}
