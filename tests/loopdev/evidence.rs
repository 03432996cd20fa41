//! Keeps what explains a failed test.

use std::fs;
use std::path::Path;

use crate::place;
use crate::sh::cmd;

/// Copies logs and reports into `$GBT_OUT/<test>`; gives that folder as its reader knows it.
pub(crate) fn collect(test: &str, dir: &Path) -> String {
    let name = test.replace([':', '/'], "_");
    let Ok(out) = place::out() else {
        return "nowhere: GBT_OUT is not set".to_owned();
    };
    let folder = out.join(&name);
    if let Err(error) = fs::create_dir_all(&folder) {
        return format!("nowhere: cannot make {}: {error}", folder.display());
    }
    for (file, line) in [
        ("lvs", "lvs -a -o +lv_tags,lv_time,devices"),
        ("vgs", "vgs -o +vg_tags; pvs -a"),
        ("dmsetup", "dmsetup ls; dmsetup table; dmsetup status"),
        ("losetup", "losetup -l"),
        ("mounts", "cat /proc/self/mounts; df -h; df -i"),
        ("processes", "ps axww -o pid,ppid,stat,wchan:32,etime,args"),
        (
            "open_devices",
            "cd /proc; ls -l [0-9]*/fd 2>/dev/null | grep -E '^[0-9]+/fd|/dev/(dm-|mapper|loop)' | grep -B1 '/dev/'",
        ),
        ("dmesg", "dmesg"),
        (
            "volumes",
            "timeout 20 gluster --mode=script volume info; timeout 20 gluster --mode=script volume status",
        ),
        (
            "glusterd",
            "find /var/lib/glusterd/vols -type f | head -n 200 | xargs -r tail -n +1",
        ),
    ] {
        let text = match cmd("bash", &["-c", line]) {
            Ok(output) => format!("{}\n{}\n", output.stdout, output.stderr),
            Err(error) => format!("{error:#}\n"),
        };
        // Evidence is what can be had: a report that cannot be written must not hide the failure.
        drop(fs::write(folder.join(format!("{file}.txt")), text));
    }
    let copy = format!(
        "mkdir -p '{0}/logs'; cp -r /var/log/glusterfs/. '{0}/logs/'; cp {1}/*.log '{0}/'; \
         for log in {1}/server*/log; do [ ! -e $log ] || cp -r $log '{0}/logs/'$(basename $(dirname $log)); done; \
         find {1} -name '[0-9a-f][0-9a-f]' -prune -o -printf '%p %i %n %s %M\\n' | head -n 1000 > '{0}/files.txt'; \
         for brick in {1}/*/b/.glusterfs; do [ ! -e $brick ] || find $brick/.. -name .glusterfs -prune -o \
         -exec getfattr -h -d -m 'trusted.(afr|ec|gfid)' -e hex --absolute-names {{}} +; done > '{0}/notes.txt'",
        folder.display(),
        dir.display()
    );
    drop(cmd("bash", &["-c", &copy]));
    place::out_shown().join(name).display().to_string()
}
