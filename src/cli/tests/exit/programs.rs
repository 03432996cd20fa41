use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Programs of LVM, Gluster and util-linux that only note what they are asked for.
///
/// There is a group `vg0` with a thin pool, no volume, and an empty disk.
pub(crate) struct Programs {
    folder: TempDir,
}

/// All of them are this script. A line that begins with `$INTERRUPT` gets a signal on its way.
const SCRIPT: &str = r#"#!/bin/bash
here=${0%/*} name=${0##*/}
words=$*
[[ $words != --config* ]] || { shift 2; words=$*; }
case $name in
lsblk)
	echo '{"blockdevices": [{"path": "'"$here"'/disk", "type": "disk", "size": 10737418240,
		"fstype": null, "pttype": null, "mountpoints": [null], "ro": false}]}' ;;
vgs)
	echo '{"report": [{"vg": [{"vg_name": "vg0", "vg_size": "10737418240",
		"vg_free": "1073741824", "vg_tags": ""}]}]}' ;;
lvs)
	[[ $words == *segtype=thin-pool* ]] || { echo '{"report": [{"lv": []}]}'; exit; }
	echo '{"report": [{"lv": [{"vg_name": "vg0", "lv_name": "pool", "lv_size": "4194304",
		"lv_metadata_size": "4194304", "data_percent": "", "metadata_percent": "",
		"chunk_size": "65536", "zero": "zero", "lv_when_full": "error",
		"vg_free": "1073741824", "lv_autoactivation": ""}]}]}' ;;
pvs) echo '{"report": [{"pv": []}]}' ;;
wipefs) ;;
# What would come after it changes files of this machine.
mount) exit 1 ;;
*)
	echo "$name $words" >>"$here/log"
	if [ -n "$INTERRUPT" ] && [[ "$name $words" == "$INTERRUPT"* ]]; then
		kill -INT "$PPID"
	fi
	[[ "$name $words" != *"volume info"* ]] || exit 1
	;;
esac
"#;

impl Programs {
    pub(crate) fn new() -> Programs {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        std::fs::write(&script, SCRIPT).unwrap();
        std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        for name in [
            "gluster", "lsblk", "lvchange", "lvcreate", "lvextend", "lvremove", "lvs", "mkfs.xfs",
            "mount", "pvcreate", "pvremove", "pvs", "vgcreate", "vgremove", "vgs", "wipefs",
        ] {
            symlink("script", folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("disk"), "").unwrap();
        Programs { folder }
    }

    /// Where the disk is.
    pub(crate) fn disk(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// Runs gluster-bd with these programs; when one is called as `at` says, Ctrl-C comes.
    pub(crate) fn interrupted(&self, words: &[&str], at: &str) -> Output {
        let path = format!("{}:/usr/bin:/bin", self.folder.path().display());
        Command::new(env!("CARGO_BIN_EXE_gluster-bd"))
            .args(words)
            .env("PATH", path)
            .env("INTERRUPT", at)
            .output()
            .unwrap()
    }

    /// What was asked for since the last call, a program a line.
    pub(crate) fn log(&self) -> Vec<String> {
        let path = self.folder.path().join("log");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        drop(std::fs::remove_file(&path));
        text.lines().map(str::to_owned).collect()
    }
}
