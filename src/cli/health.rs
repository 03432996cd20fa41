//! What can be wrong with a host, before any brick is looked at.

use std::path::{Path, PathBuf};

use crate::CliError;
use crate::storage::{Pool, pools, run, unseen_members};

/// A kind for programs, and a text for people.
type Finding = (&'static str, String);

/// Checks this host; each finding names its cure.
pub(crate) fn host() -> Result<Vec<Finding>, CliError> {
    let mut findings: Vec<Finding> = pools()?.iter().flat_map(pool).collect();
    for path in unseen_members()? {
        findings.push((
            "hidden_pv",
            format!(
                "{path} is a physical volume, but LVM does not show it: the devices file or a \
                 filter hides it; run: lvmdevices --adddev {path}"
            ),
        ));
    }
    findings.extend(translators());
    Ok(findings)
}

/// Nearly full counts from here on, in percent.
const NEARLY: f64 = 80.0;

fn pool(pool: &Pool) -> Vec<Finding> {
    let name = format!("{}/{}", pool.vg, pool.pool);
    let mut findings = Vec::new();
    if !pool.zeroing {
        findings.push((
            "zeroing_off",
            format!(
                "pool {name} does not zero new chunks, so that a new image shows old bytes; run: \
                 lvchange --zero y {name}"
            ),
        ));
    }
    if pool.when_full != "error" {
        findings.push((
            "queue_when_full",
            format!(
                "pool {name} lets writers hang when it is full; run: lvchange --errorwhenfull y \
                 {name}"
            ),
        ));
    }
    if pool.autoactivation {
        findings.push((
            "autoactivation",
            format!(
                "pool {name} is activated when the host starts; run: lvchange \
                 --setautoactivation n {name}"
            ),
        ));
    }
    for (part, used, cure) in [
        ("data", pool.data_percent, "+SIZE"),
        ("metadata", pool.metadata_percent, "--metadata +SIZE"),
    ] {
        if used.is_some_and(|used| used >= NEARLY) {
            findings.push((
                "nearly_full",
                format!(
                    "the {part} of pool {name} is {:.1}% full; run: gluster-bd pool extend {name} \
                     {cure}",
                    used.unwrap_or_default()
                ),
            ));
        }
    }
    findings
}

fn translators() -> Vec<Finding> {
    let Some(folder) = gluster() else {
        return vec![(
            "no_gluster",
            "there is no glusterfs on this host; install glusterfs-server or glusterfs-client"
                .to_owned(),
        )];
    };
    let server = Path::new("/usr/sbin/glusterd").exists();
    let mut wanted = vec!["xlator/features/bd-client.so"];
    if server {
        wanted.extend(["xlator/storage/bd.so", "filter/gluster-bd"]);
    }
    wanted
        .into_iter()
        .map(|name| folder.join(name))
        .filter(|path| !path.exists())
        .map(|path| {
            let text = format!(
                "{} is missing: it must be built for the installed glusterfs and put there; run: \
                 scripts/install",
                path.display()
            );
            ("missing_translator", text)
        })
        .collect()
}

/// Finds the folder of the version that `glusterfs --version` tells.
fn gluster() -> Option<PathBuf> {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Pool {
        Pool {
            vg: "vg0".to_owned(),
            pool: "pool".to_owned(),
            size: 1 << 30,
            metadata_size: 4 << 20,
            data_percent: Some(12.5),
            metadata_percent: None,
            chunk_size: 64 << 10,
            zeroing: true,
            when_full: "error".to_owned(),
            group_free: 0,
            autoactivation: false,
        }
    }

    #[test]
    fn a_good_pool_has_no_findings() {
        assert_eq!(pool(&good()), []);
    }

    #[test]
    fn each_fault_of_a_pool_is_found_with_its_cure() {
        let kinds = |bad: Pool| -> Vec<&str> {
            let findings = pool(&bad);
            assert!(findings.iter().all(|(_, text)| text.contains("run: lv")
                || text.contains("run: gluster-bd pool extend vg0/pool ")));
            findings.into_iter().map(|(kind, _)| kind).collect()
        };
        let bad = Pool {
            zeroing: false,
            when_full: "queue".to_owned(),
            autoactivation: true,
            ..good()
        };
        assert_eq!(
            kinds(bad),
            ["zeroing_off", "queue_when_full", "autoactivation"]
        );
        let bad = Pool {
            data_percent: Some(99.0),
            metadata_percent: Some(80.0),
            ..good()
        };
        assert_eq!(kinds(bad), ["nearly_full", "nearly_full"]);
    }
}
